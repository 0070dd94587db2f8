//! A place for disks, and the program in a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

/// A password that no message may hold.
pub(crate) const PASSWORD: &str = "s3cret-pa:ss w\u{f6}rd";
pub(crate) const USER: &str = "somebody";

/// Folders of a test.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        ["home/.docker", "out"].iter().for_each(|name| fs::create_dir_all(folder.path().join(name)).unwrap());
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.path().join("out/disk.raw")
    }

    /// `vmimage convert SOURCE -o DISK`
    pub(crate) fn convert(&self, source: &str) -> Command {
        self.convert_to(source, &self.disk())
    }

    /// The same to another disk, by somebody who has nothing but this home.
    pub(crate) fn convert_to(&self, source: &str, disk: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["convert", "--quiet", "--no-install", "--profile", "data", source, "-o"]).arg(disk);
        command
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Convert, and hand out the disk.
    #[track_caller]
    pub(crate) fn converted(&self, command: &mut Command) -> Vec<u8> {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", text(&output));
        let disk = fs::read(self.disk()).unwrap();
        fs::remove_file(self.disk()).unwrap();
        disk
    }

    /// Convert in vain; what was said. Nothing may be left, and nothing secret told.
    #[track_caller]
    pub(crate) fn refused(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() <= 2, "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains(&login()), "{said}");
        let left: Vec<_> = fs::read_dir(self.path().join("out")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        said
    }

    /// An authority that is trusted for a server, and keys for that.
    pub(crate) fn trust(&self, host: &str) {
        let folder = self.path().join("home/.config/containers/certs.d").join(host);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(self.path().join("ca.crt"), folder.join("ca.crt")).unwrap();
    }

    /// As `docker login` leaves it.
    pub(crate) fn log_in(&self, host: &str) {
        let auths = serde_json::json!({ "auths": { host: { "auth": login() } } });
        fs::write(self.path().join("home/.docker/config.json"), auths.to_string()).unwrap();
    }
}

/// Name and password as docker stores and HTTP sends them.
pub(crate) fn login() -> String {
    STANDARD.encode(format!("{USER}:{PASSWORD}"))
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Run a tool that must succeed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (see .ci/setup)"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}
