//! GRUB's password as `grub-mkpasswd-pbkdf2` makes it: `grub.pbkdf2.sha512.ROUNDS.SALT.HASH`, both in hexadecimal digits.

use pbkdf2::pbkdf2_hmac_array;
use sha2::Sha512;

use super::{Materials, password};
use crate::error::{Error, Kind, Result};
use crate::seed::Seed;
use crate::spec::TextFormat;
use crate::spec::grub::GrubPassword;

const METHOD: &str = "grub.pbkdf2.sha512";
/// The defaults of that program.
const ROUNDS: u32 = 10_000;
const LEN: usize = 64;

/// The hash that GRUB is told. A secret that is one already is taken as it is.
///
/// # Errors
/// If the secret was not given, or nobody could type what it says at GRUB's prompt.
pub fn grub_password(asked: &GrubPassword, materials: &Materials, seed: &Seed) -> Result<String> {
    let (place, text) = match asked {
        GrubPassword::Hash(hash) => ("grub.password".to_owned(), hash.as_str()),
        GrubPassword::Secret(secret) => {
            (format!("secret {}", secret.secret), password::of_secret(&secret.secret, materials)?)
        }
    };
    let wrong = |message: String| Err(Error::new(Kind::Input, place, message));
    match (asked, TextFormat::GrubPasswordHash.check(text)) {
        (_, Ok(())) => Ok(text.to_owned()),
        (GrubPassword::Hash(_), Err(expected)) => wrong(format!("is not {expected}")),
        _ if text.starts_with("grub.pbkdf2.") => wrong("is no hash that GRUB reads".into()),
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
            wrong("has characters that GRUB's keyboard does not have: expected ASCII".into())
        }
        _ => Ok(hash(text, &salt(seed))),
    }
}

/// From the seed, so that the same build is the same disk.
fn salt(seed: &Seed) -> [u8; LEN] {
    let mut salt = [0; LEN];
    for (half, part) in salt.chunks_mut(LEN / 2).zip(1..) {
        half.copy_from_slice(&seed.derive(&format!("salt of the password of GRUB {part}")));
    }
    salt
}

fn hash(password: &str, salt: &[u8]) -> String {
    let hash = pbkdf2_hmac_array::<Sha512, LEN>(password.as_bytes(), salt, ROUNDS);
    format!("{METHOD}.{ROUNDS}.{}.{}", hex(salt), hex(&hash))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::setup::Secret;

    fn of_secret(content: &str) -> Result<String> {
        let mut materials = Materials::default();
        materials.secrets.insert("id".into(), content.as_bytes().to_vec());
        let asked = GrubPassword::Secret(Secret { secret: "id".into() });
        grub_password(&asked, &materials, &Seed::new(b"seed"))
    }

    /// The value is Python's: `hashlib.pbkdf2_hmac("sha512", b"hunter2", bytes(range(64)), 10000)`.
    #[test]
    fn a_hash_is_what_other_programs_make() {
        let salt: Vec<u8> = (0..64).collect();
        let expected = "4B1C2F26337F98ECB0263571C79AA5B68736FA58B198360400FC2E653FFCCFE53263B52A2F589182FAB60482C1FFF1FE679BE942205067AA0DEE6FBF393E36E0";
        assert_eq!(hash("hunter2", &salt), format!("{METHOD}.10000.{}.{expected}", hex(&salt)));
    }

    #[test]
    fn a_password_is_hashed_and_a_hash_is_taken() {
        let hashed = of_secret("hunter2\n").unwrap();
        assert_eq!(hashed, of_secret("hunter2").unwrap());
        assert!(TextFormat::GrubPasswordHash.check(&hashed).is_ok() && hashed.len() == 282, "{hashed}");
        assert_eq!(of_secret(&format!("{hashed}\n")).unwrap(), hashed);
        for wrong in ["", "\n", "a\nb", "p\u{e4}ss", "grub.pbkdf2.sha512.0.AB.CD", &"x".repeat(600)] {
            let message = of_secret(wrong).unwrap_err().to_string();
            assert!(message.starts_with("secret id: "), "{message}");
        }
        let asked = GrubPassword::Hash("hunter2".into());
        let error =
            grub_password(&asked, &Materials::default(), &Seed::new(b"seed")).unwrap_err().to_string();
        assert!(error.starts_with("grub.password: is not a hash of grub-mkpasswd-pbkdf2"), "{error}");
    }
}
