//! Where no mirror is reached: a machine that needs no package, and the cause when packages cannot be installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::boot::bare_alpine;
use super::disk::check;
use super::lab::{
    Mount, VMIMAGE, alone_with_the_store, build, context, frontend, partitions, refused, run, scratch, syntax,
};
use super::scratch::Machine;

/// An image with a kernel, by way of its own packages.
const DONOR: &str = "image:vmimage-test/debian:12";
/// A package that there is not.
const UNKNOWN: &str = "vmimage-no-such-package";

/// In their order, each after the one before.
#[track_caller]
fn says(message: &str, parts: &[&str]) {
    let mut rest = message;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in its place in:\n{message}"));
        rest = &rest[at + part.len()..];
    }
}

/// As images of Docker Hub are, without kernel and init; its repository is one that nobody answers for.
#[test]
fn an_image_with_a_package_manager_needs_no_package_with_vmimages_init() {
    let folder = scratch();
    let base = "vmimage-test/offline-alpine";
    let dockerfile = format!(
        "FROM {}\nRUN echo http://127.0.0.1:1/main >/etc/apk/repositories && adduser -D app\nUSER app\nWORKDIR /app\n",
        bare_alpine()
    );
    let files = context(folder.path(), &dockerfile);
    run(Command::new("docker").args(["build", "-q", "-t", base]).arg(&files));

    let context = context(folder.path(), &format!("FROM {base}\nCMD [\"crond\", \"-f\"]\n"));
    let disk = folder.path().join("disk.raw");
    let mut asks_the_network = Command::new(VMIMAGE);
    asks_the_network.arg("build").arg(&context).arg("-o").arg(&disk).args(["--kernel", DONOR]);
    let message = refused(asks_the_network.args(["--progress", "plain"]));
    says(
        &message,
        &[
            "Connection refused",
            "alpine-base (no such package)",
            "vmimage: a host that packages come from cannot be reached: ",
            "packages cannot be installed: a host that packages come from cannot be reached\nhint: ",
            "--init vmimage with --kernel image:REF",
        ],
    );

    let progress = build(&context, &disk, &["--kernel", DONOR, "--init", "vmimage"]);
    assert!(!progress.contains("alpine-base"), "{progress}");
    says(&progress, &["/usr/lib/vmimage/init: the first process, runs crond and nothing else"]);
    check(&disk);
    let root = Mount::new(&disk, &partitions(&disk)[2], folder.path().join("root"));
    let description = fs::read_to_string(root.0.join("usr/lib/vmimage/container.json")).unwrap();
    assert!(description.contains(r#""User":"app""#) && description.contains(r#""WorkingDir":"/app""#));
    assert!(!root.0.join("sbin/openrc").exists());
}

#[test]
fn a_failed_package_step_is_told_by_every_engine() {
    let _alone = alone_with_the_store();
    let folder = scratch();
    let context = context(folder.path(), "FROM vmimage-test/debian:12\n");
    let disk = folder.path().join("disk.raw");
    let said =
        ["E: Unable to locate package ", "vmimage: there is no such package: Unable to locate package "];
    for engine in ["docker", "buildah", "podman"] {
        let mut build = Command::new(VMIMAGE);
        build.args(["build", "--engine", engine, "--install", UNKNOWN]).arg(&context).arg("-o").arg(&disk);
        let message = refused(build.args(["--progress", "plain", "--network", "host"]));
        says(
            &message,
            &[
                said[0],
                said[1],
                ": there is no such package\nhint: look at the names in --install and --kernel;",
            ],
        );
    }
    // A client of docker's own, which shows no progress: it has the frontend's word for it.
    let mut stock = Command::new("docker");
    stock.args(["buildx", "build", "-q", "--build-arg", &syntax(), "--build-arg"]);
    stock.arg(format!("VMIMAGE_INSTALL={UNKNOWN}")).args(["-o", "type=tar,dest=/dev/null"]).arg(&context);
    says(
        &refused(&mut stock),
        &[
            "packages cannot be installed: there is no such package\nhint: look at the names in VMIMAGE_INSTALL",
        ],
    );
    assert!(!disk.exists(), "{}", frontend());
}

/// What `python:3.12-alpine` with a user is on Docker Hub, out of the wheel that carries it. The command of that is an
/// interpreter that has nothing to do without a terminal: a server takes its place.
#[test]
#[ignore = "minutes: make matrix"]
fn a_real_image_of_a_registry_boots_to_its_app_without_a_package() {
    let folder = scratch();
    let layout = python_image(folder.path());
    serve(&layout);
    let disk = folder.path().join("python.qcow2");
    let source = format!("oci:{}", layout.display());
    let mut convert = Command::new(VMIMAGE);
    convert.args(["convert", &source, "--engine", "docker", "--kernel", DONOR, "--init", "vmimage", "-o"]);
    run(convert.arg(&disk));
    check(&disk);
    let mut machine = Machine::boot(&disk, "--bios");
    let report = machine.report();
    let fact = |name: &str| report.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    for (name, value) in [("version", "3.12"), ("directory", "/app"), ("user", "appuser"), ("parent", "1")] {
        assert_eq!(fact(name), Some(value), "{name}: {report:?}");
    }
    machine.power_down();
}

fn python_image(folder: &Path) -> PathBuf {
    let mut download = Command::new("pip3");
    download.args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--abi", "abi3"]);
    download.args(["--platform", "manylinux_2_39_x86_64", "--python-version", "312", "flashvm==0.1.3", "-d"]);
    run(download.arg(folder));
    let unpack = "import glob, zipfile; zipfile.ZipFile(glob.glob('*.whl')[0]).extractall('wheel')";
    run(Command::new("python3").args(["-c", unpack]).current_dir(folder));
    folder.join("wheel/flashvm/data/oci")
}

const SERVER: &str = r#"
import getpass, http.server, os, sys
class Facts(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        version = "%d.%d" % sys.version_info[:2]
        facts = dict(version=version, directory=os.getcwd(), user=getpass.getuser(), parent=os.getppid())
        self.wfile.write("".join(f"{name}={value}\n" for name, value in facts.items()).encode())
http.server.HTTPServer(("", 80), Facts).serve_forever()
"#;

/// Makes the server the command of the image in a layout.
fn serve(layout: &Path) {
    let blob = |value: &Value| layout.join("blobs").join(value["digest"].as_str().unwrap().replace(':', "/"));
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let replace = |descriptor: &mut Value, value: &Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        descriptor["digest"] = format!("sha256:{:x}", Sha256::digest(&bytes)).into();
        descriptor["size"] = bytes.len().into();
        fs::write(blob(descriptor), bytes).unwrap();
    };
    let mut index = read(layout.join("index.json"));
    let mut manifest = read(blob(&index["manifests"][0]));
    let mut config = read(blob(&manifest["config"]));
    config["config"]["Cmd"] = json!(["python3", "-c", SERVER]);
    replace(&mut manifest["config"], &config);
    replace(&mut index["manifests"][0], &manifest);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}
