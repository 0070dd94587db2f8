//! A name without a transport: files of this machine if there are any, else an image. It is looked for in the
//! engines, and then in its registry.

use std::ffi::OsStr;
use std::path::Path;

use exporter::input::Location;

use super::{Source, program};
use crate::base::Result;
use crate::base::reference::Reference;
use crate::engine::{Choice, buildx};

/// Endings of archives: whoever types one means a file.
const ARCHIVES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

/// What a text stands for, and whether it says so itself. `choice` is the engine that may be asked.
///
/// # Errors
/// Those of [`Source::parse`].
pub(crate) fn find(text: &OsStr, choice: Choice) -> Result<(Source, bool)> {
    let source = Source::parse(text)?;
    Ok(match name(text, &source) {
        Some((name, reference)) => (image(name, reference, choice), false),
        None => (source, true),
    })
}

/// The name of an image, if it is no path of something that is there.
fn name<'a>(text: &'a OsStr, source: &Source) -> Option<(&'a str, Reference)> {
    let Source::Local(input) = source else { return None };
    let Location::Path(path) = &input.location else { return None };
    let text = text.to_str()?;
    if is_there(path) || ARCHIVES.iter().any(|extension| text.ends_with(extension)) {
        return None;
    }
    Some((text, text.parse().ok()?))
}

/// Also where a link leads nowhere: its error is the one to be told.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn image(name: &str, reference: Reference, choice: Choice) -> Source {
    if matches!(choice, Choice::Auto | Choice::Docker) && buildx::has_image(name) {
        return Source::DockerDaemon(name.to_owned());
    }
    if choice != Choice::Docker && program::storage_has(name) {
        return Source::ContainersStorage(name.to_owned());
    }
    Source::Registry(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_paths() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there").into_os_string();
        std::fs::create_dir(&there).unwrap();
        let is_name = |text: &OsStr| name(text, &Source::parse(text).unwrap()).is_some();
        for text in ["centos:7.9.2009", "app", "quay.io/team/app:v1", "localhost:5000/app", "docker:24"] {
            assert!(is_name(text.as_ref()), "{text}");
        }
        for text in
            ["./app", "/app", "app/", "rootfs.tar.gz", "a.b/app.tar", "App", "-", "oci:app", "tar:app"]
        {
            assert!(!is_name(text.as_ref()), "{text}");
        }
        assert!(!is_name(&there));
        assert!(!is_name("docker://app".as_ref()));
    }
}
