//! What every test here stands on: a folder for machines, a QEMU in front of all others, and a microVM for it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything takes: a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(60);

/// A folder, with machines that end with it.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// With a microVM, `vm`, whose root is an ext4 of a few files.
    pub(crate) fn new() -> Self {
        // Longer than the path of a socket may be.
        let folder = tempfile::Builder::new().prefix(&"machines-".repeat(10)).tempdir().unwrap();
        let lab = Self { folder };
        let qemu = lab.path("bin/qemu-system-x86_64");
        fs::create_dir(lab.path("bin")).unwrap();
        fs::write(&qemu, include_str!("qemu.py")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        lab.write_microvm();
        lab
    }

    fn write_microvm(&self) {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::create_dir_all(tree.join("srv/data")).unwrap();
        fs::write(tree.join("etc/os-release"), "ID=test\n").unwrap();
        fs::write(tree.join("srv/data/rows"), "1\n2\n").unwrap();
        fs::hard_link(tree.join("srv/data/rows"), tree.join("etc/rows")).unwrap();
        // Met before what is copied, and not copied itself.
        fs::write(tree.join("first"), "twice").unwrap();
        fs::hard_link(tree.join("first"), tree.join("srv/data/again")).unwrap();
        fs::hard_link(tree.join("first"), tree.join("srv/data/once more")).unwrap();
        std::os::unix::fs::symlink("srv/data", tree.join("data")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tree.join("srv/link")).unwrap();
        let holes = fs::File::create(tree.join("srv/holes")).unwrap();
        holes.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&holes, b"middle", 1 << 19).unwrap();
        let vm = self.path("vm");
        fs::create_dir(&vm).unwrap();
        fs::write(vm.join("vmlinuz"), "content").unwrap();
        fs::File::create(vm.join("root.raw")).unwrap().set_len(16 << 20).unwrap();
        let root = vm.join("root.raw");
        tool(
            "mkfs.ext4",
            &["-q", "-O", "^orphan_file", "-d", tree.to_str().unwrap(), root.to_str().unwrap()],
        );
        let description = json!({
            "version": 1, "name": "web", "architecture": "x86_64", "cpus": 1, "memory_mib": 128,
            "kernel": "vmlinuz", "cmdline": "root=/dev/vda",
            "drives": [{"id": "root", "file": "root.raw", "format": "raw", "read_only": false}],
            "ports": [], "agent": "io.vmimage.agent", "status": "io.vmimage.status", "machines": ["q35"],
        });
        fs::write(vm.join("vm.json"), description.to_string()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a machine is kept.
    pub(crate) fn machine(&self, name: &str) -> PathBuf {
        self.path("state/vmimage/machines").join(name)
    }

    /// `vmimage` with these words, in the folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.args(words).current_dir(self.folder.path()).env("PATH", path);
        command.env("XDG_STATE_HOME", self.path("state")).env("VMIMAGE_ACCEL", "tcg").stdin(Stdio::null());
        command
    }

    /// It does what is asked; what it prints.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// It does not, with status 1, one line of error and perhaps a hint; the error.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        let errors: Vec<_> = told.lines().filter(|line| !line.starts_with("hint: ")).collect();
        assert!(errors.len() == 1 && errors[0].starts_with("error: "), "{words:?}: {told}");
        told
    }

    /// A machine of `vm` that runs in the background.
    #[track_caller]
    pub(crate) fn start(&self, name: &str) {
        assert_eq!(self.done(&["run", "-d", "--name", name, "vm"]), format!("{name}\n"));
    }

    /// What `ps -a` knows of a machine.
    #[track_caller]
    pub(crate) fn ps(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.done(&["ps", "-a", "--json"])).unwrap();
        let found = all.as_array().unwrap().iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not among {all}")).clone()
    }

    /// Processes that have the folder on their command line, or run in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let entries = fs::read_dir("/proc").unwrap().map(Result::unwrap);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let own = self.folder.path().as_os_str().as_encoded_bytes().to_owned();
        let is_here = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            // One that has ended and was not waited for has neither.
            words.windows(own.len()).any(|part| part == own) || cwd.starts_with(self.folder.path())
        };
        pids.filter(is_here).collect()
    }

    /// The process that keeps a machine.
    #[track_caller]
    pub(crate) fn keeper(&self, name: &str) -> i32 {
        let folder = self.machine(name);
        let is_it = |pid: &i32| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.contains("keep-machine") && words.contains(folder.to_str().unwrap())
        };
        self.processes().into_iter().find(is_it).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Of a test that has failed.
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

#[track_caller]
pub(crate) fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command that gets this on its stdin, to its end.
pub(crate) fn fed(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn kill(pid: i32) {
    tool("kill", &["-KILL", &pid.to_string()]);
}

/// A child that is killed when the test is over, however that is.
pub(crate) struct Held(pub(crate) Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bytes of a file.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
