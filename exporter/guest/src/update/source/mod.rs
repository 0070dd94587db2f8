//! Where the files of an update come from: a folder, a tar of it, or the network.

mod folder;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
pub(crate) mod http;
mod members;
mod registry;
pub(super) mod stream;
mod tar_file;

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::config::Config;
use http::{Http, Trust};
use registry::Registry;

/// What a tar on stdin is called.
const STDIN: &str = "-";

/// Where the files of an update come from.
pub(crate) trait Source {
    /// A small file as a whole, `None` where there is none; more than `max` bytes are an error.
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String>;

    /// The bytes of `range` of a file, in order. The reader gives exactly that many or an error, and resumes by itself what
    /// was cut.
    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String>;

    /// Whether ranges can be had without reading all before them (stdin cannot; a web server that ignores Range cannot).
    fn has_ranges(&self) -> bool;

    /// Bytes that came over the wire or were read, for the report.
    fn moved(&self) -> u64;
}

/// The source that somebody names: a URL, a path, `-`, or the reference of an image in a registry.
pub(super) fn open_source(from: &str, config: &Config) -> Result<Box<dyn Source>, String> {
    match from {
        STDIN => Ok(Box::new(stream::Stream::new(std::io::stdin().lock()))),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Box::new(Http::new(url, config)?))
        }
        path if is_path(path) => open_path(Path::new(path)),
        reference => Ok(Box::new(Registry::new(reference, config)?)),
    }
}

/// The files of a folder that is mounted.
pub(crate) fn open_folder(path: &Path) -> Box<dyn Source> {
    Box::new(folder::Folder::new(path))
}

/// The files below an address, from a server that the authorities of this machine vouch for where it is asked by TLS.
pub(crate) fn open_web(url: &str) -> Result<Box<dyn Source>, String> {
    Ok(Box::new(Http::of(url, Trust::default())?))
}

/// The same with the patience of a test.
#[cfg(test)]
pub(crate) fn open_impatient(url: &str) -> Box<dyn Source> {
    Box::new(http::tests::open(url))
}

/// The files that an address or the reference of an image in a registry names, as [`open_web`] has them.
pub(crate) fn open_remote(from: &str) -> Result<Box<dyn Source>, String> {
    match from.starts_with("http://") || from.starts_with("https://") {
        true => open_web(from),
        false => Ok(Box::new(Registry::of(from, Trust::default())?)),
    }
}

/// Whether it is a place in the file system. References of images never begin like one, but a path may look like them.
fn is_path(from: &str) -> bool {
    from.starts_with(['/', '.']) || Path::new(from).exists()
}

fn open_path(path: &Path) -> Result<Box<dyn Source>, String> {
    Ok(match path.is_dir() {
        true => Box::new(folder::Folder::new(path)),
        false => Box::new(tar_file::TarFile::open(path)?),
    })
}

fn too_long(name: &str, max: u64) -> String {
    format!("{name}: has more than {max} bytes, which no update has")
}
