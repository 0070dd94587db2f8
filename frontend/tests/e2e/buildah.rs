//! buildah and podman, with root and without: the same machine, and nothing of an image is lost on the way.
//!
//! `.ci/setup` makes the user without root and gives both stores the base image.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::lgetxattr;

use super::boot::check_report;
use super::fidelity::{differences, is_edit, walk};
use super::lab::{self, Mount, VMIMAGE, copy_of, nonce, partitions, raw, refused, run, scratch};

/// What engines are known to lose, in a layer of its own.
const KEPT: &str = r"
RUN apt-get -q update && apt-get -q install -y --no-install-recommends attr libcap2-bin acl
RUN mkdir /kept && cd /kept && for name in setuid setgid capable; do cp /bin/true $name; done && \
    chmod 4755 setuid && chmod 2755 setgid && setcap cap_net_raw=+ep capable && \
    echo x >xattr && setfattr -n user.kept -v yes xattr && \
    echo x >owner && chown 1234:5678 owner && ln owner hard-link && \
    echo x >acl && setfacl -m u:1000:rw acl && mkdir -m 1777 sticky
";

/// A context of a machine with files that have all of it.
fn machine(folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile + KEPT).unwrap();
    context
}

/// `vmimage build` with this engine, on the host's network.
fn build(engine: &str, context: &Path, disk: &Path) -> String {
    build_with(engine, context, disk, &[])
}

fn build_with(engine: &str, context: &Path, disk: &Path, options: &[&str]) -> String {
    let usual = ["--engine", engine, "--network", "host", "--hostname", "web"];
    lab::build(context, disk, &[&usual[..], options].concat())
}

/// The last image that a build names.
fn image(progress: &str) -> &str {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    progress.split_whitespace().rfind(is_id).unwrap_or_else(|| panic!("no image in:\n{progress}"))
}

/// An image's files as buildah shows them.
struct Shown(String);

impl Shown {
    fn new(image: &str) -> Self {
        Self(run(Command::new("buildah").args(["from", "--pull-never", image])).trim().to_owned())
    }

    fn root(&self) -> PathBuf {
        run(Command::new("buildah").args(["mount", &self.0])).trim().into()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = Command::new("buildah").args(["rm", &self.0]).output();
    }
}

/// The root of a disk, mounted in `folder`.
fn root(disk: &Path, folder: &Path) -> Mount {
    let raw = raw(disk, folder);
    Mount::new(&raw, &partitions(&raw)[2], folder.join("root"))
}

/// Every attribute of [`KEPT`] but the ACL, which buildah leaves out of its layers.
fn check_kept(root: &Path) {
    let meta = |name: &str| fs::symlink_metadata(root.join("kept").join(name)).unwrap();
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1777), ("capable", 0o755)] {
        assert_eq!(meta(name).permissions().mode() & 0o7777, mode, "{name}");
    }
    assert_eq!((meta("owner").uid(), meta("owner").gid()), (1234, 5678));
    assert_eq!(meta("owner").ino(), meta("hard-link").ino());
    let xattr = |file: &str, name: &str| {
        let mut value = [0; 64];
        let len = lgetxattr(root.join("kept").join(file), name, &mut value).unwrap();
        value[..len].to_vec()
    };
    assert_eq!(xattr("xattr", "user.kept"), b"yes");
    // capabilities(7): revision 2, effective; CAP_NET_RAW is bit 13. No user namespace is in it.
    let capability = [0x0200_0001u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
    assert_eq!(xattr("capable", "security.capability"), capability);
}

/// Nothing is left of a build: no working container, no mount, no temporary file, no process.
#[track_caller]
pub(crate) fn check_nothing_is_left(marked: &str) {
    assert_eq!(run(Command::new("buildah").args(["containers", "--quiet"])), "");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let left: Vec<_> = mounts.lines().filter(|line| line.contains("/containers/storage/overlay/")).collect();
    assert!(left.is_empty(), "{left:#?}");
    // Those of another user belong to a build that goes on.
    let left = fs::read_dir("/var/tmp").unwrap().map(|entry| entry.unwrap()).filter(|entry| {
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.uid() == 0);
        is_ours && entry.file_name().as_encoded_bytes().starts_with(b"vmimage-")
    });
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    let processes = run(Command::new("ps").args(["-eo", "args"]));
    assert!(!processes.contains(marked), "{marked} still runs:\n{processes}");
}

#[test]
fn with_root_the_disk_holds_what_the_image_holds_and_boots() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let context = machine(folder.path());
    let disks = ["buildah", "podman"].map(|engine| folder.path().join(engine).with_extension("qcow2"));
    let package = folder.path().join("package");
    let output = ["--output", package.to_str().unwrap(), "--format", "qcow2", "--format", "ovf"];
    build_with("buildah", &context, &disks[0], &output);
    let inside = super::disk::check_package(&package, "web");
    run(Command::new("qemu-img").arg("compare").args([&disks[0], &inside]));
    // They share a store: podman finds all layers, and says which image the last one is.
    let progress = build("podman", &context, &disks[1]);
    let shown = Shown::new(image(&progress));
    let before = walk(&shown.root());
    for disk in &disks {
        super::disk::check(disk);
        let root = root(disk, folder.path());
        check_kept(&root.0);
        let after = walk(&root.0);
        let changed = differences(&before, &after);
        let unexpected: Vec<_> = changed.iter().filter(|path| !is_edit(path, &before, &after)).collect();
        assert!(unexpected.is_empty(), "{}: {unexpected:?}", disk.display());
        assert!(changed.contains(Path::new("etc/fstab")), "the comparison sees nothing");
    }
    drop(shown);
    check_nothing_is_left("no such process");
    check_report("vmimage-test/debian:12", "--uefi", &lab::boot(&disks[0], "--uefi", &[]));
}

#[test]
fn an_edit_of_the_app_leaves_the_kernel_layer_cached() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let context = machine(folder.path());
    let disk = folder.path().join("machine.qcow2");
    for engine in ["buildah", "podman"] {
        build(engine, &context, &disk);
        fs::write(context.join("app.txt"), format!("version {}\n", nonce())).unwrap();
        let progress = build(engine, &context, &disk);
        let after = |step: &str| {
            let start = progress.find(step).unwrap_or_else(|| panic!("no {step} in:\n{progress}"));
            progress[start..].lines().nth(1).unwrap_or_default().to_owned()
        };
        assert!(after("linux-image-cloud-amd64").contains("Using cache"), "{progress}");
        assert!(after("/vmimage-boot\",").contains("Using cache"), "{progress}");
        assert!(!after("COPY app.txt").contains("Using cache"), "{progress}");
    }
}

#[test]
fn without_root_nothing_is_lost_either() {
    let folder = scratch();
    let context = machine(folder.path());
    // The program may lie where the other user cannot go.
    let program = folder.path().join("vmimage");
    fs::copy(VMIMAGE, &program).unwrap();
    let disk = folder.path().join("machine.qcow2");
    let mut build = lab::as_user(folder.path(), &program);
    build.args(["build", "--engine", "podman", "--network", "host"]).arg(&context);
    let progress = run(build.arg("-o").arg(&disk));
    assert!(progress.contains("vmimage run"), "{progress}");
    assert_ne!(fs::metadata(&disk).unwrap().uid(), 0);
    super::disk::check(&disk);
    check_kept(&root(&disk, folder.path()).0);
}

#[test]
fn steps_have_the_network_that_is_asked_for() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let disk = folder.path().join("disk.raw");
    // The bridge is one of the host's, made by `.ci/setup`.
    let [card, bridge] = ["eth0", "vmimage0"].map(|name| format!("ip link show {name}"));
    for engine in ["buildah", "podman"] {
        for (network, holds) in [
            (&[][..], format!("{card} && ! {bridge}")),
            (&["--network", "none"], format!("! {card} && ! {bridge}")),
            (&["--network", "host"], bridge.clone()),
        ] {
            let dockerfile = format!("FROM vmimage-test/alpine:3.23\nRUN : {} && {holds}\n", nonce());
            fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
            let asked = [&["--engine", engine, "--profile", "data"], network].concat();
            lab::build(folder.path(), &disk, &asked);
        }
    }
}

#[test]
fn what_is_wrong_is_said_once_and_nothing_is_left() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let message = |engine: &str, dockerfile: &str, args: &[&str]| {
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(out.join("disk.qcow2"));
        let message = refused(command.args(["--engine", engine, "--network", "host"]).args(args));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "something lies where the disk should");
        // The engine says it, or this program does.
        let is_error = |line: &&str| line.to_lowercase().starts_with("error: ");
        assert_eq!(message.lines().filter(is_error).count(), 1, "{message}");
        message
    };
    for engine in ["buildah", "podman"] {
        for (dockerfile, args, parts) in [
            ("FROM localhost/vmimage-test/missing\n", &[][..], &["localhost/vmimage-test/missing"][..]),
            ("FROM vmimage-test/debian:12\nRUN exit 42\n", &[], &["Error: building at STEP \"RUN exit 42\""]),
            ("FROM vmimage-test/debian:12\nRUN rm -r /boot\n", &[], &["/boot", "no kernel", "hint: "]),
            (
                "FROM scratch\nCOPY Dockerfile /\n",
                &["--kernel", "image:localhost/vmimage-test/missing"],
                &["localhost/vmimage-test/missing"],
            ),
            ("FROM vmimage-test/debian:12\n", &["--target", "app"], &["--target app", "hint: "]),
            ("FROM vmimage-test/debian:12\n", &["--builder", "far"], &["--builder", engine, "hint: "]),
            ("FROM vmimage-test/debian:12\n", &["--size", "big"], &["--size", "10G"]),
        ] {
            let message = message(engine, dockerfile, args);
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in:\n{message}");
            }
        }
        check_nothing_is_left("no such process");
    }
}

/// An image whose programs are for amd64 and whose configuration says arm64, as where an engine has no other of its name:
/// what it is for is known before a package manager looks for a kernel that there is not.
#[test]
fn a_base_of_another_architecture_is_refused() {
    const FOREIGN: &str = "localhost/vmimage-test/foreign";
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let shell = [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[62, 0], &[0; 44]].concat();
    for (file, content) in [
        ("base/Dockerfile", &b"FROM scratch\nCOPY root /\n"[..]),
        ("base/root/etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
        ("base/root/usr/bin/apt-get", b""),
        ("base/root/bin/sh", &shell),
        ("on/Dockerfile", format!("FROM {FOREIGN}\n").as_bytes()),
        ("beside/Dockerfile", b"FROM scratch\nCOPY Dockerfile /\n"),
    ] {
        fs::create_dir_all(path(file).parent().unwrap()).unwrap();
        fs::write(path(file), content).unwrap();
    }
    let donor = format!("image:{FOREIGN}");
    for engine in ["docker", "buildah"] {
        run(Command::new(engine)
            .args(["build", "--platform", "linux/arm64", "-t", FOREIGN])
            .arg(path("base")));
        for (context, kernel) in [("on", "distro"), ("on", "6.1"), ("beside", &*donor)] {
            let mut build = Command::new(VMIMAGE);
            build.arg("build").arg(path(context)).arg("-o").arg(path("disk.raw")).args(["--engine", engine]);
            let told = refused(build.args(["--platform", "linux/arm64", "--kernel", kernel]));
            for part in [FOREIGN, " is for linux/amd64, the machine is to be for linux/arm64", "hint: "] {
                assert!(told.contains(part), "{engine} {context}: {told}");
            }
            assert!(!told.contains("[vmimage] install"), "{engine} {context}: {told}");
        }
        let remove = if engine == "docker" { ["image", "rm", FOREIGN].as_slice() } else { &["rmi", FOREIGN] };
        run(Command::new(engine).args(remove));
    }
}

#[test]
fn an_engine_that_is_missing_is_named() {
    let folder = scratch();
    fs::write(folder.path().join("Dockerfile"), "FROM vmimage-test/debian:12\n").unwrap();
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(folder.path()).arg("-o").arg(folder.path().join("disk.raw"));
    let message = refused(command.args(["--engine", "podman"]).env("PATH", "/nowhere"));
    assert!(message.contains("podman: is not installed"), "{message}");
    assert!(message.contains("hint: install it: "), "{message}");
}

/// A build in the midst of a step that takes long, and the word that this step's process shows.
fn started(engine: &str, folder: &Path) -> (Child, String) {
    let context = folder.join(engine);
    fs::create_dir(&context).unwrap();
    // A number that no other process sleeps for.
    let word = format!(
        "sleep 1{}",
        nonce().bytes().filter(u8::is_ascii_digit).take(8).map(char::from).collect::<String>()
    );
    fs::write(context.join("Dockerfile"), format!("FROM vmimage-test/debian:12\nRUN {word}\n")).unwrap();
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(&context).arg("-o").arg(folder.join("disk.qcow2"));
    command.args(["--engine", engine, "--network", "host"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let start = Instant::now();
    while !run(Command::new("ps").args(["-eo", "args"])).lines().any(|line| line == word) {
        assert!(start.elapsed() < Duration::from_secs(120), "the step does not begin");
        std::thread::sleep(Duration::from_millis(100));
    }
    (child, word)
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    for engine in ["buildah", "podman"] {
        let (child, word) = started(engine, folder.path());
        run(Command::new("kill").arg(child.id().to_string()));
        let output = child.wait_with_output().unwrap();
        let message = lab::text(&output);
        assert!(
            !output.status.success() && message.contains("error: the build was interrupted"),
            "{message}"
        );
        check_nothing_is_left(&word);
        assert!(!folder.path().join("disk.qcow2").exists());
    }
}

#[test]
fn an_engine_that_is_killed_leaves_nothing() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    for engine in ["buildah", "podman"] {
        let (child, word) = started(engine, folder.path());
        let parent = child.id().to_string();
        run(Command::new("pkill").args(["-KILL", "-P", &parent]));
        let output = child.wait_with_output().unwrap();
        let message = lab::text(&output);
        assert!(message.contains(&format!("the build: {engine} ended with signal: 9")), "{message}");
        assert!(message.contains("hint: "), "{message}");
        check_nothing_is_left(&word);
    }
}
