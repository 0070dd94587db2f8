//! Machines of images and of build contexts. The engine is a `docker` of the tests' own: what it builds is a microVM that is
//! there, and an image that is there. The root is laid out, written and read by this program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::lab::{Lab, tool, until};

/// Notes what it is asked, sends the folder for a build of a microVM, and the archive for an image.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >>docker.log
case "$1 $2" in
'buildx version') echo github.com/docker/buildx v0.13.1 0 ;;
'version --format') echo 26.1.5 ;;
'buildx build')
    case "$*" in
    *type=docker*) ;;
    *) exec tar -c -C built . --transform 's,^\.,disk-microvm,' ;;
    esac ;;
'save --') exec cat image.tar ;;
esac
"#;

/// `docker save` of an image with one layer, `app`.
const IMAGE: &str = r#"
import hashlib, io, json, sys, tarfile
folder, architecture = sys.argv[1:]
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    tar.add(folder + "/app", arcname=".")
layer = layer.getvalue()
digest = lambda data: hashlib.sha256(data).hexdigest()
config = {"architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"], "Labels": {}},
          "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]}}
config = json.dumps(config).encode()
names = [digest(config) + ".json", digest(layer) + "/layer.tar"]
manifest = [{"Config": names[0], "RepoTags": ["app:latest"], "Layers": names[1:]}]
with tarfile.open(folder + "/image.tar", "w") as tar:
    for name, data in zip(names + ["manifest.json"], [config, layer, json.dumps(manifest).encode()]):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
"#;

/// With that engine, the files of an image in `app`, and a context in `context`.
fn lab() -> Lab {
    let lab = Lab::new();
    fs::write(lab.path("bin/docker"), DOCKER).unwrap();
    fs::set_permissions(lab.path("bin/docker"), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["app/etc", "app/bin", "app/srv", "context", "init/usr/lib/vmimage"] {
        fs::create_dir_all(lab.path(folder)).unwrap();
    }
    fs::write(lab.path("app/etc/os-release"), "ID=test\n").unwrap();
    fs::write(lab.path("app/bin/sh"), program()).unwrap();
    fs::write(lab.path("app/srv/page"), "of the image\n").unwrap();
    tool("cp", &["-r", lab.path("vm").to_str().unwrap(), lab.path("built").to_str().unwrap()]);
    // The first process goes from the root that was built into that of the image.
    fs::write(lab.path("init/usr/lib/vmimage/init"), program()).unwrap();
    let (tree, root) = (lab.path("init"), lab.path("built/root.raw"));
    fs::remove_file(&root).unwrap();
    fs::File::create(&root).unwrap().set_len(16 << 20).unwrap();
    let words = ["-q", "-O", "^orphan_file", "-d", tree.to_str().unwrap(), root.to_str().unwrap()];
    tool("mkfs.ext4", &words);
    tool("python3", &["-c", IMAGE, lab.path("").to_str().unwrap(), "amd64"]);
    fs::write(lab.path("context/Dockerfile"), "FROM example/base:1\n").unwrap();
    lab
}

/// The head of a program for x86-64 (elf(5)).
fn program() -> [u8; 64] {
    let mut head = [0; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (head[16], head[18]) = (2, 62);
    head
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it needs to start again is in its folder, whatever becomes of the image.
#[test]
fn a_machine_of_an_image_has_all_that_it_needs() {
    let lab = lab();
    let words =
        ["run", "-d", "--name", "web", "--engine", "docker", "-e", "A=b", "dir-tree:app", "sh", "-c", "x"];
    assert_eq!(lab.done(&words), "web\n");
    let row = lab.ps("web");
    assert_eq!((&row["kind"], &row["source"]), (&"microvm".into(), &"dir-tree:app".into()), "{row}");
    let told = fs::read_to_string(lab.machine("web").join("told")).unwrap();
    assert!(told.contains(r#""Cmd":["sh","-c","x"]"#) && told.contains("A=b"), "{told}");
    assert_eq!(lab.done(&["exec", "web", "echo", "there"]), "there\n");
    lab.done(&["stop", "web"]);
    for gone in ["app", "built", "image.tar", "bin/docker"] {
        tool("rm", &["-r", lab.path(gone).to_str().unwrap()]);
    }
    let all: Vec<_> =
        fs::read_dir(lab.machine("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(all, ["web"], "nothing else is left");
    lab.done(&["cp", "web:/srv/page", "page"]);
    assert_eq!(fs::read_to_string(lab.path("page")).unwrap(), "of the image\n");
    lab.done(&["start", "web"]);
    assert_eq!(lab.done(&["exec", "web", "echo", "again"]), "again\n");
    lab.done(&["rm", "-f", "web"]);
    assert!(!lab.machine("web").exists());
    until("the end of all processes", || lab.processes().is_empty());
}

/// One without a name is called after its image, and goes when its disk is saved.
#[test]
fn the_disk_of_an_image_is_saved() {
    let lab = lab();
    let mut command = lab.command(&["run", "--engine", "docker", "--save", "kept.raw", "dir-tree:app", "sh"]);
    let output = crate::lab::fed(&mut command, "exit 7\n");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    lab.done(&["cp", "./kept.raw:/srv/page", "page"]);
    assert_eq!(fs::read_to_string(lab.path("page")).unwrap(), "of the image\n");
    assert_eq!(lab.done(&["ps", "-aq"]), "");
}

/// The layers come from the engine, and the root from here, with what is asked of it; nothing is left with the engine.
#[test]
fn a_context_is_an_image_that_has_no_name_for_long() {
    let lab = lab();
    let toml = "[microvm]\nmemory = \"384M\"\n[[files]]\npath = \"/etc/motd\"\ncontent = \"hello\\n\"\n";
    fs::write(lab.path("context/vmimage.toml"), toml).unwrap();
    assert_eq!(lab.done(&["run", "-d", "--engine", "docker", "--name", "web", "context"]), "web\n");
    lab.done(&["stop", "web"]);
    for (from, content) in [("web:/etc/motd", "hello\n"), ("web:/srv/page", "of the image\n")] {
        lab.done(&["cp", from, "copied"]);
        assert_eq!(fs::read_to_string(lab.path("copied")).unwrap(), content);
        fs::remove_file(lab.path("copied")).unwrap();
    }
    let record = fs::read_to_string(lab.machine("web").join("machine.json")).unwrap();
    assert!(record.contains("\"384M\""), "{record}");
    let log = fs::read_to_string(lab.path("docker.log")).unwrap();
    let line =
        |part: &str| log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {log}"));
    let built = line("--output=type=docker");
    let name = built.split_whitespace().find_map(|word| word.strip_prefix("--tag=")).unwrap();
    assert!(built.contains("VMIMAGE_STAGE=rootfs") && built.ends_with(" -- context"), "{built}");
    assert_eq!(line("save "), format!("save -- {name}"));
    assert_eq!(line("image rm"), format!("image rm --no-prune -- {name}"));
    assert_eq!(log.matches("type=tar").count(), 1, "a kernel alone: {log}");
}

/// What a root does not have is not left out.
#[test]
fn a_context_that_asks_for_more_is_built_whole() {
    let lab = lab();
    fs::write(lab.path("context/vmimage.toml"), "cmdline = \"loglevel=7\"\n").unwrap();
    let output =
        lab.command(&["run", "-d", "--engine", "docker", "--name", "web", "context"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(told(&output).contains("context: its root is written first: more is asked for"), "{output:?}");
    let log = fs::read_to_string(lab.path("docker.log")).unwrap();
    assert!(!log.contains("type=docker") && log.contains("type=tar"), "{log}");
    assert_eq!(lab.done(&["exec", "web", "echo", "there"]), "there\n");
}

/// Docker's number, and one line, before an engine or a registry is asked for anything.
#[test]
fn what_cannot_be_is_told_before_an_image_is_read() {
    let lab = lab();
    lab.start("web");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("{}:80", listener.local_addr().unwrap().port());
    let none = "dir-tree:no-such-folder";
    for (words, why) in [
        (&["--name", "web"][..], "web: there is a machine of that name\nhint: "),
        (&["-d", "--commit"], "cannot be used with"),
        (&["--commit"], "--commit: dir-tree:no-such-folder is an image"),
        (&["--save", "kept.what"], "--save kept.what: its extension tells no format of a disk\nhint: "),
        (&["-d", "-v", ".:/src"], "--volume: is for machines that end with this command\nhint: "),
        (&["-d", "-p", &taken], "is not to be had: "),
        (&["-p", &taken], "is not to be had: "),
        (&["-d", "--qemu", "no-such-qemu"], "--qemu no-such-qemu: is no program that can be run"),
        (&["-v", "no-such-folder:/src"], "no-such-folder"),
        (&["--network", "tap=no-such0"], "--network: there is no interface no-such0"),
        (&["-d"], "no-such-folder"),
    ] {
        let words = [&["run", "--engine", "docker"][..], words, &[none, "sh"]].concat();
        let output = lab.command(&words).output().unwrap();
        let told = told(&output);
        let code = if why.starts_with("cannot be used") { 2 } else { 125 };
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(output.stdout.is_empty() && told.contains(why), "{words:?}: {told}");
        let errors = told.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{words:?}: {told}");
    }
    assert_eq!(lab.done(&["ps", "-aq"]), "web\n");
    assert!(!lab.path("docker.log").exists(), "no engine was asked");
    assert_eq!(fs::read_dir(lab.machine("")).unwrap().count(), 1, "nothing is left");
}

/// Of disks and microVMs the number is 1.
#[test]
fn what_cannot_be_of_a_microvm_is_one_line() {
    let lab = lab();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("{}:80", listener.local_addr().unwrap().port());
    fs::write(lab.path("disk.raw"), vec![0; 1 << 20]).unwrap();
    for source in [&["vm"][..], &["disk.raw", "--bios"]] {
        let words = [&["run", "-p", &taken][..], source].concat();
        assert!(lab.refused(&words).contains("is not to be had: "), "{words:?}");
    }
    assert!(lab.refused(&["run", "vm", "-v", "no-such-folder:/src"]).contains("no-such-folder"));
    assert!(
        lab.refused(&["run", "vm", "--qemu", "no-such-qemu"]).contains("--qemu no-such-qemu: is no program")
    );
    assert!(lab.refused(&["run", "./no-such.qcow2"]).contains("no-such.qcow2"));
}
