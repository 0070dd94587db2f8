//! Where a build is tried, with an engine that does as it is told.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory with a `docker` in `bin/`, which runs `script` for `docker buildx build`.
pub(crate) struct Lab(TempDir);

impl Lab {
    pub(crate) fn new(build: &str) -> Self {
        Self::with_docker(&stand_in(build))
    }

    pub(crate) fn with_docker(script: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for dir in ["bin", "out", "src"] {
            fs::create_dir(lab.path(dir)).unwrap();
        }
        lab.write("bin/docker", script);
        fs::set_permissions(lab.path("bin/docker"), PermissionsExt::from_mode(0o755)).unwrap();
        let disk = lab.path("src/disk.qcow2");
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(disk).arg("64M").status();
        assert!(made.unwrap().success());
        lab.write("src/Dockerfile", "FROM scratch\nCOPY disk.qcow2 /\n");
        lab
    }

    /// From now on the stand-in builds by another script.
    pub(crate) fn set_build(&self, build: &str) {
        self.write("bin/docker", &stand_in(build));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // Closed before anything runs, or the kernel would find the script busy.
        fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = self.command_on_any_engine(words);
        command.args(["--engine", "docker"]);
        command
    }

    pub(crate) fn command_on_any_engine(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display())).env_remove("BUILDX_BUILDER");
        command.current_dir(self.0.path()).arg("build").args(words.split_whitespace());
        command
    }

    pub(crate) fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What is in the output directory.
    pub(crate) fn left(&self) -> Vec<String> {
        names_in(&self.path("out"))
    }
}

/// A `docker` that runs `build` for `docker buildx build`.
pub(crate) fn stand_in(build: &str) -> String {
    format!(
        "#!/bin/sh\n\
         case \"$1 $2\" in\n\
         'buildx version') echo github.com/docker/buildx v0.13.1 0 ;;\n\
         'buildx build') {build} ;;\n\
         'version --format') echo 26.1.5 ;;\n\
         esac\n"
    )
}

pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
