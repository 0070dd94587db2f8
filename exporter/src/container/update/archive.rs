//! A tar archive of files, planned: where every byte of it comes from.

use crate::container::archive::{self, Access, END, RECORD};
use crate::engine::RawImage;
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::tree::Content;

/// What has room in a header.
const PATH_MAX: usize = 100;
const ACCESS: Access = Access { mode: 0o644, owner: 0 };

/// Files in an archive. They are read when it is written.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// Bytes up to the end of the last file.
    len: u64,
    extents: Vec<Extent>,
}

impl Archive {
    /// Add a file at `path`, which does not begin with a slash.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a path of more than 100 bytes.
    pub fn add(&mut self, path: &str, content: &Content) -> Result<()> {
        if path.len() > PATH_MAX {
            let message =
                format!("has a path of more than {PATH_MAX} bytes, too long for the archive of an update");
            return Err(Error::new(Kind::Unsupported, format!("/{path}"), message));
        }
        let header = archive::file(path, ACCESS, content.len());
        self.extents.push(Extent::bytes(self.len, header.as_bytes().to_vec()));
        self.len += RECORD;
        self.extents.extend(Extent::of_content(content, self.len));
        self.len += content.len().next_multiple_of(RECORD);
        Ok(())
    }

    /// Its bytes, as the engine takes them.
    pub(super) fn image(&self) -> RawImage<'_> {
        RawImage { size: self.len + END, extents: &self.extents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, accepts, flatten};

    #[test]
    fn tar_finds_the_files() {
        let mut archive = Archive::default();
        for (path, text) in [("boot/vmlinuz-6.1", &b"kernel"[..]), ("boot/empty", b""), ("a", &[7; 600])] {
            archive.add(path, &Content::Bytes(text.into())).unwrap();
        }
        let RawImage { size, extents } = archive.image();
        let scratch = Scratch::new();
        let file = scratch.write("boot.tar", &flatten(size, extents));
        let names: Vec<_> = accepts("tar", &["-tf", &file]).lines().map(str::to_owned).collect();
        assert_eq!(names, ["boot/vmlinuz-6.1", "boot/empty", "a"]);
        assert_eq!(accepts("tar", &["-xOf", &file, "boot/vmlinuz-6.1"]), "kernel");
        assert_eq!(accepts("tar", &["-xOf", &file, "a"]).len(), 600);
        let error = archive.add(&"a".repeat(101), &Content::Bytes([].into())).unwrap_err();
        assert_eq!(*error.kind(), Kind::Unsupported);
    }
}
