//! From the words to the medium: a disc that is mounted, or a folder on a web server that is asked.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{MAX_LEN, Manifest, NAME};
use super::memory::hexadecimal;
use super::network::{self, Online};
use super::words::{FOLDER, Place, Words};
use super::{Host, Medium, disc};
use crate::init::words::Words as Kernels;
use crate::update::source::{open_folder, open_web};

/// Have the medium within reach. Returns how the network came up, where it is needed.
pub(super) fn reach(words: &Words, kernels: &Kernels, host: &mut Host) -> Result<Option<Online>, String> {
    match &words.place {
        Place::Disc(id) => disc::mount_it(id, host).map(|()| None),
        Place::Folder(_) => network::start(kernels, host).map(Some),
    }
}

/// Open the medium that is within reach.
pub(super) fn open(words: &Words) -> Result<Medium, String> {
    let (mut files, disk) = match &words.place {
        Place::Disc(_) => (open_folder(&folder()), Some(disc::disk()?)),
        Place::Folder(url) => (open_web(url)?, None),
    };
    let text = files.small(NAME, MAX_LEN)?.ok_or_else(|| absent(words))?;
    check(&text, words.digest.as_deref())?;
    let manifest = Manifest::parse(&text)?;
    match &words.place {
        Place::Disc(id) if manifest.id.to_ascii_lowercase() != *id => {
            Err(format!("{NAME} is of the medium {}, and not of {id}", manifest.id))
        }
        _ => Ok(Medium { manifest, files, disk }),
    }
}

/// The medium's files on a disc.
pub(super) fn folder() -> PathBuf {
    Path::new(disc::AT).join(FOLDER)
}

fn absent(words: &Words) -> String {
    match &words.place {
        Place::Disc(_) => format!("the medium has no {NAME}: it is not whole"),
        Place::Folder(url) => format!(
            "{url} has no {NAME}\nhint: vmimage.medium= names a folder that --format netboot has made"
        ),
    }
}

/// That it is the medium which was asked for, where that is known.
fn check(text: &[u8], digest: Option<&str>) -> Result<(), String> {
    let found = hexadecimal(&Sha256::digest(text));
    match digest {
        Some(digest) if digest != found => Err(format!(
            "{NAME} has the SHA-256 {found}, and {digest} was asked for\nhint: the folder is of another build than what \
             has started this machine, or somebody has changed it"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::source::http::tests::server::Server;

    const TEXT: &str = r#"{"version":1,"id":"x","name":"web","root":{"file":"root.erofs","bytes":3,"sha256":"00","type":"erofs"}}"#;

    fn words(server: &Server, digest: Option<&str>) -> Words {
        let digest = digest.map(|digest| format!("vmimage.digest={digest}")).unwrap_or_default();
        Words::parse(&Kernels::parse(&format!("vmimage.mode=live vmimage.medium={} {digest}", server.url)))
            .unwrap()
    }

    #[test]
    fn a_folder_is_opened_over_http() {
        let server = Server::new(|request, stream| match &*request.path {
            "/medium.json" => request.file(TEXT.as_bytes(), stream),
            _ => request.file(b"abc", stream),
        });
        let mut medium = open(&words(&server, None)).unwrap();
        assert_eq!((&*medium.manifest.name, &medium.disk), ("web", &None));
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut medium.open("root.erofs", 1..3).unwrap(), &mut read).unwrap();
        assert_eq!(read, b"bc");
        let right = hexadecimal(&Sha256::digest(TEXT));
        assert!(open(&words(&server, Some(&right))).is_ok());
        let error = open(&words(&server, Some(&"0".repeat(64)))).err().unwrap();
        assert!(error.contains(&right) && error.contains("hint: the folder is of another build"), "{error}");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let server = Server::new(|_, stream| stream.answer("404 Not Found", "", b""));
        let error = open(&words(&server, None)).err().unwrap();
        assert!(error.starts_with(&server.url) && error.contains("has no medium.json"), "{error}");
    }
}
