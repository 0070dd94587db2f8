//! The real docker with the shim in front of its buildx: `--output type=vmdisk`, literally.
//!
//! A disk is the same bytes whoever asked for it, so each is compared with that of `vmimage build`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::container_disk;
use super::disk::{check, check_package};
use super::lab::{Engine, VMIMAGE, copy_of, frontend, refused, run, scratch, testdata, text};

/// docker with a configuration of its own, into which `vmimage install` has put the shim.
pub(crate) struct Docker {
    folder: TempDir,
    engine: Option<String>,
}

impl Docker {
    pub(crate) fn new(engine: Option<String>) -> Self {
        let docker = Self { folder: scratch(), engine };
        run(docker.on(VMIMAGE).arg("install"));
        assert!(docker.path("config/cli-plugins/docker-buildx").exists());
        docker
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program with this configuration, engine and a fixed time, in the scratch folder.
    pub(crate) fn on(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("DOCKER_CONFIG", self.path("config"));
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine);
        }
        command
    }

    pub(crate) fn docker(&self, words: &str) -> Command {
        let mut command = self.on("docker");
        command.args(words.split_whitespace());
        command
    }

    /// The bytes of the disk that `vmimage build` makes of a context.
    fn expected(&self, context: &Path, words: &str) -> Vec<u8> {
        let disk = self.path("expected.qcow2");
        let mut build = self.on(VMIMAGE);
        build.arg("build").arg(context).arg("-o").arg(&disk).args(words.split_whitespace());
        run(&mut build);
        fs::read(disk).unwrap()
    }

    /// What lies in the scratch folder beside the configuration.
    pub(crate) fn made(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut made: Vec<_> = names.filter(|name| name != "config" && name != "expected.qcow2").collect();
        made.sort();
        made
    }

    #[track_caller]
    fn is_expected(&self, disk: &str, expected: &[u8]) {
        let disk = fs::read(self.path(disk)).unwrap();
        assert!(disk == expected, "{} bytes, not the same as {}", disk.len(), expected.len());
    }
}

#[test]
fn docker_buildx_build_makes_the_disk_of_vmimage_build() {
    let docker = Docker::new(None);
    let context = testdata("machine");
    let output = "--output type=vmdisk,dest=web.qcow2,hostname=web --metadata-file metadata --progress plain";
    run(docker.docker(&format!("buildx build {output}")).arg(&context));
    assert_eq!(docker.made(), ["metadata", "web.qcow2"]);
    check(&docker.path("web.qcow2"));
    docker.is_expected("web.qcow2", &docker.expected(&context, "--hostname web"));

    // The real buildx answers for everything else.
    assert!(run(&mut docker.docker("buildx version")).starts_with("github.com/docker/buildx"));
    assert!(!text(&docker.docker("info").output().unwrap()).contains("not valid"));
    assert!(run(&mut docker.docker("__complete buildx build --out")).contains("--output"));
    let help = run(&mut docker.docker("buildx build --help"));
    assert!(help.contains("Start a build"), "{help}");
}

#[test]
fn docker_build_does_the_same_on_the_containerd_store() {
    let docker = Docker::new(Some(Engine::ContainerdStore.with(&["vmimage-test/debian:12", &frontend()])));
    let context = testdata("machine");
    // What is attested lies beside the disk in the build's result, and has no file here.
    let formats = "-o type=vmdisk,dest=web.qcow2 -o type=vmdisk,dest=web.vhdx \
                   -o type=vmdisk,dest=web,format=ovf --provenance mode=max";
    run(docker.docker(&format!("build --network host {formats}")).arg(&context));
    assert_eq!(docker.made(), ["web", "web.qcow2", "web.vhdx"]);
    let words = "--network host -o other.vhdx -o other --format qcow2 --format vhdx --format ovf";
    docker.is_expected("web.qcow2", &docker.expected(&context, words));
    docker.is_expected("web.vhdx", &fs::read(docker.path("other.vhdx")).unwrap());
    check_package(&docker.path("web"), "disk");
    run(docker.on("diff").args(["-r", "web", "other"]));
}

#[test]
fn an_image_beside_the_disk_is_a_containers() {
    let docker = Docker::new(None);
    let context = docker.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM vmimage-test/debian:12\nRUN echo hello >/greeting\n")
        .unwrap();
    let image = "vmimage-test/beside";
    let outputs = format!("-t {image} --load -o type=vmdisk,dest=web.qcow2 --iidfile id");
    run(docker.docker(&format!("buildx build {outputs}")).arg(&context));
    docker.is_expected("web.qcow2", &docker.expected(&context, ""));
    assert!(fs::read_to_string(docker.path("id")).unwrap().starts_with("sha256:"));
    // What the Dockerfile says and nothing else: neither a disk nor a kernel.
    let script = "cat /greeting; ls /boot /disk.qcow2 || true";
    assert_eq!(run(docker.docker(&format!("run --rm {image} sh -c")).arg(script)), "hello\n/boot:\n");
}

#[test]
fn an_image_of_the_disk_is_an_output_of_its_own() {
    let docker = Docker::new(Some(Engine::ContainerdStore.with(&["vmimage-test/debian:12", &frontend()])));
    let context = testdata("machine");
    docker.expected(&context, "--network host --hostname web");
    let output = "-o type=oci,dest=web.tar,format=containerdisk,hostname=web";
    run(docker.docker(&format!("buildx build --network host --provenance=false {output}")).arg(&context));
    assert_eq!(docker.made(), ["web.tar"]);
    let archive = format!("oci-archive:{}", docker.path("web.tar").display());
    container_disk::check(&archive, &docker.path("copy"), &docker.path("expected.qcow2"));
}

#[test]
fn bake_makes_the_disks_of_its_targets() {
    let docker = Docker::new(None);
    let context = copy_of("machine", docker.folder.path());
    let definition = "\
        target \"web\" {\n\
          output = [\"type=vmdisk,dest=web.qcow2,hostname=baked\"]\n\
          context = \"machine\"\n\
        }\n\
        target \"also\" {\n\
          output = [\"type=vmdisk,dest=also.vhdx\"]\n\
          context = \"machine\"\n\
        }\n\
        target \"files\" {\n\
          dockerfile-inline = \"FROM scratch\\nCOPY docker-bake.hcl /\"\n\
          output = [\"type=local,dest=files\"]\n\
        }\n\
        group \"default\" { targets = [\"web\", \"also\", \"files\"] }\n";
    fs::write(docker.path("docker-bake.hcl"), definition).unwrap();
    let expected = docker.expected(&context, "--hostname baked");
    run(&mut docker.docker("buildx bake"));
    assert_eq!(docker.made(), ["also.vhdx", "docker-bake.hcl", "files", "machine", "web.qcow2"]);
    docker.is_expected("web.qcow2", &expected);

    let baked = docker
        .docker("buildx bake --file - web --set web.output=type=vmdisk,dest=other.qcow2,hostname=baked")
        .stdin(fs::File::open(docker.path("docker-bake.hcl")).unwrap())
        .output()
        .unwrap();
    assert!(baked.status.success(), "{}", text(&baked));
    docker.is_expected("other.qcow2", &expected);

    let elsewhere = scratch();
    let outside =
        definition.replace("dest=web.qcow2", &format!("dest={}/x.qcow2", elsewhere.path().display()));
    fs::write(docker.path("docker-bake.hcl"), outside).unwrap();
    let message = refused(&mut docker.docker("buildx bake"));
    assert!(message.contains("target web writes to ") && message.contains("additional privileges requested"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_fails_leaves_nothing_and_the_exit_code_of_buildx() {
    let docker = Docker::new(None);
    fs::write(docker.path("Dockerfile"), "FROM vmimage-test/debian:12\nRUN echo to-be-seen && false\n")
        .unwrap();
    let code = |words: &str| {
        let output = docker.docker(&format!("buildx build --progress plain {words} .")).output().unwrap();
        (output.status.code(), text(&output).contains("to-be-seen"))
    };
    assert_eq!(code("-o type=vmdisk,dest=web.qcow2"), code("-o type=cacheonly"));
    assert_eq!(code("-o type=vmdisk,dest=web.qcow2").0, Some(1));
    assert_eq!(docker.made(), ["Dockerfile"]);

    let message = refused(&mut docker.docker("buildx build -o type=vmdisk,dest=web.qcow2,sise=1G ."));
    assert!(message.contains("unknown attribute sise: the attributes are dest, format, size"), "{message}");
    fs::write(docker.path("Dockerfile"), "FROM vmimage-test/debian:12\n").unwrap();
    let small = "buildx build --progress plain -o type=vmdisk,dest=web.qcow2,size=100M .";
    let message = refused(&mut docker.docker(small));
    assert!(message.contains("hint: ask for at least size="), "{message}");
    assert_eq!(docker.made(), ["Dockerfile"]);
}
