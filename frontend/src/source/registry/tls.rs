//! Whom to trust: the certificates of this machine, and those for one registry as docker and podman have them.

use std::fs;
use std::path::{Path, PathBuf};

use exporter::error::{Error, Result};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// How to talk to `host` over TLS.
///
/// # Errors
/// `Io` or `Input` for a certificate of the registry that cannot be read.
pub(super) fn config(host: &str) -> Result<TlsConfig> {
    // What cannot be read of the machine's own store cannot be trusted; the connection will tell.
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    for folder in folders(host) {
        roots.extend(authorities(&folder)?);
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots)).build())
}

/// Where certificates for a registry are put.
pub(super) fn folders(host: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let own = home.map(|home| home.join("containers/certs.d"));
    let of_all = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter().chain(of_all).map(|folder| folder.join(host)).collect()
}

/// The authorities in a folder: the files that end in `.crt`.
fn authorities(folder: &Path) -> Result<Vec<Certificate<'static>>> {
    // There mostly is no such folder.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
    paths.sort();
    let mut certificates = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        let pem = fs::read(&path).map_err(|error| Error::io(&shown, "cannot read the certificate", error))?;
        let found = certificates.len();
        for item in parse_pem(&pem) {
            if let Ok(PemItem::Certificate(certificate)) = item {
                certificates.push(certificate);
            }
        }
        if certificates.len() == found {
            let message = "holds no certificate in PEM";
            return Err(Error::new(exporter::Kind::Input, shown, message));
        }
    }
    Ok(certificates)
}
