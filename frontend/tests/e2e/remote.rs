//! A builder elsewhere: the remote driver of buildx, over a connection to a BuildKit that shares nothing with
//! the client, no store, no socket of docker's and no files.
//!
//! The BuildKit is that of the engine. It is reached over its socket by an HTTP upgrade, which the remote driver
//! does not know, so a relay does it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::lab::{VMIMAGE, frontend, refused, run, scratch, testdata};
use super::shim::Docker;

/// The engine with the classic image store.
const ENGINE: &str = "/var/run/docker.sock";
/// That with the containerd image store; its BuildKit reads images that a client sends.
const STORE: &str = "/run/vmimage-store/docker.sock";
/// How its API gives a connection to its BuildKit: what follows the answer is HTTP/2.
const UPGRADE: &[u8] = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// A socket behind which there is a BuildKit.
struct Relay {
    socket: PathBuf,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    /// Before the BuildKit of an engine.
    fn start(folder: &Path, engine: &'static str) -> Self {
        let socket = folder.join("buildkit.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || relay(client.unwrap(), engine));
            }
        });
        Self { socket, connections }
    }

    /// A builder of this name, known to the client with this configuration only.
    fn create(&self, docker: &Docker, name: &str) {
        let endpoint = format!("unix://{}", self.socket.display());
        run(docker.docker("buildx create --driver remote --name").args([name, &endpoint]));
    }
}

fn relay(client: UnixStream, engine: &str) {
    let mut engine = UnixStream::connect(engine).unwrap();
    engine.write_all(UPGRADE).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        engine.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    let back = (engine.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || pump(back.0, back.1));
    pump(client, engine);
}

/// Passes on what comes from one until it ends.
fn pump(mut from: UnixStream, mut to: UnixStream) {
    // Either may go away in the midst of it.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_disk_comes_back_from_a_remote_builder() {
    let folder = scratch();
    let relay = Relay::start(folder.path(), ENGINE);
    let docker = Docker::new(None);
    relay.create(&docker, "far");
    let at = |name: &str| docker.path(name);
    let build = |builder: &[&str], disk: &str| {
        let mut command = docker.on(VMIMAGE);
        command.arg("build").arg(testdata("machine")).arg("-o").arg(at(disk)).args(builder);
        run(command.args(["--hostname", "far", "--build-arg", "BASE=vmimage-test/alpine:3.23"]));
    };
    // To be created it was looked at already.
    let before = relay.connections.load(Ordering::SeqCst);
    build(&[], "near.qcow2");
    assert_eq!(relay.connections.load(Ordering::SeqCst), before);
    build(&["--builder", "far"], "far.qcow2");
    assert!(relay.connections.load(Ordering::SeqCst) > before);
    run(Command::new("cmp").arg(at("near.qcow2")).arg(at("far.qcow2")));

    let words = "--build-arg BASE=vmimage-test/alpine:3.23 --output type=vmdisk,dest=shim.qcow2,hostname=far";
    run(docker.docker(&format!("buildx build --builder far {words}")).arg(testdata("machine")));
    run(Command::new("cmp").arg(at("near.qcow2")).arg(at("shim.qcow2")));
    assert_eq!(docker.made(), ["far.qcow2", "near.qcow2", "shim.qcow2"]);
}

/// The way for a builder that has neither the image nor a registry to take it from.
#[test]
fn the_frontend_image_may_travel_with_the_build() {
    let folder = scratch();
    let relay = Relay::start(folder.path(), STORE);
    let docker = Docker::new(None);
    relay.create(&docker, "far");
    let [archive, layout] = ["frontend.tar", "layout"].map(|name| folder.path().join(name));
    // By its id: by a name without a tag, docker saves what has any tag of it.
    let id = run(Command::new("docker").args(["image", "inspect", "--format", "{{.Id}}", &frontend()]));
    run(Command::new("docker").args(["save", id.trim(), "-o"]).arg(&archive));
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--quiet", &format!("docker-archive:{}", archive.display())]);
    run(skopeo.arg(format!("oci:{}:latest", layout.display())));

    fs::write(docker.path("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let name = "vmimage-test/elsewhere";
    let mut command = docker.on(VMIMAGE);
    command.args([
        "build",
        "--builder",
        "far",
        "--frontend",
        name,
        "--profile",
        "data",
        ".",
        "-o",
        "far.raw",
    ]);
    run(command.arg(format!("--build-context={name}=oci-layout://{}", layout.display())));
    assert_eq!(docker.made(), ["Dockerfile", "far.raw"]);
}

#[test]
fn a_remote_builder_that_is_gone_is_one_message_and_no_file() {
    let folder = scratch();
    let docker = Docker::new(None);
    let socket = folder.path().join("buildkit.sock");
    Relay { socket, connections: Arc::default() }.create(&docker, "gone");
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut command = docker.on(VMIMAGE);
    command
        .arg("build")
        .arg(testdata("machine"))
        .args(["--builder", "gone", "-o"])
        .arg(out.join("disk.qcow2"));
    // The driver tries for a while to reach it.
    let message = refused(&mut command);
    assert!(message.contains("ERROR: ") && !message.contains("error: the build failed: "), "{message}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}
