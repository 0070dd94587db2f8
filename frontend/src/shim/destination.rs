//! Where on this host an output of a client's leads.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf, absolute};

use exporter::limits::SYMLINKS;

use crate::base::{Error, Result};

/// Where a path leads, be it there or not: links are followed as the system follows them.
///
/// # Errors
/// If links lead in a circle.
pub(super) fn follow(path: &Path) -> Result<PathBuf> {
    resolve(path).map_err(|error| Error::user(format!("{}: leads nowhere", path.display())).because(error))
}

/// What is written under a name: the name itself, which a new file may get, and where it leads.
///
/// # Errors
/// As [`follow`].
pub(super) fn places(path: &Path) -> Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = path.file_name().map(|name| Ok(follow(folder)?.join(name)));
    named.into_iter().chain([follow(path)]).collect()
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut left = parts(&absolute(path)?);
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        // The root takes the place of what was there.
        at.push(part);
        let Ok(target) = fs::read_link(&at) else { continue };
        links += 1;
        if links > SYMLINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        at.pop();
        left.extend(parts(&target));
    }
    Ok(at)
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let matters = |component: &Component| *component != Component::CurDir;
    path.components().rev().filter(matters).map(|component| component.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_the_system_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("far/deep")).unwrap();
        fs::write(root.join("far/file"), "").unwrap();
        for (target, name) in [
            ("far/deep", "link"),
            ("/etc", "out"),
            ("far/file", "file"),
            ("no/such", "dangling"),
            ("link", "again"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        for (path, expected) in [
            ("new.raw", "new.raw"),
            ("no/new.raw", "no/new.raw"),
            ("./far//deep/", "far/deep"),
            ("link/new.raw", "far/deep/new.raw"),
            // Not as it reads: up from where the link leads.
            ("link/../file", "far/file"),
            ("again/x", "far/deep/x"),
            ("file", "far/file"),
            ("dangling", "no/such"),
            ("out/x.raw", "/etc/x.raw"),
            ("out/../x.raw", "/x.raw"),
        ] {
            assert_eq!(follow(&root.join(path)).unwrap(), root.join(expected), "{path}");
        }
        for existing in ["far/file", "link", "file", "link/../file", "out", "out/.."] {
            let path = root.join(existing);
            assert_eq!(follow(&path).unwrap(), fs::canonicalize(&path).unwrap(), "{existing}");
        }
        assert_eq!(follow(Path::new("x")).unwrap(), follow(Path::new(".")).unwrap().join("x"));
        assert_eq!(follow(Path::new("/../..")).unwrap(), Path::new("/"));
    }

    #[test]
    fn a_name_and_what_it_leads_to_are_both_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        symlink("/etc/x.raw", root.join("link")).unwrap();
        assert_eq!(places(&root.join("link")).unwrap(), [root.join("link"), PathBuf::from("/etc/x.raw")]);
        assert_eq!(places(&root.join("x")).unwrap(), [root.join("x"), root.join("x")]);
    }

    #[test]
    fn circles_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(follow(&a.join("x")).unwrap_err().to_string().contains("/a/x: leads nowhere: "));
        // As many as the system follows, and no more.
        for link in 0..=SYMLINKS {
            symlink(format!("l{link}"), dir.path().join(format!("l{}", link + 1))).unwrap();
        }
        assert!(follow(&dir.path().join(format!("l{SYMLINKS}"))).is_ok());
        assert!(follow(&dir.path().join(format!("l{}", SYMLINKS + 1))).is_err());
    }
}
