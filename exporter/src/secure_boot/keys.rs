//! New keys: PK, KEK and db, each with a certificate that signs itself.

use cms::cert::x509::Certificate;
use cms::cert::x509::der::Encode;
use cms::cert::x509::der::pem::{self, LineEnding};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::OsRng;

use super::auth::update;
use super::signature_list::certificate_list;
use super::variable::Variable;
use crate::error::{Error, Kind, Result};
use crate::pki::{Certificates, Key, Signer, self_signed};
use crate::seed::Seed;

/// Bits of a key: what every firmware knows. Some know no others.
const BITS: usize = 2048;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// The last time that a certificate can say (RFC 5280, section 4.1.2.5), in seconds since 1970.
const LAST: i64 = 253_402_300_799;

/// A file of a key.
pub struct File {
    /// `db.key`
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether nobody else may read it.
    pub is_secret: bool,
}

/// Make keys for an organization called `name`: the files of PK, KEK and db. The certificates are good from `now`, in
/// seconds since 1970, for so many days.
///
/// # Errors
/// [`Kind::Input`] for a name that no certificate has; if the system has no random numbers.
pub fn generate(name: &str, now: i64, days: u32) -> Result<Vec<File>> {
    let validity = now..now.saturating_add(i64::from(days) * DAY).min(LAST);
    let pair =
        |variable: Variable| Pair::new(variable, &format!("{name} {}", variable.name()), validity.clone());
    let [pk, kek, db] = [pair(Variable::Pk)?, pair(Variable::Kek)?, pair(Variable::Db)?];
    // Whoever owns PK has put all of them there.
    let owner = Seed::new(&pk.der).uuid("signature owner");
    // PK signs itself: nobody is above it.
    let signed_by = [(&pk, &pk), (&kek, &pk), (&db, &kek)];
    let files = signed_by.into_iter().map(|(pair, by)| {
        let list = certificate_list(pair.signer.certificates(), owner)?;
        let auth = update(pair.variable, &list, &by.signer, now)?;
        Ok(pair.files(list, auth))
    });
    Ok(files.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// A key and its certificate.
struct Pair {
    variable: Variable,
    key: String,
    der: Vec<u8>,
    signer: Signer,
}

impl Pair {
    fn new(variable: Variable, name: &str, validity: std::ops::Range<i64>) -> Result<Self> {
        let failed = |why: String| Error::new(Kind::Io, name, format!("cannot make a key: {why}"));
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(|error| failed(error.to_string()))?;
        let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).map_err(|error| failed(error.to_string()))?;
        let certificate: Certificate = self_signed(name, &Key::read(name, pem.as_bytes())?, validity)?;
        let der = certificate.to_der().map_err(|error| failed(error.to_string()))?;
        let signer = Signer::new(Certificates::of(name, certificate), name, pem.as_bytes())?;
        Ok(Self { variable, key: pem.to_string(), der, signer })
    }

    fn files(&self, list: Vec<u8>, auth: Vec<u8>) -> [File; 4] {
        let file = |extension: &str, bytes: Vec<u8>| File {
            name: format!("{}.{extension}", self.variable.name()),
            bytes,
            is_secret: extension == "key",
        };
        // Base64 of some bytes has no length that cannot be said.
        let certificate = pem::encode_string("CERTIFICATE", LineEnding::LF, &self.der).unwrap_or_default();
        [
            file("key", self.key.clone().into_bytes()),
            file("crt", certificate.into_bytes()),
            file("esl", list),
            file("auth", auth),
        ]
    }
}
