//! What is kept, on file systems of the kernel's: a root and a partition on loop devices, in namespaces of their own, with
//! busybox as the init. Needs root.
//!
//! What says that both are of one disk is made up: not every kernel reads partition tables.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

mod support;

/// Mount the root `$2`, beside which `$3` has the label `$4`, and start the program in it as the kernel does.
const MACHINE: &str = r#"
mount -o ro "$2" "$1/root"
mount --bind "$1/out" "$1/root/out"
mount -t devtmpfs devtmpfs "$1/root/dev"
mount --bind "$1/out/console" "$1/root/dev/console"
mount -t sysfs sysfs "$1/root/sys"
mount -t tmpfs tables "$1/root/sys/dev/block"
disk="$1/root/sys/dev/block/disk"
for device in "$2" "$3"; do
    mkdir -p "$disk/${device##*/}"
    echo 1 >"$disk/${device##*/}/partition"
    echo 0 >"$disk/${device##*/}/start"
    ln -s "disk/${device##*/}" "$1/root/sys/dev/block/$(mountpoint -x "$device")"
done
echo "PARTNAME=$4" >"$disk/${3##*/}/uevent"
exec chroot "$1/root" /usr/lib/vmimage/early
"#;

/// Tells what a machine finds, and does what it is told.
const INIT: &str = r#"#!/bin/busybox sh
tell() { echo "$*" >>/out/facts; }
tell "etc $(cat /etc/settings) $(cat /etc/image)"
tell "var $(cat /var/lib/app/state) $(stat -c '%u %a' /var/lib/app) $(cat /var/many/* | md5sum | tr -d ' -')"
tell "persist $(ls /persist | tr '\n' ' ')"
tell "state $(sed 's/loop[0-9]*/loop/' /run/vmimage/persist.json)"
. /out/act
"#;

const CONFIG: &str = r#"{"volatile":["/tmp"],"init":"/sbin/init","persist":{"label":"persist","at":"/persist",
    "overlay":["/etc"],"bind":["/var"],"create":["/data"],"grows":false}}"#;

/// A machine makes all that it keeps another.
const WRITE: &str = "echo machine >/etc/settings; echo machine >/var/lib/app/state\n";

/// A file as a block device.
struct Device(String);

impl Device {
    fn new(file: &Path) -> Self {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Until nobody has it mounted: those who are killed may take a moment to go.
    fn wait(&self) {
        let alone = i32::try_from(OFlags::EXCL.bits()).unwrap();
        while File::options().read(true).custom_flags(alone).open(&self.0).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A machine with a root, and a partition for what it keeps.
struct Machine {
    scratch: tempfile::TempDir,
    root: Device,
    persist: Device,
}

impl Machine {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for folder in ["root", "out"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        let root = Device::new(&image(scratch.path(), "one"));
        Self { root, persist: empty(scratch.path(), "persist"), scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Another version of the same machine.
    fn update(&mut self) {
        self.root = Device::new(&image(self.scratch.path(), "two"));
    }

    fn start(&self, act: &str, label: &str) -> Child {
        fs::write(self.path("out/act"), act).unwrap();
        let _ = fs::remove_file(self.path("out/facts"));
        File::create(self.path("out/console")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", MACHINE, "sh"]);
        command.arg(self.scratch.path()).args([&self.root.0, &self.persist.0]).arg(label);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What it tells, and what it says on the console.
    fn boot_as(&self, act: &str, label: &str) -> (String, String) {
        let output = self.start(act, label).wait_with_output().unwrap();
        let console = fs::read(self.path("out/console")).unwrap();
        let said = String::from_utf8_lossy(&[console, output.stdout, output.stderr].concat()).into_owned();
        (fs::read_to_string(self.path("out/facts")).unwrap_or_default(), said)
    }

    #[track_caller]
    fn boot(&self, act: &str) -> String {
        let (facts, said) = self.boot_as(act, "persist");
        assert!(facts.contains("\nstate "), "{said}");
        facts
    }
}

/// An ext4 in a file, with what is in a folder.
fn make(file: &Path, arguments: &[&str]) {
    File::create(file).unwrap().set_len(48 << 20).unwrap();
    let mut mkfs = Command::new("mkfs.ext4");
    assert!(mkfs.args(["-q", "-F"]).args(arguments).arg(file).status().unwrap().success());
}

/// A partition with nothing on it.
fn empty(scratch: &Path, name: &str) -> Device {
    make(&scratch.join(name), &[]);
    Device::new(&scratch.join(name))
}

/// A root of this version.
fn image(scratch: &Path, version: &str) -> PathBuf {
    let (image, file) = (scratch.join(format!("image-{version}")), scratch.join(version));
    support::root(&image, CONFIG, INIT);
    for folder in ["sys", "persist", "var/lib/app", "var/many"] {
        fs::create_dir_all(image.join(folder)).unwrap();
    }
    support::install("/sbin/e2fsck", &image.join("sbin/e2fsck"), &image);
    for (path, text) in [("etc/settings", "image"), ("etc/image", version), ("var/lib/app/state", version)] {
        fs::write(image.join(path), text).unwrap();
    }
    (0..400)
        .for_each(|number| fs::write(image.join(format!("var/many/{number}")), "x".repeat(number)).unwrap());
    fs::set_permissions(image.join("var/lib/app"), Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(image.join("var/lib/app"), Some(33), Some(33)).unwrap();
    make(&file, &["-d", &image.to_string_lossy()]);
    file
}

/// The digest of `/var/many`.
const MANY: &str = "MANY";

/// The facts of a machine that keeps what it should.
fn facts(settings: &str, version: &str, state: &str) -> String {
    format!(
        "etc {settings} {version}\nvar {state} 33 2750 {MANY}\npersist bind data lost+found overlay work \n\
         state {{\"device\":\"/dev/loop\",\"in_memory\":{{}}}}\n"
    )
}

/// The same with a word in place of the digest, which is that of the whole.
fn told(facts: &str) -> String {
    let bytes: String = {
        let mut names: Vec<_> = (0..400_usize).collect();
        names.sort_by_key(ToString::to_string);
        names.into_iter().map(|number| "x".repeat(number)).collect()
    };
    let mut digest = Command::new("md5sum");
    let mut digest = digest.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut digest.stdin.take().unwrap(), bytes.as_bytes()).unwrap();
    let digest = String::from_utf8(digest.wait_with_output().unwrap().stdout).unwrap();
    facts.replace(digest.split(' ').next().unwrap(), MANY)
}

#[test]
fn what_a_machine_writes_is_kept_and_what_it_does_not_is_the_images() {
    let mut machine = Machine::new();
    assert_eq!(told(&machine.boot(WRITE)), facts("image", "one", "one"));
    assert_eq!(told(&machine.boot("")), facts("machine", "one", "machine"));
    machine.update();
    assert_eq!(told(&machine.boot("")), facts("machine", "two", "machine"));
}

#[test]
fn a_machine_is_as_new_after_it_was_asked_to_be() {
    let machine = Machine::new();
    machine.boot(WRITE);
    let asked = machine.boot_as("/usr/lib/vmimage/early factory-reset", "persist");
    assert!(asked.1.contains("vmimage: what this machine has kept goes"), "{}", asked.1);
    assert_eq!(told(&machine.boot(WRITE)), facts("image", "one", "one"));
    assert_eq!(told(&machine.boot("")), facts("machine", "one", "machine"));
}

#[test]
fn a_machine_without_what_it_keeps_starts_and_says_so() {
    let machine = Machine::new();
    machine.boot(WRITE);
    let is_new = |facts: &str, said: &str, why: &str| {
        assert!(
            told(facts).starts_with(&format!("etc image one\nvar one 33 2750 {MANY}\n")),
            "{facts}{said}"
        );
        assert!(facts.contains("\"device\":null") && facts.contains(why), "{facts}");
        for directory in ["/etc", "/var", "/persist"] {
            assert!(
                said.contains(&format!("vmimage: {directory}: NOT KEPT")) && said.contains(why),
                "{said}"
            );
        }
    };
    let (facts, said) = machine.boot_as("", "other");
    is_new(&facts, &said, "no partition has the label persist");
    // Nothing of it was touched.
    assert_eq!(told(&machine.boot("")), self::facts("machine", "one", "machine"));
    let partition = File::options().write(true).open(&machine.persist.0).unwrap();
    for offset in (0..48 << 20).step_by(1 << 20) {
        partition.write_all_at(&[0xff; 65536], offset).unwrap();
    }
    partition.sync_all().unwrap();
    let (facts, said) = machine.boot_as(WRITE, "persist");
    is_new(&facts, &said, "cannot be mounted: Invalid argument");
    assert!(said.contains("/sbin/e2fsck -p (8): "), "{said}");
    let (facts, said) = machine.boot_as("/usr/lib/vmimage/early factory-reset", "persist");
    is_new(&facts, &said, "cannot be mounted: Invalid argument");
    assert!(said.contains("vmimage: /persist: is in memory"), "{said}");
}

/// Kill the first process of a machine, with which the kernel ends all the others, and see it end: it may not be there yet,
/// and does not die of `unshare` itself until it has asked for that.
fn kill(unshare: &mut Child) {
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let first = loop {
        match fs::read_to_string(&children).unwrap().trim() {
            "" => std::thread::sleep(Duration::from_millis(1)),
            first => break Pid::from_raw(first.parse().unwrap()).unwrap(),
        }
    };
    kill_process(first, Signal::KILL).unwrap();
    unshare.wait().unwrap();
}

/// Wherever it is: before, in the middle of what is copied, behind it.
#[test]
fn a_machine_that_is_killed_in_its_first_boot_has_all_in_the_next() {
    let mut machine = Machine::new();
    for number in 0..12 {
        machine.persist = empty(machine.scratch.path(), &format!("persist-{number}"));
        let mut child = machine.start("sleep 9", "persist");
        std::thread::sleep(Duration::from_millis(20 * number));
        kill(&mut child);
        machine.persist.wait();
        assert_eq!(told(&machine.boot("")), facts("image", "one", "one"), "killed after {} ms", 20 * number);
    }
}
