//! A real directory with everything in it, scanned and compared with the text form. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use exporter::tree::{Detail, HostDir, Progress, Tree, scan};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// What a program in the machine could see.
const ALL: Detail = Detail { holes: false, hashes: true };
const THREADS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(status.unwrap_or_else(|error| panic!("{program}: {error}")).success(), "{program} {arguments:?}");
}

fn scan_path(path: &Path) -> exporter::Result<Tree> {
    scan(&HostDir::open(path)?, THREADS, &mut |_| ())
}

fn set_times(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Every kind of inode and of metadata. Returns the text it must be scanned to.
fn make_everything(root: &Path) -> &'static str {
    let at = |name: &str| root.join(name);
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(at("bin")).unwrap();
    fs::write(at("bin/ping"), "ping").unwrap();
    run("setcap", &["cap_net_raw+ep"], &at("bin/ping"));
    fs::write(at("bin/su"), "su").unwrap();
    fs::set_permissions(at("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(at("bin/su"), at("bin/su2")).unwrap();
    fs::create_dir(at("dev")).unwrap();
    run("sh", &["-c", r#"mknod -m 666 "$0" c 1 3"#], &at("dev/null"));
    run("sh", &["-c", r#"mknod -m 660 "$0" b 259 1048575"#], &at("dev/disk"));
    run("mkfifo", &["-m", "600"], &at("dev/fifo"));
    fs::hard_link(at("dev/fifo"), at("dev/fifo2")).unwrap();
    drop(UnixListener::bind(at("dev/log")).unwrap());
    fs::set_permissions(at("dev/log"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/", at("etc")).unwrap();
    run("setfattr", &["-h", "-n", "trusted.note", "-v", "on a link"], &at("etc"));
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"na me\n\xff=\\")), "x").unwrap();
    fs::write(at("old"), "").unwrap();
    fs::create_dir(at("shared")).unwrap();
    fs::set_permissions(at("shared"), fs::Permissions::from_mode(0o3775)).unwrap();
    run("setfacl", &["-d", "-m", "u:1000:rwx"], &at("shared"));
    run("setfattr", &["-n", "user.note", "-v", "0x00ff"], &at("shared"));
    let mut sparse = File::create(at("sparse")).unwrap();
    sparse.seek(SeekFrom::Start(1 << 20)).unwrap();
    sparse.write_all(&[7; 4096]).unwrap();
    sparse.set_len((2 << 20) + 5).unwrap();
    chown(at("sparse"), Some(70_000), Some(4_000_000_000)).unwrap();
    symlink("../../../../nowhere", at("up")).unwrap();
    for name in [
        "bin/ping", "bin/su", "bin", "dev/null", "dev/disk", "dev/fifo", "dev/log", "dev", "etc", "shared",
        "sparse", "up",
    ] {
        set_times(&at(name), 1_700_000_000, 123_456_789);
    }
    set_times(&root.join(std::ffi::OsStr::from_bytes(b"na me\n\xff=\\")), 4_294_967_296, 1);
    set_times(&at("old"), -2, 5);
    set_times(root, 1, 0);
    r"/ d 0755 0:0 1.000000000
/bin d 0755 0:0 1700000000.123456789
/bin/ping - 0644 0:0 1700000000.123456789 4 security.capability=0100000200200000000000000000000000000000 sha256=758d61f26a44448384e5c4468a0dcb7a2abe456067b0f7b505bc28b9411fe931
/bin/su - 4755 0:0 1700000000.123456789 2 sha256=0a64ce10853f25cb3dc3f7d498f62d72b406be37ba8caf5aa7671414d9696049
/bin/su2 = /bin/su
/dev d 0755 0:0 1700000000.123456789
/dev/disk b 0660 0:0 1700000000.123456789 259:1048575
/dev/fifo p 0600 0:0 1700000000.123456789
/dev/fifo2 = /dev/fifo
/dev/log s 0755 0:0 1700000000.123456789
/dev/null c 0666 0:0 1700000000.123456789 1:3
/etc l 0777 0:0 1700000000.123456789 / trusted.note=6f6e2061206c696e6b
/na\x20me\x0a\xff\x3d\x5c - 0644 0:0 4294967296.000000001 1 sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
/old - 0644 0:0 -2.000000005 0 sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
/shared d 3775 0:0 1700000000.123456789 system.posix_acl_default=0200000001000700ffffffff02000700e803000004000700ffffffff10000700ffffffff20000500ffffffff user.note=00ff
/sparse - 0644 70000:4000000000 1700000000.123456789 2097157 data=1048576-1052672 sha256=063ea244bf4c607079ac46ad54ba8b37310a91b91a786a6cb53e020eb75a0013
/up l 0777 0:0 1700000000.123456789 ../../../../nowhere
"
}

#[test]
fn everything_is_scanned_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let expected = make_everything(directory.path());
    let mut last = Progress::default();
    let tree =
        scan(&HostDir::open(directory.path()).unwrap(), THREADS, &mut |progress| last = progress).unwrap();
    assert_eq!(tree.dump(Detail { holes: true, hashes: true }).unwrap(), expected);
    assert_eq!(last, Progress { entries: 16, bytes: 2_097_164 });
}

/// The comparison above must be able to fail: each of these changes shows.
#[test]
fn every_change_shows_in_the_dump() {
    let changes: [(&str, &[&str], &str); 6] = [
        ("chmod", &["4750"], "bin/su"),
        ("chown", &["1:2"], "up2"),
        ("setfattr", &["-x", "user.note"], "shared"),
        ("touch", &["-d", "@5.5"], "old"),
        ("setcap", &["-r"], "bin/ping"),
        ("sh", &["-c", r#"echo -n PING >"$0""#], "bin/ping"),
    ];
    let directory = tempfile::tempdir().unwrap();
    make_everything(directory.path());
    fs::write(directory.path().join("up2"), "").unwrap();
    let mut before = scan_path(directory.path()).unwrap().digest(ALL).unwrap();
    for (program, arguments, name) in changes {
        run(program, arguments, &directory.path().join(name));
        let after = scan_path(directory.path()).unwrap().digest(ALL).unwrap();
        assert_ne!(after, before, "{program} {arguments:?} {name}");
        before = after;
    }
    assert_eq!(scan_path(directory.path()).unwrap().digest(ALL).unwrap(), before);
}

/// Inode numbers too, since the tree numbers inodes in the order in which they join it.
#[test]
fn the_tree_does_not_depend_on_the_threads() {
    let directory = tempfile::tempdir().unwrap();
    make_everything(directory.path());
    for number in 0..300 {
        let below = directory.path().join(format!("{}/{}/{number}", number % 7, number % 5));
        fs::create_dir_all(&below).unwrap();
        fs::hard_link(directory.path().join("old"), below.join("old")).unwrap();
        fs::write(below.join("a name that is longer than most names are"), "").unwrap();
    }
    let root = HostDir::open(directory.path()).unwrap();
    let scan_with = |threads| {
        let tree = scan(&root, NonZeroUsize::new(threads).unwrap(), &mut |_| ()).unwrap();
        let numbers: Vec<_> = tree.walk().map(|(parent, _, id)| (parent, id)).collect();
        (tree.dump(ALL).unwrap(), numbers)
    };
    let one = scan_with(1);
    assert!(one.0.contains("/old = /"));
    assert!([2, 8].into_iter().all(|threads| scan_with(threads) == one));
}

#[test]
fn a_directory_that_vanishes_ends_every_thread() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..100 {
        fs::create_dir(directory.path().join(number.to_string())).unwrap();
    }
    let vanish = &mut |_| drop(fs::remove_dir(directory.path().join("7")));
    let error = scan(&HostDir::open(directory.path()).unwrap(), THREADS, vanish).unwrap_err();
    assert_eq!(error.to_string(), "/7: cannot read the directory: No such file or directory (os error 2)");
}

#[test]
fn a_link_of_the_tree_never_leads_to_this_machine() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let directory = tempfile::tempdir().unwrap();
    symlink(outside.path(), directory.path().join("etc")).unwrap();
    let tree = scan_path(directory.path()).unwrap();
    assert_eq!(tree.children("/").count(), 1);
    assert_eq!(tree.read("/etc/secret", 100).unwrap(), None);
    assert_eq!(tree.read(outside.path().join("secret").as_os_str().as_bytes(), 100).unwrap(), None);
}

#[test]
fn a_file_exchanged_for_a_link_after_the_scan_is_not_followed() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "secret").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "harmless").unwrap();
    let tree = scan_path(directory.path()).unwrap();
    fs::remove_file(&file).unwrap();
    symlink(outside.path(), &file).unwrap();
    let error = tree.read("/file", 100).unwrap_err();
    assert!(error.to_string().starts_with("/file: cannot open the file: "), "{error}");
}

/// A mount, unmounted also when a test fails.
struct Mount<'path>(&'path Path);

impl<'path> Mount<'path> {
    fn new(arguments: &[&str], path: &'path Path) -> Self {
        run("mount", arguments, path);
        Self(path)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn what_is_mounted_below_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let (proc, hosts) = (directory.path().join("proc"), directory.path().join("hosts"));
    fs::create_dir(&proc).unwrap();
    fs::write(&hosts, "own").unwrap();
    let _proc = Mount::new(&["-t", "tmpfs", "tmpfs"], &proc);
    let _hosts = Mount::new(&["--bind", "/etc/hosts"], &hosts);
    fs::write(proc.join("foreign"), "foreign").unwrap();
    let tree = scan_path(directory.path()).unwrap();
    assert_eq!(tree.children("/proc").count(), 0);
    assert_eq!(tree.read("/hosts", 100).unwrap().unwrap(), b"");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = HostDir::open(Path::new("/nonexistent/root")).unwrap_err();
    assert!(
        error.to_string().starts_with("/nonexistent/root: cannot open the directory: No such file"),
        "{error}"
    );
}
