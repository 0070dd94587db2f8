//! The disk's root, read through the kernel's ext4, is the container's root plus the machine edits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use sha2::{Digest, Sha256};

use super::lab::{Mount, VMIMAGE, build, partitions, run, scratch, syntax, testdata};

/// What `docker run` itself makes in a container's root.
const MADE_BY_DOCKER: &[&str] = &[".dockerenv", "etc/mtab"];

/// What the machine edits may add, change or remove; a trailing `/` stands for all below.
const EDITS: &[&str] = &[
    // Its permissions are the engine's.
    "",
    "boot/efi",
    "boot/grub/",
    "boot/vmimage-kernels",
    "dev/",
    "etc/default/grub.d/",
    "etc/fstab",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/systemd/network/",
    "etc/systemd/system/",
    "lost+found",
    "proc/",
    "run/",
    "sys/",
    "tmp/",
    "usr/lib/systemd/system/systemd-growfs-root.service.d/",
    "usr/lib/systemd/system/vmimage-grow.service",
    "usr/lib/vmimage/",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/log/",
];

/// Folders that get a new entry, or lose one, by the edits: only their times and link counts differ.
const EDITED_FOLDERS: &[&str] = &[
    "boot",
    "etc",
    "etc/systemd",
    "usr/lib",
    "usr/lib/systemd/system",
    "var/cache/ldconfig",
    "var/lib/dbus",
];

/// A container running an image; removed when dropped.
struct Container(String);

impl Container {
    fn new(image: &str) -> Self {
        Self(
            run(Command::new("docker").args(["run", "-d", "--rm", "--entrypoint", "sleep", image, "600"]))
                .trim()
                .into(),
        )
    }

    /// The container's root as the host sees it.
    fn root(&self) -> PathBuf {
        let pid = run(Command::new("docker").args(["inspect", "-f", "{{.State.Pid}}", &self.0]));
        Path::new("/proc").join(pid.trim()).join("root")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.0]).output();
    }
}

/// All of an inode that must survive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// Size of a file, length of a link's target.
    size: Option<u64>,
    device: Option<u64>,
    target: Option<OsString>,
    xattrs: BTreeMap<OsString, Vec<u8>>,
    content: Option<[u8; 32]>,
    /// The first of this inode's names in the walk, if it has several.
    same_as: Option<PathBuf>,
    /// Whether the file has a hole.
    sparse: bool,
}

#[test]
fn the_disk_holds_what_the_container_held() {
    let folder = scratch();
    let context = testdata("fidelity");
    let disk = folder.path().join("fidelity.raw");
    build(&context, &disk, &[]);
    run(Command::new("docker")
        .args([
            "buildx",
            "build",
            "-q",
            "--load",
            "-t",
            "vmimage-test/fidelity",
            "--build-arg",
            "VMIMAGE_STAGE=rootfs",
        ])
        .args(["--build-arg", &syntax()])
        .arg(&context));
    let container = Container::new("vmimage-test/fidelity");
    let root = Mount::new(&disk, &partitions(&disk)[2], folder.path().join("root"));

    let before = walk(&container.root());
    let after = walk(&root.0);
    assert!(
        before.keys().filter(|path| path.starts_with("fidelity")).count() > 3040,
        "the test data is not there"
    );

    let changed = differences(&before, &after);
    let unexpected: Vec<_> = changed.iter().filter(|path| !is_edit(path, &before, &after)).collect();
    let shown: Vec<_> =
        unexpected.iter().map(|path| (path, before.get(**path), after.get(**path))).take(20).collect();
    assert!(unexpected.is_empty(), "{} differences beyond the machine edits: {shown:#?}", unexpected.len());
    for edit in ["etc/fstab", "etc/machine-id", "boot/grub/grub.cfg"] {
        assert!(changed.contains(Path::new(edit)), "{edit} should have been edited");
    }
}

#[test]
fn the_comparison_sees_each_kind_of_difference() {
    let folder = scratch();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    for root in [&one, &two] {
        run(Command::new("sh").arg(testdata("fidelity").join("make.sh")).arg(root));
    }
    run(Command::new("cp").args(["--reflink=never", "-a", "-T"]).arg(&one).arg(&two));
    let same = walk(&one);
    assert_eq!(differences(&same, &walk(&two)), BTreeSet::new());
    for (path, damage) in [
        ("mode-0755", "chmod 754 mode-0755"),
        ("high-owner", "chown 1:1 high-owner"),
        ("ns", "touch -d '2001-02-03 04:05:06.123456788Z' ns"),
        ("xattrs", "setfattr -n user.short -v y xattrs"),
        ("acl", "setfacl -m u:1000:r acl"),
        ("capable", "setcap cap_net_raw=+ep capable"),
        ("short-link", "ln -sfn other short-link && touch -h -r ../one/short-link short-link"),
        ("with-holes", "cp --sparse=never -p with-holes x && mv x with-holes"),
        ("char", "rm char && mknod char c 5 2 && touch -r ../one/char char"),
        ("hard-link", "cp -p hard-link x && mv x hard-link"),
        (
            "random",
            "printf x | dd of=random bs=1 seek=9999 conv=notrunc status=none && touch -r ../one/random random",
        ),
    ] {
        run(Command::new("cp").args(["-a", "-T"]).arg(&one).arg(folder.path().join("copy")));
        run(Command::new("sh").args(["-ec", damage]).current_dir(folder.path().join("copy")));
        let damaged = walk(&folder.path().join("copy"));
        let changed = differences(&same, &damaged);
        assert!(changed.contains(Path::new(path)), "{damage}: not seen in {changed:?}");
        fs::remove_dir_all(folder.path().join("copy")).unwrap();
    }
}

/// Paths that are not the same on both sides.
pub(crate) fn differences<'a>(
    before: &'a BTreeMap<PathBuf, Entry>,
    after: &'a BTreeMap<PathBuf, Entry>,
) -> BTreeSet<&'a Path> {
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).map(PathBuf::as_path).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect()
}

pub(crate) fn is_edit(
    path: &Path,
    before: &BTreeMap<PathBuf, Entry>,
    after: &BTreeMap<PathBuf, Entry>,
) -> bool {
    let text = path.to_str().unwrap_or("");
    let listed = EDITS.iter().any(|edit| match edit.strip_suffix('/') {
        Some(folder) => path.starts_with(folder),
        None => text == *edit,
    });
    let only_the_time =
        EDITED_FOLDERS.contains(&text) && before.get(path).map(|e| e.mode) == after.get(path).map(|e| e.mode);
    listed || only_the_time || MADE_BY_DOCKER.contains(&text)
}

/// Every entry below `root` on its own file system.
pub(crate) fn walk(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    let mut first_names = HashMap::new();
    let device = fs::metadata(root).unwrap().dev();
    let mut stack = vec![PathBuf::new()];
    while let Some(path) = stack.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).unwrap();
        if meta.dev() != device && meta.is_dir() {
            continue;
        }
        if meta.is_dir() {
            let mut below: Vec<_> =
                fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())).collect();
            below.sort();
            stack.extend(below.into_iter().rev());
        }
        let entry = entry(&full, &path, &meta, &mut first_names);
        entries.insert(path, entry);
    }
    entries
}

fn entry(
    full: &Path,
    path: &Path,
    meta: &fs::Metadata,
    first_names: &mut HashMap<(u64, u64), PathBuf>,
) -> Entry {
    let kind = meta.file_type();
    let several = !meta.is_dir() && meta.nlink() > 1;
    let first =
        several.then(|| first_names.entry((meta.dev(), meta.ino())).or_insert(path.to_owned()).clone());
    Entry {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: (!meta.is_dir()).then_some(meta.len()),
        device: (kind.is_char_device() || kind.is_block_device()).then_some(meta.rdev()),
        target: kind.is_symlink().then(|| fs::read_link(full).unwrap().into()),
        xattrs: xattrs(full),
        content: kind.is_file().then(|| Sha256::digest(fs::read(full).unwrap()).into()),
        same_as: first,
        sparse: kind.is_file() && meta.len() > 0 && has_hole(full, meta.len()),
    }
}

fn has_hole(path: &Path, len: u64) -> bool {
    let file = fs::File::open(path).unwrap();
    seek(&file, SeekFrom::Hole(0)).unwrap() < len
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 65536];
    let len = llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..len].split(|&b| b == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = std::ffi::OsStr::from_bytes(name);
            let mut value = vec![0; 65536];
            let len = lgetxattr(path, name, &mut value).unwrap();
            value.truncate(len);
            (name.to_owned(), value)
        })
        .collect()
}

#[test]
fn inspect_agrees_with_the_partition_table() {
    let folder = scratch();
    let disk = folder.path().join("machine.raw");
    build(&testdata("machine"), &disk, &[]);
    let json = run(Command::new(VMIMAGE).arg("inspect").arg(&disk).arg("--json"));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let table = partitions(&disk);
    for (index, partition) in table.iter().enumerate() {
        assert_eq!(report["partitions"][index]["start"], partition.start);
        assert_eq!(report["partitions"][index]["size"], partition.size);
    }
    assert!(report["linux"]["kernel"].to_string().contains("vmlinuz"), "{report:#}");
    assert!(report["linux"]["command_line"].to_string().contains("root=UUID="), "{report:#}");
}
