//! What the tests of several modules share: files that are made by this program and kept in the repository.

use std::fs;
use std::path::Path;

/// What the file at `path`, from the top of the repository, says; with `UPDATE=1` it says `current` from now on.
pub(crate) fn kept(path: &str, current: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, current).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_default()
}

/// The file says just this.
#[track_caller]
pub(crate) fn is_kept(path: &str, current: &str) {
    assert!(kept(path, current) == current, "{path} is not current: UPDATE=1 cargo test");
}
