//! One Dockerfile by every client and every way: the files on the disk are the same, and it boots.
//!
//! Every way makes them at another time, so they are compared as of the time that the base image was made: what is
//! older keeps its times, what a build has made gets this one (`SOURCE_DATE_EPOCH`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::boot::check_report;
use super::lab::{
    Engine, alone_with_the_store, as_user, boot, copy_of, frontend, nonce, run, scratch, static_binary,
};
use super::registry::Registry;
use super::shim::Docker;

/// It has a kernel and an init, so the image is a machine without an installation too.
const BASE: &str = "vmimage-test/alpine:3.23";
const IMAGE: &str = "vmimage-test/same";

/// What clients are known to lose; no ACL, since the layers of buildah hold none.
const KEPT: &str = r"
RUN mkdir /kept && cd /kept && for name in setuid setgid owner; do echo x >$name; done && \
    chmod 4755 setuid && chmod 2755 setgid && chown 1234:5678 owner && ln owner hard-link && \
    ln -s ../etc link && mkfifo pipe && mkdir -m 1777 sticky && touch -d '2001-02-03 04:05:06' old
";

/// The digest of each file system on a disk.
type Digests = Vec<String>;

/// A machine's context and all that makes a disk of it.
struct Lab {
    folder: TempDir,
    context: PathBuf,
    program: PathBuf,
    epoch: String,
}

impl Lab {
    fn new() -> Self {
        let folder = scratch();
        let context = copy_of("machine", folder.path());
        let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
        // No client may have a layer of it already, since that would have the times of another context's files.
        let base = "FROM $BASE\nCOPY nonce /srv/\n";
        let dockerfile = dockerfile.replace("FROM $BASE\n", base) + KEPT;
        fs::write(context.join("Dockerfile"), dockerfile.replace("vmimage-test/debian:12", BASE)).unwrap();
        fs::write(context.join("nonce"), nonce()).unwrap();
        let program = static_binary(folder.path());
        let mut created = Command::new("docker");
        let created = run(created.args(["image", "inspect", "--format", "{{.Created}}", BASE]));
        let epoch = run(Command::new("date").args(["+%s", "--date", created.trim()]));
        Self { context, program, epoch: epoch.trim().to_owned(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn vmimage(&self) -> Command {
        self.with_epoch(Command::new(&self.program))
    }

    fn with_epoch(&self, mut command: Command) -> Command {
        command.env("SOURCE_DATE_EPOCH", &self.epoch);
        command
    }

    /// `vmimage build` by an engine.
    fn build(&self, mut command: Command, engine: &str) -> Command {
        command
            .args(["build", "--engine", engine, "--network", "host", "--hostname", "web"])
            .arg(&self.context);
        command
    }

    /// `vmimage convert` of an image.
    fn convert(&self, mut command: Command, source: &str) -> Command {
        command.args(["convert", "--no-install", "--hostname", "web", source]);
        command
    }

    /// What a command makes with `-o DISK`.
    fn made(&self, command: &mut Command) -> Digests {
        let disk = self.path("disk.qcow2");
        run(command.arg("-o").arg(&disk));
        let digests = self.digests(&disk);
        fs::remove_file(&disk).unwrap();
        digests
    }

    fn digests(&self, disk: &Path) -> Digests {
        let json = run(Command::new(&self.program).args(["inspect", "--json"]).arg(disk));
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        let partitions = report["partitions"].as_array().unwrap().iter();
        let digests = partitions.filter_map(|partition| partition["file_system"]["tree_digest"].as_str());
        digests.map(str::to_owned).collect()
    }
}

/// The disks that docker makes: by `vmimage build`, and with the shim by its own commands.
fn by_docker(lab: &Lab) -> Vec<(String, Digests)> {
    let mut made = Vec::new();
    let stores = [("the classic store", None), ("the containerd store", Some(Engine::ContainerdStore))];
    for (store, engine) in stores {
        let engine = engine.map(|engine| engine.with(&[BASE, &frontend()]));
        let mut build = lab.build(lab.vmimage(), "docker");
        build.envs(engine.iter().map(|host| ("DOCKER_HOST", host)));
        made.push((format!("vmimage build, {store}"), lab.made(&mut build)));
    }
    let docker = Docker::new(None);
    let output = "type=vmdisk,dest=web.qcow2,hostname=web";
    let shown = lab.context.display();
    let bake = format!("target \"default\" {{\n context = \"{shown}\"\n output = [\"{output}\"]\n}}\n");
    fs::write(docker.path("docker-bake.hcl"), bake).unwrap();
    for words in [
        format!("buildx build --output {output} {shown}"),
        format!("build --output {output} {shown}"),
        "buildx bake".to_owned(),
    ] {
        run(&mut lab.with_epoch(docker.docker(&words)));
        made.push((format!("docker {words}"), lab.digests(&docker.path("web.qcow2"))));
        fs::remove_file(docker.path("web.qcow2")).unwrap();
    }
    made
}

/// The disks that engines without a daemon make, with root.
fn by_the_store(lab: &Lab) -> Vec<(String, Digests)> {
    let made = |engine: &str| (engine.to_owned(), lab.made(&mut lab.build(lab.vmimage(), engine)));
    vec![made("buildah"), made("podman")]
}

/// The same without: what they build, and what is converted of that user's store.
fn by_a_user(lab: &Lab) -> Vec<(String, Digests)> {
    let own = scratch();
    run(Command::new("cp").arg("-a").args([&lab.program, &lab.context]).arg(own.path()));
    let program = own.path().join("vmimage");
    let as_user = |program: &Path| lab.with_epoch(as_user(own.path(), program));
    let mut made = Vec::new();
    let disk = own.path().join("disk.qcow2");
    for engine in ["buildah", "podman"] {
        let mut build = as_user(&program);
        build.args(["build", "--engine", engine, "--network", "host", "--hostname", "web", "machine", "-o"]);
        run(build.arg(&disk));
        made.push((format!("{engine} without root"), lab.digests(&disk)));
    }
    run(as_user(Path::new("buildah")).args([
        "build",
        "--layers",
        "--network",
        "host",
        "-t",
        IMAGE,
        "machine",
    ]));
    let stored = format!("containers-storage:localhost/{IMAGE}");
    run(lab.convert(as_user(&program), &stored).arg("-o").arg(&disk));
    made.push((format!("{stored} without root"), lab.digests(&disk)));
    made
}

/// The disks made of an image that docker has built and of one of buildah's, wherever they may lie.
fn by_convert(lab: &Lab, registry: &Registry) -> Vec<(String, Digests)> {
    run(Command::new("docker").args(["build", "--quiet", "--tag", IMAGE]).arg(&lab.context));
    let archive = lab.path("image.tar");
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&archive));
    let archive = format!("docker-archive:{}", archive.display());
    let layout = format!("oci:{}", lab.path("layout").display());
    let pushed = pushed(registry);
    for copy in [&layout, &pushed] {
        let mut skopeo = Command::new("skopeo");
        run(skopeo.args(["copy", "--quiet", "--dest-tls-verify=false", &archive, copy]));
    }
    let stored = format!("localhost/{IMAGE}");
    let mut build = Command::new("buildah");
    run(build.args(["build", "--layers", "--network", "host", "-t", &stored]).arg(&lab.context));
    let sources =
        [format!("docker-daemon:{IMAGE}"), archive, layout, pushed, format!("containers-storage:{stored}")];
    sources.map(|source| (source.clone(), lab.made(&mut lab.convert(lab.vmimage(), &source)))).into()
}

fn pushed(registry: &Registry) -> String {
    format!("docker://{}/team/same:v1", registry.host)
}

#[test]
fn every_client_makes_the_same_tree() {
    let _alone = alone_with_the_store();
    let lab = Lab::new();
    let registry = Registry::start(lab.folder.path(), false);
    let mut all = by_docker(&lab);
    all.extend(by_the_store(&lab));
    all.extend(by_a_user(&lab));
    all.extend(by_convert(&lab, &registry));

    let (_, expected) = &all[0];
    assert_eq!(expected.len(), 2, "the boot loader's and the root");
    let others: Vec<_> = all.iter().filter(|(_, digests)| digests != expected).collect();
    assert!(others.is_empty(), "{expected:?} by {}, but {others:#?}", all[0].0);

    let disk = lab.path("boots.vhd");
    for mut command in [lab.build(lab.vmimage(), "buildah"), lab.convert(lab.vmimage(), &pushed(&registry))] {
        run(command.arg("-o").arg(&disk));
        check_report(BASE, "--uefi", &boot(&disk, "--uefi", &["--snapshot"]));
    }
    // The comparison can say no.
    fs::write(lab.context.join("app.txt"), "version two\n").unwrap();
    assert_ne!(lab.made(&mut lab.build(lab.vmimage(), "buildah"))[1], expected[1]);
}
