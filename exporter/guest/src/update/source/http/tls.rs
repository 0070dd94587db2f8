//! Whom to trust, and what this machine shows of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::update::config::Config;

/// The files that say it, as the configuration names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Trust {
    pub(crate) fn of(config: &Config) -> Self {
        Self { ca: config.ca.clone(), certificate: config.certificate.clone(), key: config.key.clone() }
    }

    /// How to talk over TLS: trusting the authorities of `ca` alone, or those of the machine.
    ///
    /// # Errors
    /// Files that cannot be read or are something else, and where nobody can be trusted.
    pub(super) fn config(&self) -> Result<TlsConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let roots = match &self.ca {
            Some(path) => certificates(path)?,
            None => of_the_machine()?,
        };
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(identity(certificate, key, &provider)?),
            (None, None) => None,
            _ => {
                return Err(
                    "certificate and key of [update] belong together: one of them is missing".to_owned()
                );
            }
        };
        let config = TlsConfig::builder().root_certs(RootCerts::from(roots)).client_cert(own);
        Ok(config.unversioned_rustls_crypto_provider(provider).build())
    }
}

/// The trust store of the image: where distributions have it, or `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
fn of_the_machine() -> Result<Vec<Certificate<'static>>, String> {
    // Of a store that cannot be read in parts, the others are good all the same.
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        let hint = "install ca-certificates in the image, or name the certificate of your own authority: ca in [update]";
        return Err(format!("this machine has no certificates to trust a server by\nhint: {hint}"));
    }
    Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// What this machine shows of itself, if the two belong together.
fn identity(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<ClientCert, String> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    // Where they do not, `ureq` would panic.
    let der = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", key.display());
    let checked = PrivateKeyDer::try_from(private.der().to_vec()).map_err(|reason| wrong(&reason))?;
    CertifiedKey::from_der(der, checked, provider).map_err(|reason| {
        let of = certificate.display();
        wrong(&format!(
            "is not the key of {of}: {reason}\nhint: key in [update] has to be the one that {of} was made of"
        ))
    })?;
    Ok(ClientCert::new_with_certs(&chain, private))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = read(path)?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = items.collect();
    match found.is_empty() {
        true => Err(format!("{}: holds no certificate in PEM", path.display())),
        false => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, String> {
    let pem = read(path)?;
    let mut keys = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) => Some(key),
        _ => None,
    });
    keys.next()
        .ok_or_else(|| format!("{}: holds no private key in PEM, without a passphrase", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| {
        let hint = "ca, certificate and key of [update] are files in this machine";
        format!("{}: cannot be read: {error}\nhint: {hint}", path.display())
    })
}
