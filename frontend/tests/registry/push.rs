//! `vmimage push`: what comes back out of the registry is the disk that went in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::image::{INDEX, MANIFEST};
use crate::lab::{Lab, login, run};
use crate::real::make_keys;
use crate::registry::Registry;
use crate::server::{Answer, Server};

/// A small disk in the format of its extension.
fn disk(lab: &Lab, name: &str) -> PathBuf {
    let tree = lab.path().join("tree");
    if !tree.exists() {
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("greeting"), "hello").unwrap();
    }
    let disk = lab.path().join(name);
    run(&mut lab.convert_to(tree.to_str().unwrap(), &disk));
    disk
}

/// `vmimage push FILE… REFERENCE` by somebody who has nothing but this home.
fn push(lab: &Lab, disks: &[&Path], reference: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["push", "--quiet"]).args(disks).arg(reference);
    command.env_clear().env("HOME", lab.path().join("home")).env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// What a push says that it has put there.
#[track_caller]
fn pushed(command: &mut Command) -> Value {
    serde_json::from_str(&run(command.arg("--json"))).unwrap()
}

/// The manifest or index that a reference leads to, as skopeo reads it.
fn inspect(reference: &str) -> Value {
    let mut command = Command::new("skopeo");
    command.args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{reference}")]);
    serde_json::from_str(&run(&mut command)).unwrap()
}

/// The layer of an image for an architecture, as skopeo reads it: a tar.
fn layer(lab: &Lab, reference: &str, architecture: &str) -> PathBuf {
    let folder = lab.path().join(format!("copy-{architecture}"));
    let _ = fs::remove_dir_all(&folder);
    let mut command = Command::new("skopeo");
    command.args(["--override-arch", architecture, "copy", "--quiet", "--src-tls-verify=false"]);
    run(command.arg(format!("docker://{reference}")).arg(format!("dir:{}", folder.display())));
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    folder.join(layers[0]["digest"].as_str().unwrap().trim_start_matches("sha256:"))
}

/// That GNU tar finds the disk in a layer, of QEMU's user, and that it is this one.
#[track_caller]
fn holds(layer: &Path, name: &str, disk: &Path) {
    let tar = |words: &[&str]| {
        let output = Command::new("tar").args(words).arg(layer).arg(name).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let listing = String::from_utf8(tar(&["--numeric-owner", "-tvf"])).unwrap();
    assert!(listing.starts_with("-r--r----- 107/107 "), "{listing}");
    let content = Command::new("tar").arg("-xOf").arg(layer).arg(name).output().unwrap().stdout;
    assert!(content == fs::read(disk).unwrap(), "{name} is not {}", disk.display());
}

#[test]
fn a_disk_comes_back_as_it_was() {
    let lab = Lab::new();
    let disk = disk(&lab, "web.qcow2");
    let registry = Registry::start(lab.path(), false);
    let reference = format!("{}/team/web:v1", registry.host);
    let with_flags = || {
        let mut command = push(&lab, &[&disk], &reference);
        command.args(["--platform", "linux/arm64", "--annotation", "team.example/owner=us=all"]);
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        command
    };
    let said = pushed(&mut with_flags());
    let manifest = inspect(&reference);
    let annotations = json!({
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "team.example/owner": "us=all",
    });
    assert_eq!((&manifest["mediaType"], &manifest["annotations"]), (&json!(MANIFEST), &annotations));
    let digest = said["digest"].as_str().unwrap();
    assert_eq!(said["reference"], format!("{reference}@{digest}"));
    assert_eq!(inspect(&format!("{}/team/web@{digest}", registry.host)), manifest);
    assert_eq!(said["images"][0]["platform"], "linux/arm64");
    holds(&layer(&lab, &reference, "arm64"), "disk/disk.qcow2", &disk);

    let mut config = Command::new("skopeo");
    config.args(["inspect", "--config", "--tls-verify=false", "--override-arch=arm64"]);
    let config: Value = serde_json::from_str(&run(config.arg(format!("docker://{reference}")))).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&json!("arm64"), &json!("linux")));
    assert_eq!(config["config"]["Labels"], annotations);

    // Again, and without --json: the same, told in a line.
    assert_eq!(pushed(&mut with_flags()), said);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.arg("push").arg(&disk).arg(format!("docker://{reference}")).args(["--platform", "linux/arm64"]);
    assert!(run(&mut command).contains(&format!("{reference}@sha256:")));
}

#[test]
fn disks_for_several_platforms_are_one_image() {
    let lab = Lab::new();
    let (disk, raw) = (disk(&lab, "web.qcow2"), disk(&lab, "web.raw"));
    let registry = Registry::start(lab.path(), false);
    let reference = format!("{}/web:v1", registry.host);
    let mut both = push(&lab, &[&disk, &raw], &reference);
    let said = pushed(both.args(["--platform", "linux/amd64", "--platform", "linux/arm64"]));
    let index = inspect(&reference);
    assert_eq!(index["mediaType"], INDEX);
    for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let described = &index["manifests"][number];
        assert_eq!(described["platform"], json!({ "architecture": architecture, "os": "linux" }));
        assert_eq!(described["digest"], said["images"][number]["digest"]);
    }
    holds(&layer(&lab, &reference, "amd64"), "disk/disk.qcow2", &disk);
    holds(&layer(&lab, &reference, "arm64"), "disk/disk.img", &raw);
}

#[test]
fn an_archive_is_pushed_as_the_layer_that_it_has() {
    let lab = Lab::new();
    let (disk, archive) = (disk(&lab, "web.qcow2"), disk(&lab, "web.containerdisk.tar"));
    let registry = Registry::start(lab.path(), false);
    let reference = format!("{}/web:v1", registry.host);
    run(push(&lab, &[&archive], &reference).args(["--platform", "linux/amd64"]));
    let layer = layer(&lab, &reference, "amd64");
    holds(&layer, "disk/disk.qcow2", &disk);
    let digest = format!("blobs/sha256/{:x}", Sha256::digest(fs::read(&layer).unwrap()));
    let members = run(Command::new("tar").arg("-tf").arg(&archive));
    assert!(members.lines().any(|name| name == digest), "{digest} is not in {members}");
}

#[test]
fn a_closed_registry_wants_the_right_login() {
    let lab = Lab::new();
    let disk = disk(&lab, "web.qcow2");
    make_keys(lab.path());
    let registry = Registry::start(lab.path(), true);
    let trust = lab.path().join("home/.config/containers/certs.d").join(&registry.host);
    fs::create_dir_all(&trust).unwrap();
    let reference = format!("{}/team/web:v1", registry.host);
    let push = || {
        let mut command = push(&lab, &[&disk], &reference);
        command.args(["--platform", "linux/amd64"]);
        command
    };
    assert!(lab.refused(&mut push()).contains("cannot be trusted: invalid peer certificate: UnknownIssuer"));
    fs::copy(lab.path().join("ca.crt"), trust.join("ca.crt")).unwrap();
    let said = lab.refused(&mut push());
    assert!(said.contains("the registry wants a login\nhint: log in: docker login 127.0.0.1:"), "{said}");
    let auth = lab.path().join("auth.json");
    let wrong = json!({ "auths": { &registry.host: { "auth": "d3Jvbmc6c2VjcmV0" } } });
    fs::write(&auth, wrong.to_string()).unwrap();
    let said = lab.refused(push().arg("--authfile").arg(&auth));
    assert!(said.contains("the registry refuses the login\nhint: log in again: "), "{said}");
    lab.log_in(&registry.host);
    run(&mut push());
    let back = lab.convert(&format!("docker://{reference}")).arg("--platform=linux/amd64").output().unwrap();
    assert!(back.status.success(), "{back:?}");
}

#[test]
fn what_can_not_be_pushed_is_said_in_a_line() {
    let lab = Lab::new();
    let (disk, vhd) = (disk(&lab, "web.qcow2"), disk(&lab, "web.vhdx"));
    let refused = |disks: &[&Path], words: &[&str], said: &str| {
        let text = lab.refused(push(&lab, disks, "127.0.0.1:1/web").args(words));
        assert!(text.contains(said), "{said:?} is not in {text}");
    };
    let amd64 = ["--platform", "linux/amd64"];
    refused(
        &[&disk],
        &amd64,
        "docker://127.0.0.1:1/web:latest: 127.0.0.1:1 cannot be reached: Connection refused",
    );
    refused(
        &[&disk],
        &[],
        "web.qcow2: no boot loader tells its platform\nhint: say it: --platform linux/amd64",
    );
    refused(
        &[&vhd],
        &amd64,
        "web.vhdx: KubeVirt takes no vhdx disk from an image\nhint: push a disk in one of",
    );
    refused(&[&lab.path().join("none")], &amd64, "none: cannot be read: No such file");
    refused(&[lab.path()], &amd64, "is a directory, and no .ovf is in it");
    refused(&[&disk, &disk], &amd64, "--platform: 1 given for 2 files");
    let twice = [amd64, amd64].concat();
    refused(&[&disk, &disk], &twice, "web.qcow2: is a second one for linux/amd64");
}

/// A registry that takes everything, where uploads go to `store`.
fn open_to_all(store: Option<String>) -> Server {
    Server::new(move |request, before| {
        let has_login = request.header("authorization") == Some(&format!("Basic {}", login()));
        match (&*request.method, has_login) {
            ("GET", _) | (_, false) => {
                Answer::status(401).with("WWW-Authenticate", "Basic realm=\"registry\"")
            }
            ("HEAD", true) => Answer::status(404),
            ("POST", true) if before == 0 => Answer::status(503),
            ("POST", true) => {
                let location = store.as_deref().map(|host| format!("http://{host}"));
                let location = location.unwrap_or_default() + "/uploads/1?state=a";
                Answer::status(202).with("Location", location)
            }
            _ => Answer::status(201),
        }
    })
}

#[test]
fn a_login_goes_to_the_registry_and_nowhere_else() {
    let lab = Lab::new();
    let disk = disk(&lab, "web.qcow2");
    let store = Server::new(|_, _| Answer::status(201));
    let foreign = format!("localhost:{}", store.host.split(':').nth(1).unwrap());
    for (server, own) in [(open_to_all(None), true), (open_to_all(Some(foreign)), false)] {
        lab.log_in(&server.host);
        let reference = format!("{}/web:v1", server.host);
        run(push(&lab, &[&disk], &reference).args(["--platform", "linux/amd64"]));
        let requests = if own { server.requests() } else { store.requests() };
        let puts =
            requests.iter().filter(|request| request.path.starts_with("/uploads/1?state=a&digest=sha256%3A"));
        let logins: Vec<_> = puts.map(|request| request.header("authorization").is_some()).collect();
        assert_eq!(logins, [own, own], "a layer and a configuration");
    }
}

#[test]
fn a_token_for_reading_is_not_enough() {
    let lab = Lab::new();
    let disk = disk(&lab, "web.qcow2");
    let server = Server::new(|request, _| {
        if request.path.starts_with("/token") {
            let token = if request.path.contains("push") { "may-push" } else { "may-pull" };
            return Answer {
                body: json!({ "token": token }).to_string().into_bytes(),
                ..Answer::status(200)
            };
        }
        let sent = request.header("authorization").unwrap_or_default();
        let reads = request.method == "HEAD";
        if sent != "Bearer may-push" && !(reads && sent == "Bearer may-pull") {
            let actions = if reads { "pull" } else { "pull,push" };
            let host = request.header("host").unwrap();
            let challenge =
                format!("Bearer realm=\"http://{host}/token\",scope=\"repository:web:{actions}\"");
            return Answer::status(401).with("WWW-Authenticate", challenge);
        }
        match &*request.method {
            "HEAD" => Answer::status(404),
            "POST" => Answer::status(202).with("Location", "/uploads/1"),
            _ => Answer::status(201),
        }
    });
    let reference = format!("{}/web:v1", server.host);
    run(push(&lab, &[&disk], &reference).args(["--platform", "linux/amd64"]));
    let tokens = server.requests().iter().filter(|request| request.path.starts_with("/token")).count();
    assert_eq!(tokens, 2);
    assert!(server.requests().last().unwrap().path.ends_with("/manifests/v1"));
}

#[test]
fn a_registry_that_does_not_take_it_is_told_of() {
    let lab = Lab::new();
    let disk = disk(&lab, "web.qcow2");
    let server = Server::new(|request, _| match &*request.method {
        "HEAD" => Answer::status(404),
        _ => Answer {
            body: br#"{"errors":[{"code":"UNSUPPORTED","message":"this is a mirror"}]}"#.to_vec(),
            ..Answer::status(405)
        },
    });
    let reference = format!("{}/web:v1", server.host);
    let said = lab.refused(push(&lab, &[&disk], &reference).args(["--platform", "linux/amd64"]));
    assert!(said.contains("the registry answers 405 Method Not Allowed: this is a mirror"), "{said}");
}
