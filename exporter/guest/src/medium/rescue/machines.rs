//! The systems that are installed in this machine: file systems with an `/etc/os-release`. Nothing is written to find them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::disks::{Block, show_size};
use crate::init::initramfs::root::partition_id;
use crate::init::initramfs::superblock::Superblock;
use crate::init::modules::Modules;

/// Where they are looked into.
const AT: &str = "/look";
/// By what a system is told (os-release(5)), and a file that no copy of such a file alone has beside it.
const RELEASES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Subvolumes of a btrfs where distributions have their root, beside the one that is mounted by itself.
const SUBVOLUMES: [&str; 4] = ["", "root", "@", "@rootfs"];
/// The most that is read of a file of somebody else.
const TEXT: u64 = 64 << 10;

/// A system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) block: Block,
    /// Its file system.
    pub(super) kind: String,
    /// Of a btrfs; empty: the one that is mounted by itself.
    pub(super) subvolume: String,
    /// What it says that it is.
    name: String,
    hostname: String,
    /// Whether its partition is one of the medium's disk: it was installed from there.
    is_ours: bool,
}

impl Installed {
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// For a person: `Debian GNU/Linux 12, web, /dev/sda3 (ext4, 9.9 GiB)`.
    pub(super) fn show(&self) -> String {
        let Self { block, kind, name, hostname, .. } = self;
        let hostname = if hostname.is_empty() { String::new() } else { format!("{hostname}, ") };
        let subvolume =
            if self.subvolume.is_empty() { String::new() } else { format!(", subvolume {}", self.subvolume) };
        let ours = if self.is_ours { ", installed from this medium" } else { "" };
        format!(
            "{name}, {hostname}{} ({kind}, {}{subvolume}{ours})",
            block.path.display(),
            show_size(block.bytes)
        )
    }
}

/// Those on all devices but the medium's. `ours` is the id that the root's partition has on the medium's disk.
pub(super) fn find(
    blocks: &[Block],
    medium: Option<&Path>,
    ours: Option<&str>,
    modules: &mut Modules,
) -> Vec<Installed> {
    let _ = fs::create_dir_all(AT);
    let others = blocks.iter().filter(|block| Some(&*block.disk) != medium && !block.is_optical());
    let mut found: Vec<_> = others.filter_map(|block| look(block, ours, modules)).collect();
    // Those of the medium's system first.
    found.sort_by_key(|installed| !installed.is_ours);
    found
}

fn look(block: &Block, ours: Option<&str>, modules: &mut Modules) -> Option<Installed> {
    let kind = Superblock::read(&block.path)?.kind;
    modules.load(kind);
    let subvolumes = if kind == "btrfs" { &SUBVOLUMES[..] } else { &SUBVOLUMES[..1] };
    let found = subvolumes.iter().find_map(|subvolume| {
        let options = std::ffi::CString::new(untouched(kind, subvolume)).ok()?;
        mount(&block.path, AT, kind, MountFlags::RDONLY, Some(&*options)).ok()?;
        let said = system(Path::new(AT));
        let _ = unmount(AT, UnmountFlags::DETACH);
        said.map(|said| (said, *subvolume))
    });
    let ((name, hostname), subvolume) = found?;
    let is_ours = ours.is_some() && partition_id(&block.path).as_deref() == ours;
    let (kind, subvolume) = (kind.to_owned(), subvolume.to_owned());
    Some(Installed { block: block.clone(), kind, subvolume, name, hostname, is_ours })
}

/// Options by which not even the journal of a system that has crashed is written.
fn untouched(kind: &str, subvolume: &str) -> String {
    match (kind, subvolume) {
        ("ext4", _) => "noload".to_owned(),
        ("xfs", _) => "norecovery,nouuid".to_owned(),
        ("btrfs", "") => "rescue=nologreplay".to_owned(),
        ("btrfs", name) => format!("rescue=nologreplay,subvol={name}"),
        _ => String::new(),
    }
}

/// What a tree says that it is, if it is a system: its name and that of the machine.
fn system(root: &Path) -> Option<(String, String)> {
    let release = RELEASES.iter().find_map(|file| text(root, file))?;
    let is_whole = ["usr", "etc"].iter().all(|folder| root.join(folder).is_dir());
    let value = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(shown(value.trim_matches(['"', '\''])))
    };
    let name = value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or_else(|| "Linux".to_owned());
    let hostname = text(root, "etc/hostname").unwrap_or_default();
    is_whole.then(|| (name, shown(hostname.lines().next().unwrap_or_default())))
}

/// A file below `root`; one that a link leads to is none: it may lead out of there.
fn text(root: &Path, file: &str) -> Option<String> {
    use std::io::Read;
    let path: PathBuf = root.join(file);
    fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What of a text of somebody else a console may show.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in super::super) fn installed(path: &str, is_ours: bool) -> Installed {
        let block = Block {
            path: path.into(),
            disk: "/dev/sda".into(),
            number: Some(3),
            bytes: 1 << 30,
            model: String::new(),
        };
        let name = "Debian GNU/Linux 12".to_owned();
        Installed {
            block,
            kind: "ext4".into(),
            subvolume: String::new(),
            name,
            hostname: "web".into(),
            is_ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::installed;
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_system_is_told_by_its_release() {
        let debian = tree(&[
            ("usr/lib/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("etc/hostname", "web\n"),
        ]);
        std::os::unix::fs::symlink("../usr/lib/os-release", debian.path().join("etc/os-release")).unwrap();
        let said = system(debian.path()).unwrap();
        assert_eq!(said, ("Debian GNU/Linux 12 (bookworm)".to_owned(), "web".to_owned()));
        let odd = tree(&[("etc/os-release", "NAME='\u{1b}[2JEvil'\n"), ("usr/x", "")]);
        assert_eq!(system(odd.path()).unwrap(), ("[2JEvil".to_owned(), String::new()));
    }

    #[test]
    fn what_is_no_system_is_none() {
        assert_eq!(system(tree(&[("home/x", "")]).path()), None);
        assert_eq!(system(tree(&[("etc/os-release", "NAME=x")]).path()), None, "without /usr");
        let outside = tree(&[("secret", "NAME=x")]);
        let linked = tree(&[("etc/x", ""), ("usr/x", "")]);
        std::os::unix::fs::symlink(outside.path().join("secret"), linked.path().join("etc/os-release"))
            .unwrap();
        assert_eq!(system(linked.path()), None);
    }

    #[test]
    fn nothing_is_written_to_look() {
        assert_eq!(untouched("ext4", ""), "noload");
        assert_eq!(untouched("btrfs", "@"), "rescue=nologreplay,subvol=@");
        assert!(untouched("xfs", "").contains("norecovery"));
    }

    #[test]
    fn a_person_sees_which_is_which() {
        assert_eq!(
            installed("/dev/sda3", true).show(),
            "Debian GNU/Linux 12, web, /dev/sda3 (ext4, 1.0 GiB, installed from this medium)"
        );
        let root =
            Installed { subvolume: "@".into(), hostname: String::new(), ..installed("/dev/sdb2", false) };
        assert_eq!(root.show(), "Debian GNU/Linux 12, /dev/sdb2 (ext4, 1.0 GiB, subvolume @)");
    }
}
