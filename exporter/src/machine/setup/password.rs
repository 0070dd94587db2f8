//! Passwords as crypt(5) hashes: `$6$salt$hash`, SHA-512 in 5000 rounds.

use sha_crypt::{Sha512Params, sha512_crypt_b64};

use super::Materials;
use crate::error::{Error, Kind, Result};
use crate::seed::Seed;
use crate::spec::TextFormat;
use crate::spec::setup::Password;

/// The digits of crypt's base 64.
const DIGITS: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SALT_LEN: usize = 16;
/// What crypt(5) names as the default, for which the hash says no number.
const ROUNDS: usize = 5000;
/// Longer ones take time to hash, and nobody types them.
const MAX_LEN: usize = 512;

/// The hash for `user`. A secret that is a hash already is taken as it is.
pub(super) fn hash(password: &Password, user: &str, materials: &Materials, seed: &Seed) -> Result<String> {
    let id = match password {
        Password::Hash(hash) => return check(hash, format!("password of {user}")),
        Password::Secret(secret) => &secret.secret,
    };
    let text = of_secret(id, materials)?;
    if text.starts_with('$') && text.matches('$').count() >= 3 {
        return check(text, format!("secret {id}"));
    }
    sha512(text, &salt(seed, user)).ok_or_else(|| wrong(id, "cannot be hashed"))
}

/// The one line of a secret that is a password, or the hash of one.
pub(super) fn of_secret<'m>(id: &str, materials: &'m Materials) -> Result<&'m str> {
    let bytes = materials.secret(id)?;
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(id, "is no text"))?;
    // Files end with a line feed, passwords don't.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(wrong(id, "is empty, expected a password"));
    }
    if text.len() > MAX_LEN || text.contains(char::is_control) {
        return Err(wrong(id, "is not a password: expected one line of at most 512 bytes"));
    }
    Ok(text)
}

fn wrong(id: &str, message: &str) -> Error {
    Error::new(Kind::Input, format!("secret {id}"), message)
}

fn check(hash: &str, place: String) -> Result<String> {
    match TextFormat::PasswordHash.check(hash) {
        Ok(()) => Ok(hash.to_owned()),
        Err(expected) => Err(Error::new(Kind::Input, place, format!("is not {expected}"))),
    }
}

/// From the seed, so that the same build is the same disk.
fn salt(seed: &Seed, user: &str) -> String {
    let bytes = seed.derive(&format!("salt of the password of {user}"));
    bytes
        .iter()
        .take(SALT_LEN)
        .map(|byte| DIGITS.chars().nth(usize::from(byte % 64)).unwrap_or('.'))
        .collect()
}

fn sha512(password: &str, salt: &str) -> Option<String> {
    let params = Sha512Params::new(ROUNDS).ok()?;
    let hash = sha512_crypt_b64(password.as_bytes(), salt.as_bytes(), &params).ok()?;
    Some(format!("$6${salt}${hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::setup::Secret;

    fn of_secret(content: &str) -> Result<String> {
        let mut materials = Materials::default();
        materials.secrets.insert("id".into(), content.as_bytes().to_vec());
        hash(&Password::Secret(Secret { secret: "id".into() }), "ada", &materials, &Seed::new(b"seed"))
    }

    /// The value is openssl's: `openssl passwd -6 -salt abcdefgh hunter2`.
    #[test]
    fn a_hash_is_what_other_programs_make() {
        let output = std::process::Command::new("openssl")
            .args(["passwd", "-6", "-salt", "abcdefgh", "hunter2"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), sha512("hunter2", "abcdefgh").unwrap());
    }

    #[test]
    fn a_password_is_hashed_and_a_hash_is_taken() {
        let hashed = of_secret("hunter2\n").unwrap();
        assert_eq!(hashed, of_secret("hunter2").unwrap());
        assert!(hashed.starts_with("$6$") && hashed.len() == 106, "{hashed}");
        assert_eq!(of_secret("$6$salt$hash\n").unwrap(), "$6$salt$hash");
        // Three dollars make no hash of something with other signs.
        for wrong in ["", "\n", "a\nb", "$1$salt$hash", "$6$a:b$c", &"x".repeat(600)] {
            let message = of_secret(wrong).unwrap_err().to_string();
            assert!(message.starts_with("secret id: "), "{message}");
        }
    }

    #[test]
    fn users_with_one_password_have_different_hashes() {
        let seed = Seed::new(b"seed");
        assert_ne!(salt(&seed, "ada"), salt(&seed, "bob"));
        assert_ne!(salt(&seed, "ada"), salt(&Seed::new(b"other"), "ada"));
    }
}
