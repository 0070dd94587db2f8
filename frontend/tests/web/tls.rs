//! What a web server of tests has for TLS: authorities of its own, by openssl, and no talk with who does not say who it is.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::web::Stream;

/// Two authorities, of each a server on loopback, which a guest sees at 10.0.2.2, and a machine: `server` and `machine` of
/// `ca`, `impostor` and `stranger` of `other`.
const CERTIFICATES: &str = r#"
for name in ca other; do
	openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.crt -days 2 -subj /CN=$name -addext basicConstraints=critical,CA:TRUE
done
issue() {
	echo "$3" >$1.ext
	openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj /CN=$1
	openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days 2 -out $1.crt -extfile $1.ext
}
issue server ca subjectAltName=IP:127.0.0.1,IP:10.0.2.2
issue impostor other subjectAltName=IP:127.0.0.1,IP:10.0.2.2
issue machine ca extendedKeyUsage=clientAuth
issue stranger other extendedKeyUsage=clientAuth
"#;

/// How long a connection that is refused is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Make them in a folder: `NAME.crt` and `NAME.key`.
pub(crate) fn certify(folder: &Path) {
    let made = Command::new("sh").args(["-ec", CERTIFICATES]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What a server by this name speaks within: it asks for a certificate of `ca`.
pub(crate) fn strict(
    folder: &Path,
    name: &str,
) -> impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + use<> {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap();
    let provider = Arc::new(default_provider());
    let mut known = RootCertStore::empty();
    known.add(certificate("ca")).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate(name)], key)
        .unwrap();
    let config = Arc::new(config);
    move |client| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(Within(StreamOwned::new(connection, client)))
    }
}

/// One whose end the other side hears.
struct Within(StreamOwned<ServerConnection, TcpStream>);

impl Read for Within {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl Write for Within {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Within {
    /// Who closes a connection with something unread in it takes back what was sent: the alert that says why.
    fn drop(&mut self) {
        let client = &mut self.0.sock;
        let _ = client.shutdown(Shutdown::Write);
        let _ = client.set_read_timeout(Some(PATIENCE));
        let _ = io::copy(client, &mut io::sink());
    }
}
