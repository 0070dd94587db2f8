//! `SHA256SUMS`: what `sha256sum` writes of the files of an update. The signature is over it, and all else follows from it.

use sha2::{Digest, Sha256};

/// The digest of a file of at most some thousand names.
pub(crate) type Sha = [u8; 32];

/// That of `name` in what `sha256sum` has written.
///
/// # Errors
/// If it has none, or two.
pub(super) fn of(sums: &[u8], name: &str) -> Result<Sha, String> {
    let text = std::str::from_utf8(sums).map_err(|_| "SHA256SUMS: is no text")?;
    let mut digests = text.lines().filter_map(|line| {
        let (digest, file) = line.split_once(' ')?;
        // A star is for files that were read as they are, which all are.
        (file.strip_prefix([' ', '*']) == Some(name)).then_some(digest)
    });
    match (digests.next(), digests.next()) {
        (Some(digest), None) => parse(digest).ok_or_else(|| format!("SHA256SUMS: {name} has no digest")),
        (None, _) => Err(format!("SHA256SUMS: has no {name}")),
        _ => Err(format!("SHA256SUMS: has {name} twice")),
    }
}

/// A digest in hexadecimal.
pub(crate) fn parse(text: &str) -> Option<Sha> {
    let bytes = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut sha = Sha::default();
    if bytes.len() != 2 * sha.len() {
        return None;
    }
    for (to, pair) in sha.iter_mut().zip(bytes.chunks_exact(2)) {
        *to = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(sha)
}

/// The digest of bytes.
pub(crate) fn sha(bytes: &[u8]) -> Sha {
    Sha256::digest(bytes).into()
}

/// That a file has the digest that is known of it.
pub(crate) fn check(name: &str, bytes: &[u8], expected: &Sha) -> Result<(), String> {
    match sha(bytes) == *expected {
        true => Ok(()),
        false => Err(format!(
            "{name}: its digest is another one than was listed, it is damaged or of another build\nhint: try again, or \
             upload all files of one build anew"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_file_is_found_by_its_name() {
        let (one, two) = ("0a".repeat(32), "FF".repeat(32));
        let sums = format!("{one}  manifest.json\n{two} *kiosk_1.root.zst\n");
        assert_eq!(of(sums.as_bytes(), "manifest.json"), Ok([10; 32]));
        assert_eq!(of(sums.as_bytes(), "kiosk_1.root.zst"), Ok([255; 32]));
        for (sums, said) in [
            (sums.replace("manifest", "manifests"), "has no manifest.json"),
            (format!("{sums}{one}  manifest.json\n"), "has manifest.json twice"),
            (sums.replacen('a', "g", 1), "manifest.json has no digest"),
            (sums.replacen('a', "", 1), "manifest.json has no digest"),
            (String::new(), "has no manifest.json"),
        ] {
            assert_eq!(of(sums.as_bytes(), "manifest.json"), Err(format!("SHA256SUMS: {said}")));
        }
        assert!(of(&[0xff], "manifest.json").is_err());
    }

    #[test]
    fn bytes_with_another_digest_are_refused() {
        assert_eq!(check("a", b"a", &sha(b"a")), Ok(()));
        assert!(check("a", b"b", &sha(b"a")).unwrap_err().starts_with("a: its digest is another one"));
    }
}
