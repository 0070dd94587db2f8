//! Which engine does it: programs of these tests' own stand in for podman, buildah and skopeo, so that each can be unfit.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What podman 6 says of control groups that it cannot use.
const UNFIT: &str = "echo 'Error: cgroups v1 is not supported' >&2; exit 125";

/// A folder with stand-ins in `bin/`, which is all there is in PATH, and a log of who did what.
struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "src", "out", "image"] {
            fs::create_dir(lab.path(folder)).unwrap();
        }
        fs::write(lab.path("src/Dockerfile"), "FROM localhost/app\n").unwrap();
        fs::write(lab.path("log"), "").unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// An engine that answers what `doctor` asks, unless it is unfit, and whose builds fail.
    fn engine(&self, name: &str, is_fit: bool) {
        let info = if is_fit { "echo /store" } else { UNFIT };
        let version = format!("'--version '*) echo {name} version 6.0.0 ;;");
        self.program(
            name,
            &format!(
                "case \"$1 $2\" in\n{version}\ninfo*) {info} ;;\n\
             *) echo {name} builds nothing >&2; exit 9 ;;\nesac"
            ),
        );
    }

    /// A program that writes an image of the store to stdout, or cannot.
    fn reader(&self, name: &str, can_read: bool) {
        let image = self.path("image.tar");
        let read = if can_read { format!("exec /bin/cat {}", image.display()) } else { UNFIT.to_owned() };
        self.program(name, &format!("echo {name} >>{}\n{read}", self.path("log").display()));
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.current_dir(self.0.path()).args(words.split_whitespace());
        command.env("PATH", self.path("bin")).env("TMPDIR", self.0.path()).env_remove("BUILDX_BUILDER");
        command.output().unwrap()
    }

    /// What was read, by whom in turn.
    fn readers(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap();
        fs::write(self.path("log"), "").unwrap();
        log.lines().collect::<Vec<_>>().join(" ")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_engine_that_cannot_run_is_passed_over_with_one_line() {
    let unfit = |name: &str| format!("engine: {name}: does not work: cgroups v1 is not supported\n");
    for command in ["build src", "convert src --progress quiet"] {
        for (podman, buildah, said) in [
            (Some(true), Some(true), "engine: podman\n".to_owned()),
            (Some(false), Some(true), format!("{}engine: buildah\n", unfit("podman"))),
            (None, Some(true), "engine: buildah\n".to_owned()),
            (Some(false), Some(false), format!("{}{}error: ", unfit("podman"), unfit("buildah"))),
            (Some(false), None, format!("{}error: ", unfit("podman"))),
        ] {
            let lab = Lab::new();
            podman.into_iter().for_each(|is_fit| lab.engine("podman", is_fit));
            buildah.into_iter().for_each(|is_fit| lab.engine("buildah", is_fit));
            let words = format!("{command} -o out/disk.raw");
            let output = lab.run(&words);
            let told = stderr(&output);
            assert!(told.starts_with(&said), "{command}: {podman:?} {buildah:?}: {told}");
            assert_eq!(output.status.code(), Some(1));
            assert!(!stderr(&lab.run(&format!("{words} -q"))).contains("engine: "));
        }
    }
}

/// Who asks for an engine gets that one, or hears what is wrong with it.
#[test]
fn an_engine_that_was_asked_for_is_not_passed_over() {
    let lab = Lab::new();
    lab.engine("podman", false);
    lab.engine("buildah", true);
    for engine in ["podman", "buildah"] {
        let told = stderr(&lab.run(&format!("build src --engine {engine} -o out/disk.raw")));
        assert!(!told.contains("engine: ") && told.contains(&format!("{engine} builds nothing")), "{told}");
    }
}

/// As for want of memory, or by a signal that nobody can catch.
#[test]
fn temporary_folders_go_with_a_build_that_is_killed() {
    for command in ["build src", "convert src --progress quiet"] {
        let lab = Lab::new();
        let folders = "for folder in vmimage-* out/.vmimage-*; do [ -d $folder ] && echo $folder >>log; done";
        lab.program(
            "podman",
            &format!(
                "case \"$1 $2\" in\n'--version '*) echo podman version 6.0.0 ;;\ninfo*) echo /store ;;\n\
                 *) cd {}; {folders}; kill -KILL $PPID ;;\nesac",
                lab.0.path().display()
            ),
        );
        let output = lab.run(&format!("{command} --engine podman -o out/disk.raw"));
        assert_eq!(output.status.signal(), Some(9), "{}", stderr(&output));
        let log = lab.readers();
        let start = Instant::now();
        while log.split(' ').any(|folder| lab.path(folder).exists()) {
            assert!(start.elapsed() < Duration::from_secs(20), "{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(log.contains("vmimage-"), "there was one: {log}");
    }
}

/// An image as `docker save` writes it, with one layer.
fn save(folder: &Path, archive: &Path) {
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    fs::create_dir(folder.join("root")).unwrap();
    fs::write(folder.join("root/greeting"), "hello\n").unwrap();
    run(Command::new("tar")
        .arg("-C")
        .arg(folder.join("root"))
        .arg("-cf")
        .arg(folder.join("layer.tar"))
        .arg("."));
    let digest = Sha256::digest(fs::read(folder.join("layer.tar")).unwrap());
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest:x}"]}}}}"#
    );
    fs::write(folder.join("config.json"), config).unwrap();
    let manifest = r#"[{"Config":"config.json","RepoTags":["localhost/app:latest"],"Layers":["layer.tar"]}]"#;
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    let members = ["manifest.json", "config.json", "layer.tar"];
    run(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(archive).args(members));
}

#[test]
fn the_named_engine_reads_first_and_then_whoever_can() {
    let lab = Lab::new();
    save(&lab.path("image"), &lab.path("image.tar"));
    let convert = |words: &str| {
        lab.run(&format!(
            "convert --profile data --no-install {words} containers-storage:app -o out/disk.raw"
        ))
    };
    let all = ["podman", "buildah", "skopeo"];
    for (can, words, order) in [
        (&all[..], "", "podman"),
        (&all, "--engine podman", "podman"),
        (&all, "--engine buildah", "buildah"),
        (&all[1..], "", "podman buildah"),
        (&["podman"], "--engine buildah", "buildah podman"),
        (&["skopeo"], "", "podman buildah skopeo"),
        (&["skopeo"], "--engine buildah", "buildah podman skopeo"),
    ] {
        all.iter().for_each(|name| lab.reader(name, can.contains(name)));
        let output = convert(words);
        assert!(output.status.success(), "{can:?} {words}: {}", stderr(&output));
        assert_eq!(lab.readers(), order, "{can:?} {words}");
    }
    all.iter().for_each(|name| lab.reader(name, false));
    let told = stderr(&convert(""));
    let reason = |name: &str| format!("{name} cannot read it: cgroups v1 is not supported");
    let reasons = all.map(reason).join("; ");
    assert!(told.contains(&format!("error: containers-storage:app: {reasons}\n")), "{told}");
}
