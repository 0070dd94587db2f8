//! Images by their names alone, as `docker run` takes them: looked for in the engines, then in the registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::image::Image;
use crate::lab::{Lab, run, text};
use crate::server::{Server, answer};

/// A lab whose engines are these scripts.
fn with_engines(docker: &str, podman: &str) -> Lab {
    let lab = Lab::new();
    let layout = Image::new().layout(lab.path());
    run(Command::new("tar").arg("-cf").arg(lab.path().join("image.tar")).arg("-C").arg(layout).arg("."));
    let bin = lab.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, script) in [("docker", docker), ("podman", podman), ("buildah", "exit 1")] {
        fs::write(bin.join(name), format!("#!/bin/sh\necho $0 >>{}/asked\n{script}\n", lab.path().display()))
            .unwrap();
        fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    lab
}

/// A stand-in of an engine that has one image: `ask` is how it is asked for it, `give` how it gives it.
fn having(lab_file: &str, ask: &str, give: &str) -> String {
    format!("case \"$*\" in '{ask}') exit 0 ;; '{give}') exec cat {lab_file} ;; esac; exit 1")
}

/// Convert in the lab's folder; what is said on the way.
#[track_caller]
fn converted(lab: &Lab, words: &[&str]) -> String {
    let output = command(lab, words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    assert!(lab.disk().exists());
    String::from_utf8(output.stderr).unwrap()
}

fn command(lab: &Lab, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["convert", "--no-install", "--profile", "data", "-o"]).arg(lab.disk()).args(words);
    let path = format!("{}:/usr/bin:/bin", lab.path().join("bin").display());
    command.env_clear().env("HOME", lab.path().join("home")).env("PATH", path).current_dir(lab.path());
    command
}

fn asked(lab: &Lab) -> usize {
    fs::read_to_string(lab.path().join("asked")).unwrap_or_default().lines().count()
}

#[test]
fn an_image_of_an_engine_needs_no_transport() {
    let docker = having("image.tar", "image inspect --format {{.Id}} app:v1", "save -- app:v1");
    let podman = having(
        "image.tar",
        "inspect --type image -- app:v1",
        "save --quiet --format docker-archive -- app:v1",
    );
    for (docker, podman, words, source) in [
        (&*docker, &*podman, &["app:v1"][..], "docker-daemon:app:v1"),
        ("exit 1", &*podman, &["app:v1"][..], "containers-storage:app:v1"),
        (&*docker, &*podman, &["app:v1", "--engine", "podman"][..], "containers-storage:app:v1"),
    ] {
        let said = converted(&with_engines(docker, podman), words);
        assert!(said.starts_with(&format!("source: {source}\n")), "{said}");
    }
}

#[test]
fn an_image_that_no_engine_has_comes_from_its_registry() {
    let lab = with_engines("exit 1", "exit 1");
    let image = Image::new();
    let server = Server::new(move |request, _| answer(&image, request));
    let name = server.source().replace("docker://", "");
    assert!(converted(&lab, &[&name]).starts_with(&format!("source: {}\n", server.source())));
    assert!(!converted(&lab, &[&name, "--quiet"]).contains("source: "));

    let other = name.replace("/app:", "/other:");
    let output = command(&lab, &[&other]).output().unwrap();
    assert!(text(&output).contains("the registry has no such image"), "{}", text(&output));
}

#[test]
fn what_is_a_file_is_no_name() {
    let lab = with_engines("exit 0", "exit 0");
    fs::create_dir(lab.path().join("app")).unwrap();
    fs::write(lab.path().join("app/file"), "").unwrap();
    assert!(!converted(&lab, &["app"]).contains("source: "));
    for missing in ["gone.tar.gz", "./gone", "/gone"] {
        let output = command(&lab, &[missing]).output().unwrap();
        assert!(text(&output).contains(&format!("{missing}: cannot open the archive")), "{}", text(&output));
    }
    assert_eq!(asked(&lab), 0);
}
