//! Whichever way an image comes in, the disk is the same, and nothing of its files is lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{Engine, VMIMAGE, frontend, refused, run, scratch};

const IMAGE: &str = "vmimage-test/sources";
/// What podman and buildah call it.
const STORED: &str = "localhost/vmimage-test/sources";

/// Files with all that gets lost where care is not taken.
fn tree(folder: &Path) -> PathBuf {
    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    let script = "set -e
        mkdir -m 1777 tmp; mkdir -p usr/bin etc
        cp /bin/true usr/bin/su; chown 3:4 usr/bin/su; chmod 6755 usr/bin/su
        cp /bin/true usr/bin/ping; setcap cap_net_raw=ep usr/bin/ping; setfattr -n user.note -v kept usr/bin/ping
        ln usr/bin/ping usr/bin/ping6; ln -s ../usr/bin/su etc/link
        echo web >etc/hostname; setfacl -m u:1234:r etc/hostname; touch -d '2001-02-03 04:05:06.789012345Z' etc/hostname
        mknod -m 666 null c 1 3; mkfifo pipe; printf odd >\"$(printf 'a\\377b')\"; chown 100000:200000 etc";
    run(Command::new("sh").args(["-c", script]).current_dir(&tree));
    tree
}

/// The tree as a tar that keeps everything.
fn tar(tree: &Path, to: &Path) {
    let mut command = Command::new("tar");
    command.args([
        "--format=posix",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "--sort=name",
        "-cf",
    ]);
    run(command.arg(to).arg("-C").arg(tree).arg("."));
}

fn vmimage(source: &str, disk: &Path) -> Command {
    let mut command = Command::new(VMIMAGE);
    command.args(["convert", "--quiet", "--no-install", "--profile", "data", source, "-o"]).arg(disk);
    command
}

/// What `vmimage inspect` says of the files on a disk.
fn digest(disk: &Path) -> String {
    let json = run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(disk));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    report["partitions"][0]["file_system"]["tree_digest"].as_str().unwrap().to_owned()
}

/// A folder with one of the programs, and nothing else.
fn only(program: &str, folder: &Path) -> PathBuf {
    let path = folder.join(program);
    fs::create_dir_all(&path).unwrap();
    symlink(run(Command::new("which").arg(program)).trim(), path.join(program)).unwrap();
    path
}

#[test]
fn every_way_in_makes_the_same_disk() {
    let _alone = super::lab::alone_with_the_store();
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let (tree, archive) = (tree(folder.path()), at("tree.tar"));
    tar(&tree, &archive);
    run(Command::new("docker").arg("import").arg(&archive).arg(IMAGE));
    let saved = at("saved.tar");
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&saved));
    let layout = at("layout");
    fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&saved).arg("-C").arg(&layout));
    let [saved, layout] = [saved, layout].map(|path| path.display().to_string());
    let stored = format!("containers-storage:{STORED}");
    run(Command::new("skopeo").args(["copy", "-q", &format!("docker-archive:{saved}"), &stored]));

    let first = at("first.raw");
    run(&mut vmimage(&format!("docker-archive:{saved}"), &first));
    let expected = digest(&first);
    let check = |mut command: Command, disk: &Path| {
        run(&mut command);
        run(Command::new("cmp").arg(&first).arg(disk));
        assert_eq!(digest(disk), expected);
    };
    let disk = at("disk.raw");
    for source in
        [format!("oci:{layout}"), format!("docker-daemon:{IMAGE}"), format!("docker-daemon:{IMAGE}:latest")]
    {
        check(vmimage(&source, &disk), &disk);
    }
    for engine in [Engine::ContainerdStore, Engine::Oldest] {
        let mut command = vmimage(&format!("docker-daemon:{IMAGE}"), &disk);
        command.env("DOCKER_HOST", engine.with(&[IMAGE]));
        check(command, &disk);
    }
    for program in ["podman", "buildah", "skopeo"] {
        let mut command = vmimage(&stored, &disk);
        // The folders of system programs come with it: they start helpers.
        command.env("PATH", format!("{}:/usr/sbin:/sbin", only(program, folder.path()).display()));
        check(command, &disk);
    }
    // Not the same bytes, since they lie in another order, but the same files.
    for source in [tree.display().to_string(), archive.display().to_string()] {
        run(&mut vmimage(&source, &disk));
        assert_eq!(digest(&disk), expected, "{source}");
    }
    fs::write(tree.join("etc/hostname"), "other\n").unwrap();
    run(&mut vmimage(&tree.display().to_string(), &disk));
    assert_ne!(digest(&disk), expected);
}

#[test]
fn what_is_not_there_is_said_in_a_line() {
    let _alone = super::lab::alone_with_the_store();
    let folder = scratch();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let disk = out.join("disk.raw");
    let check = |command: &mut Command, said: &str, hint: &str| {
        let text = refused(command);
        assert!(text.starts_with("error: ") && text.contains(said) && text.contains(hint), "{text}");
        assert!(text.lines().count() <= 2 && fs::read_dir(&out).unwrap().count() == 0, "{text}");
    };
    check(&mut vmimage("docker-daemon:vmimage-test/nothing", &disk), "docker cannot read it: ", "");
    check(&mut vmimage("containers-storage:vmimage-test/nothing", &disk), "podman cannot read it: ", "");
    let no_engine = "the docker daemon: does not answer";
    check(vmimage("docker-daemon:a", &disk).env("DOCKER_HOST", "unix:///nowhere"), no_engine, "hint: ");
    let none = |source| {
        let mut command = vmimage(source, &disk);
        command.env("PATH", "/nonexistent");
        command
    };
    check(&mut none("docker-daemon:a"), "docker: is not installed", "hint: install it");
    check(&mut none("containers-storage:a"), "needs podman, skopeo or buildah", "hint: install it");
}

/// docker's classic store follows the link, a layer of the containerd store hides it: the disk is the engine's.
#[test]
fn a_layer_over_a_link_is_on_the_disk_as_its_engine_has_it() {
    let folder = scratch();
    let script = "mkdir -p tree/usr/lib && ln -s usr/lib tree/lib && tar -C tree -cf lower.tar .";
    run(Command::new("sh").args(["-ec", script]).current_dir(&folder));
    let dockerfile = "FROM scratch\nADD lower.tar /\nCOPY --link Dockerfile /lib/sub/\n";
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let disk = folder.path().join("disk.raw");
    let store = Engine::ContainerdStore.with(&[&frontend()]);
    for (host, kind) in [(None, "symlink"), (Some(store), "directory")] {
        let mut build = Command::new(VMIMAGE);
        build.args(["build", "--engine", "docker", "--profile", "data", "-o"]).arg(&disk).arg(folder.path());
        run(build.envs(host.map(|host| ("DOCKER_HOST", host))));
        let place = format!("{}?offset=1048576", disk.display());
        let lib = run(Command::new("debugfs").args(["-R", "stat /lib", &place]));
        assert!(lib.contains(&format!("Type: {kind}")), "{lib}");
    }
}
