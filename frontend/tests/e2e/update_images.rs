//! An update, and a root as KubeOS has it, as container images.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::container_disk::{engine, inspect, layers};
use super::lab::{VMIMAGE, context, run, scratch, syntax};
use super::registry::Registry;

const DOCKERFILE: &str = "FROM vmimage-test/alpine:3.23\nRUN echo one >/etc/app\n";
const CONFIG: &str = "layout = \"ab\"\n[image]\nid = \"kiosk\"\nversion = \"1.4.0\"\n";

fn build(engine: &str, context: &Path, stage: &str, output: &str) {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", engine).args(["buildx", "build", "--network", "host", "--provenance=false"]);
    command.args(["--output", &format!("{output},compression=uncompressed,oci-mediatypes=true")]);
    command.args(["--build-arg", &syntax(), "--build-arg", &format!("VMIMAGE_STAGE={stage}")]);
    run(command.arg(context));
}

/// The same labels and the same files, each as it is in the folder, whoever makes the image.
#[test]
fn an_update_is_an_image_of_its_files() {
    let folder = scratch();
    let context = context(folder.path(), DOCKERFILE);
    fs::write(context.join("vmimage.toml"), CONFIG).unwrap();
    let engine = engine();
    let registry = Registry::start(folder.path(), false);
    let [built, pushed] = ["built", "pushed"].map(|name| format!("{}/kiosk:{name}", registry.host));
    build(&engine, &context, "update", &format!("type=image,name={built},push=true"));
    let update = folder.path().join("update");
    let mut command = Command::new(VMIMAGE);
    command.env("DOCKER_HOST", &engine).arg("build").arg(&context).args(["--network", "host"]);
    run(command.arg("-o").arg(&update).args(["--format", "update"]));
    run(Command::new(VMIMAGE).arg("push").arg(&update).arg(&pushed));

    for name in [built, pushed] {
        let image = format!("docker://{name}");
        let labels = &inspect("--config", &image)["config"]["Labels"];
        for (label, text) in [
            ("org.opencontainers.image.version", "1.4.0"),
            ("io.vmimage.update.id", "kiosk"),
            ("io.vmimage.update.compatible", "kiosk"),
        ] {
            assert_eq!(labels[label], text, "{labels}");
        }
        let unpacked = folder.path().join(name.rsplit(':').next().unwrap());
        let manifest = inspect("--raw", &image);
        assert_eq!(
            manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar",
            "{manifest}"
        );
        let layers = layers(&image, &folder.path().join(format!("{}-layers", unpacked.display())));
        fs::create_dir(&unpacked).unwrap();
        run(Command::new("tar").arg("-xf").arg(&layers[0]).arg("-C").arg(&unpacked));
        run(Command::new("diff").arg("-r").arg(&update).arg(&unpacked));
    }
}

/// What KubeOS unpacks is read again by `vmimage convert`, with everything in it.
#[test]
fn a_root_goes_into_the_image_of_kubeos_and_back() {
    let folder = scratch();
    let context = context(folder.path(), DOCKERFILE);
    fs::write(context.join("vmimage.toml"), "hostname = \"node\"\n").unwrap();
    let archive = folder.path().join("kubeos.tar");
    build(&engine(), &context, "kubeos", &format!("type=oci,dest={}", archive.display()));
    let image = format!("oci-archive:{}", archive.display());
    let config: Value = inspect("--config", &image);
    assert_eq!(config["config"]["Cmd"], json!(["/bin/sh"]));
    let layers = layers(&image, &folder.path().join("layers"));
    let listing = run(Command::new("tar").arg("-tf").arg(&layers[0]));
    assert_eq!(listing, "os.tar\n");

    let disk = folder.path().join("root.raw");
    let mut command = Command::new(VMIMAGE);
    run(command.args(["convert", &image, "--profile", "data", "-o"]).arg(&disk));
    let told = run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(&disk));
    assert!(told.contains("ext4"), "{told}");
    let root = super::lab::partitions(&disk);
    let file = folder.path().join("root.ext4");
    super::lab::extract(&disk, &root[0], &file);
    for (path, expected) in [("/etc/app", "one"), ("/etc/hostname", "node"), ("/boot", "vmlinuz")] {
        let command = if path == "/boot" { "ls" } else { "cat" };
        let said = run(Command::new("debugfs").args(["-R", &format!("{command} {path}")]).arg(&file));
        assert!(said.contains(expected), "{path}: {said}");
    }
}
