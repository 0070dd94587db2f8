//! Files that only record when the image was built: without them, two builds of one input are the same.

use crate::tree::{Editor, Time};

/// Logs of package managers, and a cache with the inode numbers and times of libraries.
const RECORDS: [&str; 13] = [
    "/var/cache/ldconfig/aux-cache",
    "/var/log/alternatives.log",
    "/var/log/apk.log",
    "/var/log/bootstrap.log",
    "/var/log/dnf.librepo.log",
    "/var/log/dnf.log",
    "/var/log/dnf.rpm.log",
    "/var/log/dnf5.log",
    "/var/log/dpkg.log",
    "/var/log/fontconfig.log",
    "/var/log/hawkey.log",
    "/var/log/pacman.log",
    "/var/log/zypper.log",
];

/// Directories with nothing else in them.
const RECORD_DIRECTORIES: [&str; 2] = ["/var/log/apt", "/var/log/zypp"];

/// Remove them, and clamp every time of the tree to `latest`. Returns a line for each change.
pub fn forget_build(editor: &mut Editor<'_>, latest: Time) -> Vec<String> {
    let mut notes: Vec<_> =
        RECORDS.iter().filter(|path| editor.remove(path)).map(|path| format!("{path}: removed")).collect();
    notes.extend(
        RECORD_DIRECTORIES
            .iter()
            .filter(|path| editor.empty_dir(path))
            .map(|path| format!("{path}: emptied")),
    );
    editor.clamp_times(latest);
    notes
}
