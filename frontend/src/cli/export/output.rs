//! Where the files of a machine go: a tar, or an image of a container. What is there is whole, or not there.

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use exporter::export::Exported;
use exporter::image::{write_layer, write_machine};
use exporter::spec::Architecture;

use crate::base::make::is_stdout;
use crate::base::temporary::Folder;
use crate::base::{Error, Result};

/// What makes an output an OCI layout.
const OCI: &str = "oci:";
/// What the image in a layout is called, for `docker load`.
const NAME: &str = "latest";

/// What `-o` says.
#[derive(Clone, Debug)]
pub(super) struct Output(String);

impl FromStr for Output {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where something can be written.
pub(super) enum Place {
    Stdout,
    File(TarFile),
    Layout(Layout),
}

impl Output {
    pub(super) fn is_stdout(&self) -> bool {
        is_stdout(Path::new(&self.0))
    }

    /// That it can be written, before the disk is read.
    ///
    /// # Errors
    /// If it is neither, or a folder with something in it.
    pub(super) fn place(&self) -> Result<Place> {
        if self.is_stdout() {
            return Ok(Place::Stdout);
        }
        if let Some(folder) = self.0.strip_prefix(OCI) {
            return Layout::new(PathBuf::from(folder)).map(Place::Layout);
        }
        match Path::new(&self.0).extension().is_some_and(|extension| extension == "tar") {
            true => TarFile::new(PathBuf::from(&self.0)).map(Place::File),
            false => Err(Error::user(format!("{self}: its extension is not .tar")).with_hint(
                "write x.tar, oci:FOLDER for an image, or - and pack what comes: vmimage export … -o - | zstd >x.tar.zst",
            )),
        }
    }
}

/// A tar beside its name until it is whole.
pub(super) struct TarFile {
    path: PathBuf,
    folder: Folder,
}

impl TarFile {
    fn new(path: PathBuf) -> Result<Self> {
        let folder = beside(&path)?;
        Ok(Self { path, folder })
    }

    pub(super) fn write(self, files: impl FnOnce(&mut dyn Write) -> Result<Exported>) -> Result<Exported> {
        let unfinished = self.folder.path().join("files.tar");
        let failed = |error| unwritable(&self.path, error);
        let exported = files(&mut File::create(&unfinished).map_err(failed)?)?;
        fs::rename(&unfinished, &self.path).map_err(failed)?;
        Ok(exported)
    }
}

/// The same of an OCI layout.
pub(super) struct Layout {
    path: PathBuf,
    folder: Folder,
}

impl Layout {
    fn new(path: PathBuf) -> Result<Self> {
        let is_free = match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if path.as_os_str().is_empty() || !is_free {
            return Err(Error::user(format!("{OCI}{}: is no empty folder", path.display()))
                .with_hint("name one that is empty, or is not there yet"));
        }
        let folder = beside(&path)?;
        Ok(Self { path, folder })
    }

    pub(super) fn write(self, mut files: impl FnMut(&mut dyn Write) -> Result<Exported>) -> Result<Exported> {
        let unfinished = self.folder.path().join("image");
        let (mut exported, mut refused) = (Exported::default(), None);
        let layer = write_layer(&unfinished, &mut |out| match files(out) {
            Ok(done) => {
                exported = done;
                Ok(())
            }
            Err(error) => {
                refused = Some(error);
                Err(exporter::Error::new(exporter::Kind::Interrupted, "", "interrupted"))
            }
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let noticed = exported.noticed.clone();
        let architecture = noticed
            .architecture
            .or_else(Architecture::host)
            .ok_or_else(|| Error::user("the image: it is not known for which machine its programs are"))?;
        let name = self.path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let name = format!("{}:{NAME}", name.unwrap_or_default());
        write_machine(&unfinished, &layer?, noticed.container, architecture, &name)?;
        fs::rename(&unfinished, &self.path).map_err(|error| unwritable(&self.path, error))?;
        Ok(exported)
    }
}

/// A folder where the output will be, that goes with this process.
fn beside(path: &Path) -> Result<Folder> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Folder::new(".vmimage-export-", parent).map_err(|error| unwritable(path, error))
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::user(format!("{}: cannot be written", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_tar_a_layout_or_stdout() {
        let scratch = tempfile::tempdir().unwrap();
        let shown = |name: &str| scratch.path().join(name).display().to_string();
        fs::create_dir_all(scratch.path().join("full/of")).unwrap();
        fs::create_dir(scratch.path().join("empty")).unwrap();
        let place = |text: String| Output(text).place();
        assert!(matches!(place("-".into()), Ok(Place::Stdout)));
        assert!(matches!(place(shown("x.tar")), Ok(Place::File(_))));
        for folder in ["empty", "new"] {
            assert!(matches!(place(format!("oci:{}", shown(folder))), Ok(Place::Layout(_))), "{folder}");
        }
        for (output, expected) in [
            (shown("x.tar.gz"), "its extension is not .tar"),
            (shown("x"), "its extension is not .tar"),
            (format!("oci:{}", shown("full")), "is no empty folder"),
            ("oci:".into(), "is no empty folder"),
            (shown("nowhere/x.tar"), "cannot be written"),
        ] {
            let refused = place(output.clone()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains(expected), "{output}: {refused}");
        }
    }
}
