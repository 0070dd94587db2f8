//! The program on real disks: loop devices, the kernel's ext4, XFS and btrfs, sgdisk and the checkers. Needs root.
//!
//! To grow a mounted ext4 takes CAP_SYS_RESOURCE, which containers and some sandboxes withhold even from
//! root. Without it the last step must fail with exactly that reason, after the partition has grown.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// Run a program that must succeed. Returns what it said on standard output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text.trim().to_owned()
}

/// A disk with one of its partitions mounted; all is undone also when a test fails.
struct Disk {
    directory: tempfile::TempDir,
    device: String,
}

impl Disk {
    /// A disk of `size` bytes that `partition` (a program and its arguments) partitions.
    fn new(size: u64, partition: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        File::create(&image).unwrap().set_len(size).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        if let [program, arguments @ ..] = partition {
            run(program, &[arguments, &[image.to_str().unwrap()]].concat());
        }
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]);
        let disk = Self { directory, device };
        if !partition.is_empty() {
            // Not by the kernel's own parser, which not every kernel has.
            run("partx", &["--add", &disk.device]);
        }
        disk
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Put an ext4 on a partition (or on the disk, if its name is empty) and mount it.
    fn mount(&self, partition: &str) {
        self.mount_as(partition, &["mkfs.ext4", "-q", "-F"]);
    }

    fn mount_as(&self, partition: &str, mkfs: &[&str]) {
        let device = format!("{}{partition}", self.device);
        let (program, options) = mkfs.split_first().unwrap();
        run(program, &[options, &[&*device]].concat());
        run("mount", &[&device, self.root().to_str().unwrap()]);
        fs::write(self.root().join("file"), "content").unwrap();
    }

    fn resize(&self, size: u64) {
        File::options().write(true).open(self.directory.path().join("image")).unwrap().set_len(size).unwrap();
        run("losetup", &["--set-capacity", &self.device]);
    }

    /// What the program said, after its name.
    fn grow(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_vmimage-grow")).arg(self.root()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        said.trim().strip_prefix("vmimage-grow: ").unwrap().replace(&self.device, "disk")
    }

    /// Bytes of a partition as the kernel has it.
    fn partition_size(&self, partition: &str) -> u64 {
        run("blockdev", &["--getsize64", &format!("{}{partition}", self.device)]).parse().unwrap()
    }

    /// Bytes of the mounted file system, roughly.
    fn capacity(&self) -> u64 {
        let status = rustix::fs::statvfs(self.root()).unwrap();
        status.f_blocks * status.f_frsize
    }

    fn unmount(&self) {
        run("umount", &[self.root().to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.root()).stderr(std::process::Stdio::null()).status();
        let _ = Command::new("partx")
            .args(["--delete", &self.device])
            .stderr(std::process::Stdio::null())
            .status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// Whether this process has CAP_SYS_RESOURCE (bit 24).
fn may_grow_ext4() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(capabilities.trim(), 16).unwrap() >> 24 & 1 == 1
}

const GPT: [&str; 7] =
    ["sgdisk", "-n1:1M:+1M", "-t1:ef02", "-n2:0:+16M", "-t2:ef00", "-n3:0:+60M", "-t3:8304"];

#[test]
fn the_root_grows_to_the_disk_and_only_once() {
    let disk = Disk::new(80 * MIB, &GPT);
    disk.mount("p3");
    disk.resize(600 * MIB);
    // 18 MiB before it, and one for the backup table.
    let (first, second) = (disk.grow(), disk.grow());
    assert_eq!(disk.partition_size("p3"), 581 * MIB);
    if may_grow_ext4() {
        assert_eq!(first, "diskp3: 60.0 MiB -> 581.0 MiB");
        assert_eq!(second, "diskp3: 581.0 MiB, nothing to do");
        assert!(disk.capacity() > 500 * MIB);
    } else {
        assert_eq!(first, "diskp3: cannot grow ext4: Operation not permitted (os error 1)");
    }
    assert_eq!(fs::read_to_string(disk.root().join("file")).unwrap(), "content");

    disk.unmount();
    let device = format!("{}p3", disk.device);
    run("e2fsck", &["-fn", &device]);
    let verified = run("sgdisk", &["--verify", &disk.device]);
    assert!(verified.contains("No problems found"), "{verified}");
}

/// The check above must be able to fail: before the program ran, the backup is not at the end.
#[test]
fn sgdisk_sees_a_backup_that_is_not_at_the_end() {
    let disk = Disk::new(80 * MIB, &GPT);
    disk.resize(600 * MIB);
    let verified = Command::new("sgdisk").args(["--verify", &disk.device]).output().unwrap();
    assert!(!String::from_utf8_lossy(&verified.stdout).contains("No problems found"));
}

#[test]
fn the_last_partition_of_an_mbr_grows() {
    let disk = Disk::new(80 * MIB, &["sh", "-c", r#"echo 2048,40960,L | sfdisk -q "$0""#]);
    disk.mount("p1");
    disk.resize(300 * MIB);
    let said = disk.grow();
    // One in front of it, and one behind.
    assert_eq!(disk.partition_size("p1"), 298 * MIB);
    if may_grow_ext4() {
        assert_eq!(said, "diskp1: 20.0 MiB -> 298.0 MiB");
    } else {
        assert_eq!(said, "diskp1: cannot grow ext4: Operation not permitted (os error 1)");
    }
    run("sfdisk", &["--verify", "--quiet", &disk.device]);
}

#[test]
fn a_root_that_is_the_whole_disk_grows() {
    let disk = Disk::new(64 * MIB, &[]);
    disk.mount("");
    disk.resize(300 * MIB);
    let said = disk.grow();
    if may_grow_ext4() {
        assert_eq!(said, "disk: 64.0 MiB -> 300.0 MiB");
    } else {
        assert_eq!(said, "disk: cannot grow ext4: Operation not permitted (os error 1)");
    }
}

/// XFS and btrfs grow in any container that may mount them.
#[test]
fn other_file_systems_grow_by_their_own_calls() {
    for (mkfs, check) in [
        (&["mkfs.xfs", "-q", "-f"][..], &["xfs_repair", "-n"][..]),
        (&["mkfs.btrfs", "-q", "-f"], &["btrfs", "check"]),
    ] {
        let disk = Disk::new(400 * MIB, &["sgdisk", "-n1:1M:+16M", "-n2:0:+340M"]);
        disk.mount_as("p2", mkfs);
        disk.resize(900 * MIB);
        let (first, second) = (disk.grow(), disk.grow());
        assert_eq!(disk.partition_size("p2"), 882 * MIB, "{first}");
        assert_eq!(first, "diskp2: 340.0 MiB -> 882.0 MiB", "{mkfs:?}");
        assert_eq!(second, "diskp2: 882.0 MiB, nothing to do");
        assert!(disk.capacity() > 780 * MIB, "{}", disk.capacity());
        assert_eq!(fs::read_to_string(disk.root().join("file")).unwrap(), "content");
        disk.unmount();
        let device = format!("{}p2", disk.device);
        run(check[0], &[&check[1..], &[&*device]].concat());
    }
}

#[test]
fn what_it_does_not_know_is_left_alone() {
    let disk = Disk::new(80 * MIB, &["sgdisk", "-n1:1M:+20M", "-n2:0:+20M"]);
    disk.mount("p1");
    disk.resize(300 * MIB);
    let before = disk_hash(&disk);
    assert_eq!(disk.grow(), "diskp1: 20.0 MiB, left alone: not the last partition of the disk");
    assert_eq!(disk_hash(&disk), before);

    // In an extended partition of an MBR.
    let disk =
        Disk::new(80 * MIB, &["sh", "-c", r#"printf '2048,81920,E\n4096,40960,L\n' | sfdisk -q "$0""#]);
    disk.mount("p5");
    disk.resize(300 * MIB);
    let said = "diskp5: 20.0 MiB, left alone: not one of the four of the partition table";
    assert_eq!(disk.grow(), said);
}

/// Both tables of the disk.
fn disk_hash(disk: &Disk) -> String {
    run("sh", &["-c", &format!("(head -c 1M {0}; tail -c 1M {0}) | sha256sum", disk.device)])
}

#[test]
fn no_block_device_is_no_error_and_no_directory_is() {
    let said = run(env!("CARGO_BIN_EXE_vmimage-grow"), &["/proc"]);
    assert_eq!(said, "vmimage-grow: /proc: not on a block device, left alone");
    for arguments in [&["/nonexistent"][..], &["x"], &["--root", "/"], &["/", "/"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_vmimage-grow")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
    assert!(Path::new("/proc/self").exists());
}
