//! Images without a kernel: whichever way they come in, an engine makes the same machine of them as of a Dockerfile
//! that stands on them; from the network, through a proxy, from a mirror, and from a folder alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{bare_alpine, check_report};
use super::lab::{self, Engine, Mount, VMIMAGE, partitions, refused, run, scratch, testdata};
use super::proxy::{MIRROR, Proxy};
use super::registry::Registry;

/// A container's image: no kernel, no init, and what gets lost where care is not taken.
const DOCKERFILE: &str = r#"
FROM vmimage-test/debian:12
COPY app.txt /srv/app/app.txt
COPY --chmod=755 report.sh /usr/local/bin/report
COPY report.service /etc/systemd/system/report.service
RUN mkdir -p /etc/systemd/system/multi-user.target.wants && \
    ln -s ../report.service /etc/systemd/system/multi-user.target.wants/ && \
    mkdir /kept && cd /kept && cp /bin/true setuid && chmod 4755 setuid && ln setuid link && mkfifo -m 600 pipe && \
    echo x >owner && chown 123456:654321 owner && mkdir -m 1777 sticky && rm /etc/issue
USER 1234
"#;
const IMAGE: &str = "vmimage-test/converted";
/// Times of what is installed are clamped to it, so that builds can be compared.
const EPOCH: &str = "1700000000";

/// The image, in docker's store.
fn image() {
    let folder = scratch();
    let dockerfile = folder.path().join("Dockerfile");
    fs::write(&dockerfile, DOCKERFILE).unwrap();
    let mut build = Command::new("docker");
    build.args(["build", "-q", "-t", IMAGE, "-f"]).arg(&dockerfile).arg(testdata("machine"));
    run(&mut build);
}

/// `vmimage convert` of an image that something has to be installed on.
fn convert(source: &str, disk: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(VMIMAGE);
    command.args(["convert", source, "--hostname", "web", "--progress", "plain", "-o"]).arg(disk).args(args);
    command.env("SOURCE_DATE_EPOCH", EPOCH);
    command
}

/// The digest of the root's files.
fn digest(disk: &Path) -> String {
    let json = run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(disk));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    report["partitions"][2]["file_system"]["tree_digest"].as_str().unwrap().to_owned()
}

/// The image as an archive, and as an OCI layout; skopeo does not talk to recent engines.
fn saved(folder: &Path) -> [String; 2] {
    let (archive, layout) = (folder.join("saved.tar"), folder.join("layout"));
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&archive));
    fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layout));
    [format!("docker-archive:{}", archive.display()), format!("oci:{}", layout.display())]
}

#[test]
fn a_kernel_is_installed_whichever_way_the_image_comes() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    image();
    let disk = at("disk.qcow2");
    let build = |from: &str, engine: &str| {
        let context = at("context");
        fs::create_dir_all(&context).unwrap();
        fs::write(context.join("Dockerfile"), format!("FROM {from}\n")).unwrap();
        let mut build = Command::new(VMIMAGE);
        build.args(["build", "--hostname", "web", "--network", "host", "--engine", engine, "-o"]).arg(&disk);
        run(build.arg(&context).env("SOURCE_DATE_EPOCH", EPOCH));
        digest(&disk)
    };
    let expected = build(IMAGE, "docker");

    let [archive, layout] = saved(folder.path());
    let registry = Registry::start(folder.path(), false);
    let pushed = format!("docker://{}/app:v1", registry.host);
    run(Command::new("skopeo").args(["copy", "-q", "--dest-tls-verify=false", &archive, &pushed]));
    let stored = format!("containers-storage:localhost/{IMAGE}");
    run(Command::new("skopeo").args(["copy", "-q", &archive, &stored]));

    let check = |mut command: Command, expected: &str| {
        run(&mut command);
        assert_eq!(digest(&disk), expected, "{command:?}");
        fs::remove_file(&disk).unwrap();
    };
    for source in [&layout, &pushed, &format!("docker-daemon:{IMAGE}")] {
        check(convert(source, &disk, &["--network", "host"]), &expected);
    }
    let images = run(Command::new("docker").args(["images", "--quiet", "localhost/vmimage-convert"]));
    assert_eq!(images, "", "what was loaded is still there");
    let mut on_store = convert(&layout, &disk, &["--network", "host"]);
    on_store.env("DOCKER_HOST", Engine::ContainerdStore.with(&[&lab::frontend()]));
    check(on_store, &expected);

    // These engines' disks are made by this program, which has no program to grow the root: other files.
    let expected = build(&format!("localhost/{IMAGE}"), "buildah");
    let named = || {
        let words = ["images", "--quiet", "--no-trunc", "--filter", "dangling=false"];
        run(Command::new("podman").args(words))
    };
    let before = named();
    check(convert(&stored, &disk, &["--engine", "buildah", "--network", "host"]), &expected);
    check(convert(&layout, &disk, &["--engine", "podman", "--network", "host"]), &expected);
    assert_eq!(named(), before, "what was pulled has its name still");
    run(&mut convert(&stored, &disk, &["--network", "host"]));
    let left = fs::read_dir(folder.path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(left.filter(|name| name.starts_with('.')).count(), 0, "temporary files are left");
    check_report("vmimage-test/debian:12", "--uefi", &lab::boot(&disk, "--uefi", &[]));
}

/// What is easily lost where the numbers of users are not the machine's.
const OWNED: &str = r"
RUN mkdir /kept && cd /kept && for name in setuid setgid; do cp /bin/busybox $name; done && \
    chmod 4755 setuid && chmod 2755 setgid && ln setuid link && mkdir -m 1777 sticky && \
    echo x >owner && chown 1234:5678 owner
";

/// Without root, from a repository in the image alone: neither files nor engine are root's, and the disk's are.
#[test]
#[ignore = "long: make matrix"]
fn without_root_an_image_gets_its_kernel_and_keeps_what_it_has() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let context = at("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), format!("FROM {}\n{OWNED}", bare_alpine())).unwrap();
    let image = "vmimage-test/owned";
    run(Command::new("docker").args(["build", "-q", "-t", image]).arg(&context));
    let (archive, disk) = (at("saved.tar"), at("disk.raw"));
    run(Command::new("docker").args(["save", image, "-o"]).arg(&archive));
    // Alpine signs no boot loader: that of the frontend image is taken.
    let program = lab::static_binary(folder.path());
    for engine in ["podman", "buildah"] {
        let mut convert = lab::as_user(folder.path(), &program);
        convert.args(["convert", &format!("docker-archive:{}", archive.display()), "--engine", engine]);
        run(convert.args(["--network", "none", "-o"]).arg(&disk));
        assert_ne!(fs::metadata(&disk).unwrap().uid(), 0, "the disk is root's");
        super::disk::check(&disk);
        let root = Mount::new(&disk, &partitions(&disk)[2], at("root"));
        let meta = |name: &str| fs::symlink_metadata(root.0.join(name)).unwrap();
        for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1777), ("owner", 0o644)] {
            assert_eq!(meta(&format!("kept/{name}")).permissions().mode() & 0o7777, mode, "{name}");
        }
        assert_eq!((meta("kept/owner").uid(), meta("kept/owner").gid()), (1234, 5678));
        assert_eq!((meta("kept/setuid").uid(), meta("kept/setuid").ino()), (0, meta("kept/link").ino()));
        // What the engine has installed is root's too.
        assert_eq!((meta("boot/vmlinuz-virt").uid(), meta("sbin/openrc").uid()), (0, 0));
    }
}

#[test]
fn a_mirror_is_asked_through_the_proxy_that_was_named() {
    let folder = scratch();
    let disk = folder.path().join("disk.qcow2");
    let proxy = Proxy::start();
    let argument = format!("http_proxy={}", proxy.url());
    // One that no cached step has asked.
    let mirror = format!("http://{}{MIRROR}", lab::nonce());
    let args = ["--build-arg", &argument, "--mirror", &mirror, "--network", "host"];
    run(&mut convert("docker-daemon:vmimage-test/debian:12", &disk, &args));
    super::disk::check(&disk);
    let asked = proxy.asked();
    let release = format!("{mirror}/debian/dists/bookworm/InRelease");
    assert!(asked.contains(&release), "{asked:?}");
    assert!(asked.iter().all(|url| url.starts_with(&mirror)), "others were asked too: {asked:?}");

    // The configuration's proxy is asked, too: here by a step that nobody has cached, and in vain.
    let config = folder.path().join("vmimage.toml");
    fs::write(&config, format!("proxy = \"http://127.0.0.1:1\"\nmirror = \"{mirror}.other\"\n")).unwrap();
    for engine in ["docker", "buildah"] {
        let _alone = lab::alone_with_the_store();
        let args = ["--config", config.to_str().unwrap(), "--network", "host", "--engine", engine];
        let said = refused(&mut convert("docker-daemon:vmimage-test/debian:12", &disk, &args));
        assert!(said.contains("127.0.0.1:1 "), "{said}");
    }
}

/// The packages that a machine of Debian 12 needs, and its boot loader's, with all they depend on.
fn packages(folder: &Path) -> PathBuf {
    let packages = folder.join("packages");
    fs::create_dir(&packages).unwrap();
    let script = "echo 'Dir::Cache::archives \"/packages\"; APT::Sandbox::User \"root\";' >/etc/apt/apt.conf.d/99 && \
        apt-get -q update && apt-get -q install -y --download-only --no-install-recommends linux-image-cloud-amd64 \
        initramfs-tools zstd systemd-sysv systemd-resolved systemd-timesyncd libpam-systemd dbus udev kmod iproute2 \
        e2fsprogs login grub-common grub-pc-bin shim-signed grub-efi-amd64-signed && rm -rf /packages/partial /packages/lock";
    let mount = format!("{}:/packages", packages.display());
    run(Command::new("docker").args([
        "run",
        "--rm",
        "--network",
        "host",
        "-v",
        &mount,
        "vmimage-test/debian:12",
        "sh",
        "-c",
        script,
    ]));
    packages
}

#[test]
fn a_folder_of_packages_is_enough_without_a_network() {
    enough_for(&["docker"]);
}

#[test]
#[ignore = "long: make matrix"]
fn a_folder_of_packages_is_enough_for_other_engines() {
    enough_for(&["buildah", "podman"]);
}

fn enough_for(engines: &[&str]) {
    let folder = scratch();
    let packages = packages(folder.path());
    let disk = folder.path().join("disk.qcow2");
    let from = packages.to_str().unwrap();
    let config = folder.path().join("vmimage.toml");
    fs::write(&config, "packages = \"packages\"\n").unwrap();
    let by_file = ["--config", config.to_str().unwrap()];
    for engine in engines {
        let _alone = lab::alone_with_the_store();
        for asked in [by_file, ["--packages", from]] {
            let args = [&asked[..], &["--network", "none", "--engine", engine]].concat();
            run(&mut convert("docker-daemon:vmimage-test/debian:12", &disk, &args));
            super::disk::check(&disk);
            fs::remove_file(&disk).unwrap();
        }
    }
    // Another folder is another step, and one that fails has used nothing but the folder.
    let kernel = fs::read_dir(&packages).unwrap().map(|entry| entry.unwrap().path());
    let kernels = kernel.filter(|path| path.to_str().unwrap().contains("/linux-image-"));
    kernels.for_each(|path| fs::remove_file(path).unwrap());
    let args = ["--packages", from, "--network", "none"];
    let said = refused(&mut convert("docker-daemon:vmimage-test/debian:12", &disk, &args));
    assert!(said.contains("linux-image-cloud-amd64"), "{said}");
}

#[test]
fn what_cannot_be_installed_is_said_in_a_line() {
    let folder = scratch();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let disk = out.join("disk.raw");
    let check = |command: &mut Command, said: &str, hint: &str| {
        let text = refused(command);
        assert!(text.contains(&format!("error: {said}")) && text.contains(hint), "{text}");
        assert_eq!(
            (
                text.lines().filter(|line| line.starts_with("error: ")).count(),
                fs::read_dir(&out).unwrap().count()
            ),
            (1, 0),
            "{text}"
        );
    };
    let (empty, missing) = (empty.to_str().unwrap(), "/nonexistent/packages");
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let root = root.to_str().unwrap();
    check(
        convert(root, &disk, &[]).env("PATH", "/nowhere"),
        &format!("{root}: has no kernel with an initramfs, and there is no engine"),
        "hint: ",
    );
    check(
        convert(root, &disk, &["--engine", "podman"]).env("PATH", "/nowhere"),
        "podman: is not installed",
        "hint: ",
    );
    check(
        &mut convert(root, &disk, &["--packages", empty]),
        &format!("--packages {empty}: holds no packages"),
        "hint: ",
    );
    check(
        &mut convert(root, &disk, &["--packages", missing]),
        &format!("--packages {missing}: cannot be read"),
        "",
    );
    check(
        &mut convert("docker-daemon:vmimage-test/none", &disk, &[]),
        "docker-daemon:vmimage-test/none: ",
        "",
    );
    check(&mut convert(root, &disk, &["--boot", empty]), "--boot: ", "hint: ");
    let said = refused(&mut convert(root, &disk, &["--mirror", "mirror.example"]));
    assert!(
        said.contains("mirror") && said.contains("URL") && fs::read_dir(&out).unwrap().count() == 0,
        "{said}"
    );
}
