//! The partition of what is kept, by its directories:
//!
//! ```text
//! bind/var       is mounted at /var, with the image's files from the first boot on
//! overlay/etc    what was changed in /etc; work/etc is the overlay's own
//! new            what is not yet all there
//! reset          asks the next boot to empty it
//! ```
//!
//! The name of `/var/lib` is `var+lib`: one directory lies in no other, whatever earlier versions of the machine kept.

use std::fs;
use std::path::{Path, PathBuf};

use super::steps::{Steps, discard, write_through};
use crate::grow::device::in_file;

/// It, where it is mounted.
pub(crate) struct Store {
    root: PathBuf,
    /// Where the image is mounted.
    image: PathBuf,
}

impl Store {
    /// That of the running machine.
    pub(super) fn new(root: &Path) -> Self {
        Self::of(root, Path::new("/"))
    }

    /// That of a machine whose image is mounted somewhere.
    pub(crate) fn of(root: &Path, image: &Path) -> Self {
        Self { root: root.to_owned(), image: image.to_owned() }
    }

    /// The directory that is mounted at `directory`.
    pub(crate) fn bound(&self, directory: &Path) -> Result<PathBuf, String> {
        let place = self.place("bind", directory)?;
        if !place.exists() {
            self.seed(Steps::seed(&self.of_image(directory), &self.new_one(), &place))?;
        }
        Ok(place)
    }

    /// The directories of an overlay over `directory`: of what was changed, and of its own.
    pub(crate) fn over(&self, directory: &Path) -> Result<[PathBuf; 2], String> {
        let (upper, work) = (self.place("overlay", directory)?, self.place("work", directory)?);
        if !upper.exists() {
            self.seed(Steps::seed_empty(&self.of_image(directory), &self.new_one(), &upper))?;
        }
        fs::create_dir_all(&work).map_err(in_file(&work))?;
        Ok([upper, work])
    }

    /// What cannot be copied as a whole leaves the room to what can.
    fn seed(&self, steps: Steps) -> Result<(), String> {
        steps.run().inspect_err(|_| drop(discard(&self.new_one())))
    }

    /// A directory of a person's.
    pub(super) fn create(&self, path: &str) -> Result<(), String> {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(&path).map_err(in_file(&path))
    }

    /// Have the next boot empty it.
    pub(super) fn ask_for_reset(&self) -> Result<(), String> {
        let mark = self.mark();
        let marked = fs::File::create(&mark).and_then(|_| write_through(&self.root));
        marked.map_err(in_file(&mark))
    }

    /// Whether it is to be emptied, or was not emptied to the end.
    pub(super) fn is_to_be_reset(&self) -> bool {
        self.mark().exists()
    }

    /// Empty it.
    pub(super) fn reset(&self) -> Result<(), String> {
        Steps::reset(&self.root, &self.mark()).run()
    }

    fn place(&self, kind: &str, directory: &Path) -> Result<PathBuf, String> {
        let folder = self.root.join(kind);
        fs::create_dir_all(&folder).map_err(in_file(&folder))?;
        let name = directory.to_string_lossy();
        Ok(folder.join(name.trim_start_matches('/').replace('/', "+")))
    }

    fn of_image(&self, directory: &Path) -> PathBuf {
        self.image.join(directory.strip_prefix("/").unwrap_or(directory))
    }

    fn new_one(&self) -> PathBuf {
        self.root.join("new")
    }

    fn mark(&self) -> PathBuf {
        self.root.join("reset")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_the_machines_and_what_is_not_is_the_images() {
        let folder = tempfile::tempdir().unwrap();
        let (root, var) = (folder.path().join("persist"), folder.path().join("var"));
        fs::create_dir_all(var.join("lib")).unwrap();
        fs::create_dir(&root).unwrap();
        fs::write(var.join("lib/state"), "image").unwrap();
        let store = Store::new(&root);
        let bound = store.bound(&var).unwrap();
        assert_eq!(bound.parent().unwrap(), root.join("bind"));
        fs::write(bound.join("lib/state"), "machine").unwrap();
        assert_eq!(store.bound(&var).unwrap(), bound);
        assert_eq!(fs::read_to_string(bound.join("lib/state")).unwrap(), "machine");
        // Beside it, and not in it.
        let lib = store.bound(&var.join("lib")).unwrap();
        assert_eq!(fs::read_to_string(lib.join("state")).unwrap(), "image");
        assert_eq!(lib.parent(), bound.parent());
        let [upper, work] = store.over(&var).unwrap();
        assert!(upper.is_dir() && work.is_dir() && fs::read_dir(&upper).unwrap().next().is_none());
        store.create("/data/site").unwrap();
        assert!(root.join("data/site").is_dir());
    }

    #[test]
    fn what_cannot_be_seeded_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let (root, var) = (folder.path().join("persist"), folder.path().join("var"));
        fs::create_dir(&var).unwrap();
        fs::create_dir_all(root.join("bind")).unwrap();
        let place = root.join("bind").join(var.to_string_lossy().trim_start_matches('/').replace('/', "+"));
        std::os::unix::fs::symlink("nowhere", &place).unwrap();
        let error = Store::new(&root).bound(&var).unwrap_err();
        assert!(error.starts_with(&*place.to_string_lossy()), "{error}");
        assert!(!root.join("new").exists());
    }

    #[test]
    fn it_is_emptied_when_that_is_asked_and_seeded_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (root, var) = (folder.path().join("persist"), folder.path().join("var"));
        fs::create_dir(&var).unwrap();
        fs::create_dir(&root).unwrap();
        let store = Store::new(&root);
        fs::write(store.bound(&var).unwrap().join("state"), "machine").unwrap();
        assert!(!store.is_to_be_reset());
        store.ask_for_reset().unwrap();
        assert!(store.is_to_be_reset() && store.bound(&var).unwrap().join("state").exists());
        store.reset().unwrap();
        assert!(!store.is_to_be_reset() && !store.bound(&var).unwrap().join("state").exists());
    }
}
