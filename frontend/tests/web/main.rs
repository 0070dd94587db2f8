//! The web server of other tests does what they believe of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod tls;
mod web;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use web::Server;

const LEN: usize = 100_000;

/// Ask for a path, with a line of a head; the head of the answer, and as much of its body as comes.
fn ask(server: &Server, path: &str, head: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{head}\r\n").unwrap();
    // Nothing else will be asked.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap(), body)
}

#[test]
fn a_server_serves_ranges_and_has_the_faults_that_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..LEN).map(|number| (number % 251) as u8).collect();
    std::fs::create_dir(folder.path().join("2")).unwrap();
    for name in ["k.root.zst", "manifest.json"] {
        std::fs::write(folder.path().join("2").join(name), &bytes).unwrap();
    }
    let server = Server::start(folder.path()).unwrap();
    for (path, range, status, body) in [
        ("/2/k.root.zst", "", " 200 ", &bytes[..]),
        ("/2/k.root.zst", "Range: bytes=10-19\r\n", " 206 ", &bytes[10..20]),
        ("/2/k.root.zst", "range: bytes=99990-\r\n", " 206 ", &bytes[99_990..]),
        ("/2/k.root.zst", "Range: bytes=100000-\r\n", " 416 ", &[]),
        ("/2/none", "", " 404 ", &[]),
        ("/2/../2/k.root.zst", "", " 404 ", &[]),
        ("/no-ranges/2/k.root.zst", "Range: bytes=10-19\r\n", " 200 ", &bytes[..]),
        ("/cuts/2/k.root.zst", "Range: bytes=10-\r\n", " 206 ", &bytes[10..70_010]),
        ("/cuts/2/manifest.json", "", " 200 ", &bytes[..]),
        ("/ends/2/k.root.zst", "Range: bytes=900-\r\n", " 206 ", &bytes[900..1000]),
        ("/ends/2/k.root.zst", "Range: bytes=2000-\r\n", " 206 ", &[]),
        ("/stalls/2/k.root.zst", "", " 200 ", &[]),
        ("/redirects/2/manifest.json", "", " 302 ", &[]),
    ] {
        let (head, got) = ask(&server, path, range);
        assert!(head.contains(status) && got == body, "{path} {range}: {head} and {} bytes", got.len());
    }
    let (head, _) = ask(&server, "/lies/2/k.root.zst", "Range: bytes=10-19\r\n");
    assert!(head.contains("Content-Range: bytes 11-19/100000"), "{head}");
    let (_, dripped) = ask(&server, "/drips/2/k.root.zst", "Range: bytes=0-1\r\n");
    assert_eq!(dripped, bytes[..2]);

    assert!(server.asked().len() == 15 && server.asked().is_empty() && server.sent() > 0);
    assert_eq!(server.sent(), 0);
    server.tell("reboot\n");
    assert_eq!(ask(&server, "/steps", "").1, b"reboot\n");
}

/// The same of one that speaks TLS, as a machine by this name that believes this authority; an error if the two do not agree.
fn ask_within(server: &Server, folder: &Path, ca: &str, own: Option<&str>) -> io::Result<String> {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(ca)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(own) => {
            let key = PrivateKeyDer::from_pem_file(folder.join(format!("{own}.key"))).unwrap();
            config.with_client_auth_cert(vec![certificate(own)], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET /file HTTP/1.1\r\n\r\n")?;
    let mut answer = vec![0; b"HTTP/1.1 200 OK".len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn a_strict_server_talks_to_machines_of_its_authority_and_to_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tls::certify(folder);
    std::fs::write(folder.join("file"), "of the server").unwrap();
    let [server, impostor] =
        ["server", "impostor"].map(|name| Server::within(folder, tls::strict(folder, name)).unwrap());
    assert_eq!(ask_within(&server, folder, "ca", Some("machine")).unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(server.asked(), ["/file"]);
    for (server, ca, own, alert) in [
        (&server, "ca", None, "CertificateRequired"),
        (&server, "ca", Some("stranger"), "UnknownCA"),
        (&server, "other", Some("machine"), "UnknownIssuer"),
        (&impostor, "ca", Some("machine"), "UnknownIssuer"),
    ] {
        let error = ask_within(server, folder, ca, own).unwrap_err().to_string();
        assert!(error.contains(alert), "{own:?} {alert}: {error}");
    }
    assert!(server.asked().is_empty() && impostor.asked().is_empty());
    assert_eq!(ask_within(&impostor, folder, "other", Some("machine")).unwrap(), "HTTP/1.1 200 OK");
}
