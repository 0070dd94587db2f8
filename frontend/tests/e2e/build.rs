//! What a user does with a build: caching, stock clients, every Dockerfile feature, the same bytes twice.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lab::{
    Engine, Mount, build, build_on, copy_of, frontend, nonce, partitions, refused, run, scratch, syntax,
    testdata, text,
};

/// Whether the step with this title came from the cache, by plain progress.
pub(crate) fn cached(progress: &str, title: &str) -> bool {
    let step = progress
        .lines()
        .find(|line| line.contains(title))
        .unwrap_or_else(|| panic!("no {title}:\n{progress}"));
    let number = step.split(' ').next().unwrap();
    progress.lines().any(|line| line == format!("{number} CACHED"))
}

#[test]
fn an_edit_of_the_app_leaves_the_kernel_step_cached() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let disk = folder.path().join("machine.qcow2");
    build(&context, &disk, &[]);
    fs::write(context.join("app.txt"), format!("version {}\n", nonce())).unwrap();
    let progress = build(&context, &disk, &[]);
    assert!(cached(&progress, "[vmimage] install linux-image"), "{progress}");
    assert!(cached(&progress, "[vmimage] collect boot loader files"), "{progress}");
    assert!(!cached(&progress, "COPY app.txt"), "{progress}");
    assert!(!cached(&progress, "[vmimage] assemble"), "{progress}");
}

#[test]
fn a_stock_client_needs_nothing_but_the_syntax_line() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
    fs::write(context.join("Dockerfile"), format!("# syntax={}\n{dockerfile}", frontend())).unwrap();
    let out = folder.path().join("out");
    run(Command::new("docker").args(["buildx", "build", "-o"]).arg(&out).arg(&context));
    super::disk::check(&out.join("disk.qcow2"));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

/// A context with data and long zeroes, and a Dockerfile that makes a disk by itself.
fn data_context(folder: &std::path::Path) -> PathBuf {
    let context = folder.join("data");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("noise"), fs::read("/bin/bash").unwrap()).unwrap();
    fs::File::create(context.join("hole")).unwrap().set_len(40 << 20).unwrap();
    let dockerfile = format!("# syntax={}\nFROM scratch\nCOPY noise hole /\n", frontend());
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    context
}

/// Every format with zeroes in it, by our own client and by docker's, which gets the file itself.
#[test]
fn a_disk_without_its_zeroes_on_the_wire_is_the_same_file() {
    let folder = scratch();
    let context = data_context(folder.path());
    let formats = ["raw", "vhdx", "vdi", "vhd", "qcow2"];
    let options = ["VMIMAGE_PROFILE=data", "VMIMAGE_COMPRESSION=none", "VMIMAGE_SIZE=300M"];
    let options = options.iter().flat_map(|option| ["--build-arg", option]);
    let ours = |format: &str| folder.path().join(format!("ours.{format}"));

    let mut build = Command::new(super::lab::VMIMAGE);
    build.arg("build").arg(&context).args(options.clone());
    for format in &formats {
        build.arg("-o").arg(ours(format));
    }
    run(build.env("SOURCE_DATE_EPOCH", "1700000000"));

    let stock = folder.path().join("stock");
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-o"]).arg(&stock).arg(&context).args(options.clone());
    build.args(["--build-arg", &format!("VMIMAGE_FORMAT={}", formats.join(","))]);
    run(build.env("SOURCE_DATE_EPOCH", "1700000000"));

    for format in formats {
        run(Command::new("cmp").arg(ours(format)).arg(stock.join(format!("disk.{format}"))));
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(ours(format)).unwrap());
        assert!(blocks * 512 < 20 << 20, "{format} has no holes: {} KiB", blocks / 2);
    }
    assert_eq!(fs::read_dir(&stock).unwrap().count(), formats.len(), "a stock client gets files alone");

    for format in ["raw", "vhd", "vhdx"] {
        let streamed = folder.path().join("streamed");
        let mut build = Command::new(super::lab::VMIMAGE);
        build.arg("build").arg(&context).args(options.clone()).args(["-o", "-", "--format", format]);
        build.env("SOURCE_DATE_EPOCH", "1700000000").stdout(fs::File::create(&streamed).unwrap());
        assert!(build.status().unwrap().success());
        run(Command::new("cmp").arg(&streamed).arg(ours(format)));
    }
}

/// What Docker Compose does, by the labels it gives: it has no other output than an image.
#[test]
fn an_image_that_compose_makes_of_a_disk_is_warned_of() {
    let folder = scratch();
    let context = data_context(folder.path());
    let build = |more: &[&str]| {
        let mut build = Command::new("docker");
        build.args(["buildx", "build", "--progress", "plain", "-o", "type=cacheonly"]).arg(&context);
        build.args(["--build-arg", "VMIMAGE_PROFILE=data"]).args(more);
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    const WARNING: &str = "the Dockerfile makes a disk: this image holds it";
    let label = ["--label", "com.docker.compose.service=web"];
    assert!(build(&label).contains(WARNING));
    assert!(!build(&[]).contains(WARNING));
    let asked = [&label[..], &["--build-arg", "VMIMAGE_STAGE=containerdisk"]].concat();
    assert!(!build(&asked).contains(WARNING));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let disks = [folder.path().join("one.qcow2"), folder.path().join("two.qcow2")];
    for disk in &disks {
        // Nothing of the first build is reused: kernel, initramfs and all are made again.
        let mut command = Command::new(super::lab::VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(disk).arg("--no-cache");
        run(command.env("SOURCE_DATE_EPOCH", "1700000000"));
    }
    let [one, two] = disks.map(|disk| fs::read(disk).unwrap());
    assert!(one == two, "two builds of the same input differ: {} and {} bytes", one.len(), two.len());
}

#[test]
fn every_feature_of_a_dockerfile_keeps_working() {
    let folder = scratch();
    let context = testdata("features");
    let named = folder.path().join("named");
    fs::create_dir(&named).unwrap();
    fs::write(named.join("file"), "from a named context").unwrap();
    let secret = folder.path().join("secret");
    let hidden = nonce();
    fs::write(&secret, &hidden).unwrap();
    let agent = Agent::start(folder.path().join("agent"));
    let disk = folder.path().join("features.raw");
    build(
        &context,
        &disk,
        &[
            "--target",
            "final",
            "--build-arg",
            "GREETING=hello",
            "--build-context",
            &format!("named={}", named.display()),
            "--secret",
            &format!("id=token,src={}", secret.display()),
            "--ssh",
            &format!("default={}", agent.socket.display()),
        ],
    );
    let table = partitions(&disk);
    let root = Mount::new(&disk, &table[2], folder.path().join("root"));
    let read =
        |path: &str| fs::read_to_string(root.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(read("features/arg"), "hello\n");
    assert_eq!(read("features/heredoc"), "line one\nline two\n");
    assert_eq!(read("features/stage"), "made in another stage\n");
    assert_eq!(read("features/linked"), "linked\n");
    assert_eq!(read("features/named"), "from a named context");
    assert_eq!(read("features/secret-length"), format!("{}\n", hidden.len()));
    assert_eq!(read("features/ssh"), "forwarded\n");
    assert_eq!(read("features/kernel-is-below"), "yes\n");
    assert!(!root.0.join("features/after-target").exists());
    let found =
        Command::new("grep").args(["-r", "-l", &hidden]).arg(root.0.join("features")).output().unwrap();
    assert_eq!(text(&found), "", "the secret reached the disk");
}

/// An SSH agent without keys; ended when dropped.
struct Agent {
    socket: PathBuf,
    process: Child,
}

impl Agent {
    fn start(socket: PathBuf) -> Self {
        let process =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { socket, process }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_kernel_layer_holds_nothing_of_the_download() {
    let folder = scratch();
    let tar = folder.path().join("rootfs.tar");
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-o", &format!("type=tar,dest={}", tar.display())]);
    build.args(["--build-arg", &syntax(), "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    run(build.arg(testdata("machine")));
    let listing = run(Command::new("tar").arg("-tf").arg(&tar));
    let grafted: Vec<_> = listing.lines().collect();
    assert!(grafted.iter().any(|name| name.starts_with("boot/vmlinuz")), "no kernel in {grafted:?}");
    let of_apt = |name: &&&str| {
        ["var/cache/apt/", "var/lib/apt/lists/", "run/vmimage"].iter().any(|folder| name.starts_with(folder))
            && !name.ends_with('/')
            && !name.ends_with("/lock")
    };
    let left: Vec<_> = grafted.iter().filter(of_apt).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_data_disk_is_made_of_any_image() {
    let folder = scratch();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY greeting /\n").unwrap();
    fs::write(folder.path().join("greeting"), "hello").unwrap();
    let disk = folder.path().join("data.raw");
    build(folder.path(), &disk, &["--profile", "data"]);
    let table = partitions(&disk);
    assert_eq!(table.len(), 1);
    let root = Mount::new(&disk, &table[0], folder.path().join("root"));
    assert_eq!(fs::read_to_string(root.0.join("greeting")).unwrap(), "hello");
}

#[test]
fn two_platforms_give_two_disks() {
    let folder = scratch();
    let engine = Engine::ContainerdStore.with(&["vmimage-test/debian:12", &frontend()]);
    let platforms = ["--platform", "linux/amd64,linux/amd64/v2", "--network", "host"];
    build_on(&engine, &testdata("machine"), &folder.path().join("m.qcow2"), &platforms);
    for name in ["m-linux-amd64.qcow2", "m-linux-amd64-v2.qcow2"] {
        super::disk::check(&folder.path().join(name));
    }
}

#[test]
fn the_kernel_step_is_exported_to_a_cache_and_imported_from_it() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let disk = folder.path().join("machine.qcow2");
    let engine = Engine::ContainerdStore.with(&["vmimage-test/debian:13", &frontend()]);
    let cache = folder.path().join("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    let from = format!("type=local,src={}", cache.display());
    let base = ["--build-arg", "BASE=vmimage-test/debian:13", "--network", "host"];
    build_on(&engine, &context, &disk, &[&base[..], &["--cache-to", &to]].concat());
    run(Command::new("docker").env("DOCKER_HOST", &engine).args(["builder", "prune", "--all", "--force"]));

    fs::write(context.join("app.txt"), format!("version {}\n", nonce())).unwrap();
    let progress = build_on(&engine, &context, &disk, &[&base[..], &["--cache-from", &from]].concat());
    assert!(cached(&progress, "[vmimage] install linux-image"), "{progress}");
    assert!(!cached(&progress, "[vmimage] assemble"), "{progress}");
}

#[test]
fn the_oldest_engine_builds_the_same_machine() {
    let folder = scratch();
    let disk = folder.path().join("machine.qcow2");
    let engine = Engine::Oldest.with(&["vmimage-test/debian:12", &frontend()]);
    build_on(&engine, &testdata("machine"), &disk, &["--network", "host"]);
    super::disk::check(&disk);
}

#[test]
fn subrequests_are_the_inner_frontends() {
    let context = testdata("features");
    let mut outline = Command::new("docker");
    outline.env("BUILDX_EXPERIMENTAL", "1").args(["buildx", "build", "--print=outline", "--target=final"]);
    outline.args(["--build-arg", &syntax()]);
    outline.arg(format!("--build-context=named={}", context.display())).arg(&context);
    assert!(run(&mut outline).contains("GREETING"));
}

#[test]
fn the_second_word_of_the_syntax_line_is_the_inner_frontend() {
    let folder = scratch();
    // A Dockerfile frontend under another name: our own image, told to do no more than that.
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("Dockerfile"), format!("FROM {}\nENV VMIMAGE_STAGE=dockerfile\n", frontend()))
        .unwrap();
    run(Command::new("docker").args(["build", "-q", "-t", "vmimage-test/inner:1"]).arg(&inner));
    let context = copy_of("machine", folder.path());
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
    let out = folder.path().join("out");
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-o"]).arg(&out).arg(&context);

    let with_syntax = |inner: &str| format!("# syntax={} {inner}\n{dockerfile}", frontend());
    fs::write(context.join("Dockerfile"), with_syntax("vmimage-test/inner:1")).unwrap();
    run(&mut build);
    super::disk::check(&out.join("disk.qcow2"));

    fs::write(context.join("Dockerfile"), with_syntax("vmimage-test/missing:1")).unwrap();
    assert!(refused(&mut build).contains("vmimage-test/missing:1"));
}
