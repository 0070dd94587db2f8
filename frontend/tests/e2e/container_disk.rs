//! A disk as a container image, by stock docker: the image that an exporter pushes or writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::lab::{Engine, VMIMAGE, frontend, refused, run, scratch, syntax, testdata};
use super::registry::Registry;

/// `docker buildx build` of the machine as an image, on the engine that has exporters for them.
fn build(engine: &str, output: &str) -> Command {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", engine).env("SOURCE_DATE_EPOCH", "1700000000");
    command.args(["buildx", "build", "--network", "host", "--provenance=false", "--output", output]);
    command.args(["--build-arg", &syntax()]);
    command.args(["--build-arg", "VMIMAGE_STAGE=containerdisk"]);
    command.arg(testdata("machine"));
    command
}

pub(crate) fn engine() -> String {
    Engine::ContainerdStore.with(&["vmimage-test/debian:12", &frontend()])
}

/// What skopeo says of an image.
pub(crate) fn inspect(what: &str, image: &str) -> Value {
    let mut command = Command::new("skopeo");
    command.args(["inspect", what, "--tls-verify=false", image]);
    serde_json::from_str(&run(&mut command)).unwrap()
}

/// The layers of an image in a layout, as tars; skopeo unpacks none.
pub(crate) fn layers(image: &str, folder: &Path) -> Vec<PathBuf> {
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--src-tls-verify=false", image])
        .arg(format!("dir:{}", folder.display())));
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let digests = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]);
    digests.map(|digest| folder.join(digest.as_str().unwrap().trim_start_matches("sha256:"))).collect()
}

/// That an image holds this disk and nothing else, owned and protected as KubeVirt wants it.
pub(crate) fn check(image: &str, folder: &Path, disk: &Path) {
    let layers = layers(image, folder);
    let [layer] = &layers[..] else { panic!("{layers:?}") };
    let listing = run(Command::new("tar").args(["--numeric-owner", "--utc", "-tvf"]).arg(layer));
    let lines: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
    let size = fs::metadata(disk).unwrap().len().to_string();
    assert_eq!(lines[0], ["dr-xr-xr-x", "107/107", "0", "2023-11-14", "22:13", "disk/"]);
    assert_eq!(lines[1], ["-r--r-----", "107/107", &size, "2023-11-14", "22:13", "disk/disk.qcow2"]);
    assert_eq!(lines.len(), 2, "{listing}");
    let unpacked = folder.join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    run(Command::new("tar").arg("-xf").arg(layer).arg("-C").arg(&unpacked));
    run(Command::new("cmp").arg(disk).arg(unpacked.join("disk/disk.qcow2")));
}

/// The disk that `vmimage build` makes of the same machine.
fn expected(engine: &str, folder: &Path) -> PathBuf {
    let disk = folder.join("expected.qcow2");
    let mut command = Command::new(VMIMAGE);
    command.env("DOCKER_HOST", engine).env("SOURCE_DATE_EPOCH", "1700000000");
    run(command.arg("build").arg(testdata("machine")).arg("-o").arg(&disk).args(["--network", "host"]));
    disk
}

#[test]
fn stock_docker_pushes_a_disk_as_an_image() {
    let folder = scratch();
    let engine = engine();
    let disk = expected(&engine, folder.path());
    let registry = Registry::start(folder.path(), false);
    let name = format!("{}/team/web:v1", registry.host);
    let mut build = build(&engine, &format!("type=image,name={name},push=true,oci-mediatypes=true"));
    build.args(["--label", "org.opencontainers.image.source=https://git.example/web", "--label", "team=us"]);
    run(build.args(["--build-arg", "VMIMAGE_NAME=web"]));
    let image = format!("docker://{name}");
    check(&image, &folder.path().join("copy"), &disk);
    let annotations = json!({
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.source": "https://git.example/web",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
    });
    let manifest = inspect("--raw", &image);
    assert_eq!(manifest["annotations"], annotations);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let config = inspect("--config", &image);
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["config"]["Labels"]["team"], "us");
    assert_eq!(config["config"].as_object().unwrap().keys().collect::<Vec<_>>(), ["Labels"]);
    assert_eq!(config["history"].as_array().unwrap().len(), 1);

    // `vmimage push` has the same to say of the same disk, in a layer of its own.
    let other = format!("{}/team/pushed:v1", registry.host);
    run(Command::new(VMIMAGE).arg("push").arg(&disk).arg(&other).env("SOURCE_DATE_EPOCH", "1700000000"));
    let pushed = inspect("--raw", &format!("docker://{other}"));
    assert_eq!(pushed["annotations"]["org.opencontainers.image.title"], "pushed");
    assert_eq!(inspect("--config", &format!("docker://{other}"))["architecture"], "amd64");
}

#[test]
fn two_platforms_are_one_image() {
    let folder = scratch();
    let engine = engine();
    let archive = folder.path().join("image.tar");
    let mut build = build(&engine, &format!("type=oci,dest={}", archive.display()));
    build.args(["--platform", "linux/amd64,linux/amd64/v2", "--build-arg", "VMIMAGE_NAME=web"]);
    run(&mut build);
    let layout = folder.path().join("layout");
    fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layout));
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |value: &Value| layout.join("blobs").join(value["digest"].as_str().unwrap().replace(':', "/"));
    let index = read(&blob(&read(&layout.join("index.json"))["manifests"][0]));
    let manifests = index["manifests"].as_array().unwrap();
    let variants: Vec<_> =
        manifests.iter().map(|manifest| manifest["platform"]["variant"].as_str()).collect();
    assert_eq!(variants, [None, Some("v2")]);
    for manifest in manifests {
        let manifest = read(&blob(manifest));
        assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "web");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_classic_store_takes_it_as_an_image_of_its_own() {
    let folder = scratch();
    let name = "vmimage-test/container-disk";
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "--load", "-t", name, "--build-arg", &syntax()]);
    run(build.args(["--build-arg", "VMIMAGE_STAGE=containerdisk"]).arg(testdata("machine")));
    let container = run(Command::new("docker").args(["create", name, "none"]));
    let archive = folder.path().join("disk.tar");
    let copied = format!("docker cp {}:/disk/disk.qcow2 - >{}", container.trim(), archive.display());
    let status = Command::new("sh").args(["-c", &copied]).status();
    run(Command::new("docker").args(["rm", container.trim()]));
    assert!(status.unwrap().success());
    let listing = run(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&archive));
    assert!(listing.starts_with("-r--r----- 107/107 "), "{listing}");
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()));
    super::disk::check(&folder.path().join("disk.qcow2"));
}

#[test]
fn an_image_of_another_format_is_refused() {
    let mut build = build(&engine(), "type=cacheonly");
    let said = refused(build.args(["--build-arg", "VMIMAGE_FORMAT=qcow2,vhdx"]));
    assert!(said.contains("VMIMAGE_FORMAT is qcow2,vhdx: a container image holds one qcow2 disk"), "{said}");
}
