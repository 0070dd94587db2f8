//! A machine for tests that mount: this one's files under an overlay of memory, in a namespace of its own. Needs root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};

use super::disks::Block;
use super::loop_device;
use crate::init::initramfs::mount::SYSROOT;
use crate::init::modules::Modules;

const INSIDE: &str = "VMIMAGE_TEST_INSIDE";
/// `$1` is a folder, of the program `$2` the test `$3` is run.
const MACHINE: &str = r#"
mount -t tmpfs scratch "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root "$1/root"
for folder in dev proc sys; do mount --rbind "/$folder" "$1/root/$folder"; done
mount -t tmpfs tmp "$1/root/tmp"
: >"$1/root/tests"
mount --bind "$2" "$1/root/tests"
exec chroot "$1/root" /tests --exact "$3" --nocapture
"#;

/// Whether the test of this name is in such a machine already. If not, it is run in one.
pub(super) fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Command::new("unshare");
    machine.args(["--mount", "sh", "-ec", MACHINE, "sh"]).arg(folder.path());
    machine.arg(std::env::current_exe().unwrap()).arg(test);
    let output = machine.env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that is none would be a test of nothing.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A disk with a partition for each tree, all of them ext4.
pub(super) struct Disk {
    pub(super) file: PathBuf,
    pub(super) device: PathBuf,
}

impl Disk {
    /// By ids and the files in them.
    pub(super) fn new(folder: &Path, partitions: &[(&str, &[(&str, &str)])]) -> Self {
        let file = folder.join("disk.raw");
        File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let path = file.to_str().unwrap();
        for _ in partitions {
            run("sgdisk", &["-n0:0:+16M", path]);
        }
        let disk = Self { device: run("losetup", &["--find", "--show", path]).into(), file: file.clone() };
        disk.tell_kernel();
        let device = disk.device.display().to_string();
        for (number, (id, files)) in (1..).zip(partitions) {
            let tree = folder.join(format!("tree{number}"));
            for (name, text) in *files {
                let file = tree.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            let partition = format!("{device}p{number}");
            run("mkfs.ext4", &["-q", "-U", id, "-d", tree.to_str().unwrap(), &partition]);
        }
        disk
    }

    /// Of its partitions: the kernel's own parser is not in every kernel, and what another test has left is none of ours.
    fn tell_kernel(&self) {
        for what in ["--delete", "--add"] {
            let told = Command::new("partx").arg(what).arg(&self.device).output().unwrap();
            assert!(what == "--delete" || told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        }
    }

    /// The same, as this program attaches it.
    pub(super) fn read_only(self) -> Self {
        let file = self.file.clone();
        drop(self);
        let device = loop_device::attach(&file, 512, &mut Modules::none()).unwrap();
        let disk = Self { file, device };
        disk.tell_kernel();
        disk
    }

    pub(super) fn partition(&self, number: u32) -> Block {
        let path = format!("{}p{number}", self.device.display()).into();
        Block { path, disk: self.device.clone(), number: Some(number), bytes: 16 << 20, model: String::new() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for at in ["var", "usr", ""] {
            let _ = unmount(Path::new(SYSROOT).join(at), UnmountFlags::DETACH);
        }
        let _ = Command::new("partx").arg("--delete").arg(&self.device).output();
        let _ = loop_device::detach(&self.device);
    }
}
