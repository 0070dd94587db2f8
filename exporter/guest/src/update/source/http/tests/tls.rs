//! Servers and machines with certificates, which openssl makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Two authorities; of the first a server at 127.0.0.1, and a machine with its key.
const CERTIFICATES: &str = r#"
for name in ca other; do
    openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.crt -days 2 -subj /CN=$name -addext basicConstraints=critical,CA:TRUE
done
printf 'subjectAltName=IP:127.0.0.1\n' >server.ext
printf 'extendedKeyUsage=clientAuth\n' >machine.ext
for name in server machine; do
    openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
    openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out $name.crt -extfile $name.ext
done
"#;

fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-ec", CERTIFICATES]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// A server of the first authority, which may want to know who asks.
fn server(
    folder: &Path,
    is_strict: bool,
    answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static,
) -> Server {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let builder = match is_strict {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate("ca.crt")).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate("server.crt")], key).unwrap());
    let wrap = move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        Some(Stream::of(StreamOwned::new(connection, stream)))
    };
    Server::with("https", wrap, answer)
}

fn machine(server: &Server, folder: &Path, ca: &str, own: Option<[&str; 2]>) -> Http {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let [certificate, key] = own.map_or([None, None], |own| own.map(|name| Some(path(name))));
    let trust = Trust { ca: Some(path(ca)), certificate, key };
    Http { client: Client::new(trust, LIMITS), folder: Address::folder(&server.url).unwrap() }
}

const OWN: Option<[&str; 2]> = Some(["machine.crt", "machine.key"]);

#[test]
fn the_authority_of_the_configuration_is_the_one_that_is_trusted() {
    let folder = certificates();
    let folder = folder.path();
    let server = server(folder, false, |request, stream| request.file(&content(5000), stream));
    assert_eq!(fetch(&mut machine(&server, folder, "ca.crt", None), 0..5000).unwrap(), content(5000));
    let error = fetch(&mut machine(&server, folder, "other.crt", None), 0..5000).unwrap_err();
    assert!(
        error.contains("cannot be trusted") && error.contains("hint: if its authority is your own"),
        "{error}"
    );
    // By a name that its certificate has not.
    let mut named = machine(&server, folder, "ca.crt", None);
    named.folder = Address::folder(&server.url.replace("127.0.0.1", "localhost")).unwrap();
    assert!(fetch(&mut named, 0..5000).unwrap_err().contains("hint: ask by the name"));
}

#[test]
fn a_machine_shows_who_it_is_where_that_is_wanted() {
    let folder = certificates();
    let folder = folder.path();
    let server = server(folder, true, |request, stream| request.file(&content(5000), stream));
    assert_eq!(fetch(&mut machine(&server, folder, "ca.crt", OWN), 0..5000).unwrap(), content(5000));
    assert!(fetch(&mut machine(&server, folder, "ca.crt", None), 0..5000).is_err());
    assert_eq!(server.requests(), 1);
}

#[test]
fn files_that_do_not_fit_are_an_error_that_names_them() {
    let folder = certificates();
    let folder = folder.path();
    let server = server(folder, false, |request, stream| request.file(b"", stream));
    fs::write(folder.join("empty"), "").unwrap();
    for (ca, own, message) in [
        ("none.crt", None, "none.crt: cannot be read"),
        ("empty", None, "empty: holds no certificate"),
        ("ca.key", None, "ca.key: holds no certificate"),
        ("ca.crt", Some(["machine.crt", "other.key"]), "other.key: is not the key of"),
        ("ca.crt", Some(["machine.crt", "machine.crt"]), "machine.crt: holds no private key"),
        ("ca.crt", Some(["machine.key", "machine.key"]), "machine.key: holds no certificate"),
    ] {
        let error = machine(&server, folder, ca, own).small("x", 1).unwrap_err();
        assert!(error.contains(message), "{message:?} is expected, and it is {error}");
    }
    let mut half = machine(&server, folder, "ca.crt", OWN);
    half.client = Client::new(Trust { ca: None, key: None, certificate: Some("x".into()) }, LIMITS);
    assert!(half.small("x", 1).is_err());
    assert_eq!(server.requests(), 0);
}

#[test]
fn nobody_is_sent_out_of_tls() {
    let folder = certificates();
    let folder = folder.path();
    let plain = Server::new(|request, stream| request.file(&content(5000), stream));
    let line = format!("location: {}\r\n", plain.url);
    let server = server(folder, false, move |_, stream| stream.answer("302 Found", &line, b""));
    let error = fetch(&mut machine(&server, folder, "ca.crt", None), 0..5000).unwrap_err();
    assert!(error.contains("without TLS"), "{error}");
    assert_eq!(plain.requests(), 0);
}

#[test]
fn who_does_not_speak_tls_is_told_from_who_cannot_be_trusted() {
    let folder = certificates();
    let talk = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://{}/", talk.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = talk.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hang();
    });
    let trust = Trust { ca: Some(folder.path().join("ca.crt")), ..Trust::default() };
    let mut http = Http { client: Client::new(trust, LIMITS), folder: Address::folder(&url).unwrap() };
    let error = http.small("x", 1).unwrap_err();
    assert!(error.contains("does not speak TLS"), "{error}");
}
