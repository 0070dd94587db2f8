//! From the words to the medium: a disc that is mounted, or a folder on a web server that is asked.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::manifest::{MAX_LEN, Manifest, NAME};
use super::memory::hexadecimal;
use super::network::{self, Online};
use super::words::{FOLDER, Place, Words};
use super::{Host, Medium, disc};
use crate::init::words::Words as Kernels;
use crate::update::source::{Source, open_folder, open_web};

/// How often a server is asked at first, and how long it is waited between.
pub(super) const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_secs(5);

/// Have the medium within reach. Returns how the network came up, where it is needed.
pub(super) fn reach(words: &Words, kernels: &Kernels, host: &mut Host) -> Result<Option<Online>, String> {
    match &words.place {
        Place::Disc(id) => disc::mount_it(id, host).map(|()| None),
        Place::Folder(_) => network::start(kernels, host).map(Some),
        Place::Initramfs => Ok(None),
    }
}

/// Have the network, for what is asked of others than the medium. A medium that came over the network has brought it.
pub(super) fn require_network(words: &Words, kernels: &Kernels) -> Result<(), String> {
    match &words.place {
        Place::Disc(_) | Place::Initramfs => network::start(kernels, &mut Host::more()).map(drop),
        Place::Folder(_) => Ok(()),
    }
}

/// Open the medium that is within reach. A server that does not answer is asked so many times: a switch may have let the
/// card talk to it only now.
pub(super) fn open(words: &Words, tries: u32) -> Result<Medium, String> {
    let (mut files, disk) = match &words.place {
        Place::Disc(_) => (open_folder(&folder()), Some(disc::disk()?)),
        Place::Folder(url) => (open_web(url)?, None),
        Place::Initramfs => (open_folder(&within()), None),
    };
    let text = read(&mut *files, tries)?.ok_or_else(|| absent(words))?;
    check(&text, words.digest.as_deref())?;
    let manifest = Manifest::parse(&text)?;
    match &words.place {
        Place::Disc(id) if manifest.id.to_ascii_lowercase() != *id => {
            Err(format!("{NAME} is of the medium {}, and not of {id}", manifest.id))
        }
        _ => Ok(Medium { manifest, files, disk }),
    }
}

fn read(files: &mut dyn Source, mut tries: u32) -> Result<Option<Vec<u8>>, String> {
    loop {
        tries = tries.saturating_sub(1);
        match files.small(NAME, MAX_LEN) {
            Err(_) if tries > 0 => thread::sleep(PAUSE),
            read => return read,
        }
    }
}

/// The medium's files on a disc.
pub(super) fn folder() -> PathBuf {
    Path::new(disc::AT).join(FOLDER)
}

/// The medium's files in the initramfs.
pub(super) fn within() -> PathBuf {
    Path::new("/").join(FOLDER)
}

fn absent(words: &Words) -> String {
    match &words.place {
        Place::Disc(_) | Place::Initramfs => format!("the medium has no {NAME}: it is not whole"),
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
        let mut medium = open(&words(&server, None), 1).unwrap();
        assert_eq!((&*medium.manifest.name, &medium.disk), ("web", &None));
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut medium.open("root.erofs", 1..3).unwrap(), &mut read).unwrap();
        assert_eq!(read, b"bc");
        let right = hexadecimal(&Sha256::digest(TEXT));
        assert!(open(&words(&server, Some(&right)), 1).is_ok());
        let error = open(&words(&server, Some(&"0".repeat(64))), 1).err().unwrap();
        assert!(error.contains(&right) && error.contains("hint: the folder is of another build"), "{error}");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let server = Server::new(|_, stream| stream.answer("404 Not Found", "", b""));
        let error = open(&words(&server, None), 1).err().unwrap();
        assert!(error.starts_with(&server.url) && error.contains("has no medium.json"), "{error}");
    }
}
