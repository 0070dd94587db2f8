//! Whom a medium believes by HTTPS: the authorities of its image, in an archive in front of the initramfs that is packed.

use crate::error::Result;
use crate::initramfs;
use crate::limits;
use crate::tree::{Time, Tree};

/// Where distributions have the certificates of all authorities in one file: Debian, Alpine and Arch; Fedora by two names;
/// SUSE.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// Where the programs of vmimage look.
const WITHIN: &str = "etc/ssl/certs/ca-certificates.crt";

/// The archive with the first of the files that says something; empty, if none does.
///
/// # Errors
/// If it cannot be read, or is longer than any text.
pub(super) fn archive(root: &Tree) -> Result<Vec<u8>> {
    for path in BUNDLES {
        match root.read(path, limits::TEXT)? {
            Some(text) if !text.trim_ascii().is_empty() => return in_front(text),
            _ => {}
        }
    }
    Ok(Vec::new())
}

/// The kernel takes what is behind an archive at a multiple of four bytes alone.
fn in_front(text: Vec<u8>) -> Result<Vec<u8>> {
    // That of no file: an edit of the image leaves it as it was.
    let mut archive = initramfs::archive_of(&[(WITHIN, text)], Time::default())?;
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Editor, Meta};

    fn of(files: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut tree = Tree::new(Meta::default());
        for (path, text) in files {
            let mut editor = Editor::new(&mut tree, Time::default());
            match text.strip_prefix("-> ") {
                Some(target) => drop(editor.symlink(path, target).unwrap()),
                None => drop(editor.write_file(path, text.as_bytes(), 0o644).unwrap()),
            }
        }
        archive(&tree)
    }

    #[test]
    fn the_first_bundle_that_says_something_is_where_programs_look() {
        let [debian, fedora, extracted, _] = BUNDLES;
        let expected = initramfs::archive_of(&[(WITHIN, b"an authority".to_vec())], Time::default()).unwrap();
        let made = of(&[(debian, "\n"), (fedora, "an authority"), (extracted, "another")]).unwrap();
        assert!(made.starts_with(&expected) && made.len().is_multiple_of(4));
        assert_eq!(of(&[(fedora, &format!("-> {extracted}")), (extracted, "an authority")]).unwrap(), made);
        assert!(of(&[("/etc/ssl/certs/one.pem", "an authority")]).unwrap().is_empty());
    }

    #[test]
    fn a_bundle_longer_than_any_is_refused() {
        let long = "a".repeat(limits::TEXT as usize + 1);
        assert!(of(&[(BUNDLES[0], &long)]).unwrap_err().to_string().starts_with(BUNDLES[0]));
    }
}
