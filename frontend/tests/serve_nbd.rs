//! `vmimage serve nbd` as typed: what qemu-img reads is the disk that `vmimage convert` writes, from every kind of source
//! that needs no engine, and what is said of bad input.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn vmimage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(args);
    command
}

#[track_caller]
fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", said(&output));
    output
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Bytes in which no compressor finds anything.
fn noise(len: u64) -> Vec<u8> {
    let word = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ n << 7;
    (0..len.div_ceil(8)).flat_map(|n| word(n + len).to_le_bytes()).take(len as usize).collect()
}

/// A folder of files, and room for what is made of them.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bench.path("tree/srv/deep")).unwrap();
        for (name, len) in [("a", 3_000_000), ("srv/b", 70_000), ("srv/deep/c", 5), ("srv/deep/empty", 0)] {
            fs::write(bench.path("tree").join(name), noise(len)).unwrap();
        }
        let sparse = File::create(bench.path("tree/sparse")).unwrap();
        sparse.set_len(9_000_000).unwrap();
        sparse.write_all_at(b"in the middle", 5_000_000).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The disk that is written of a source.
    fn written(&self, source: &str, more: &[&str]) -> PathBuf {
        let raw = self.path("written.raw");
        let mut convert = vmimage(&["convert", "--no-install", "--profile", "data", "-q", source]);
        let output = convert.args(more).arg("-o").arg(&raw).output().unwrap();
        assert!(output.status.success(), "{source}: {}", said(&output));
        raw
    }

    fn serve(&self, source: &str, more: &[&str]) -> Serving {
        let listen = format!("unix:{}", self.text("socket"));
        Serving::start(vmimage(&["serve", "nbd", source, "--json", "--listen", &listen]).args(more))
    }
}

/// The server, and what it says.
struct Serving {
    process: Child,
    out: BufReader<ChildStdout>,
    ready: Value,
}

impl Serving {
    /// Waits until clients are let in.
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut why = String::new();
            process.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("{why}")
        });
        Self { process, out, ready }
    }

    fn uri(&self) -> &str {
        self.ready["uri"].as_str().unwrap()
    }

    fn compare(&self, raw: &Path) -> Output {
        let mut command = Command::new("qemu-img");
        command.args(["compare", "-f", "raw", "-F", "raw"]).arg(raw).arg(self.uri()).output().unwrap()
    }

    #[track_caller]
    fn serves(&self, raw: &Path) {
        let compared = self.compare(raw);
        assert!(compared.status.success(), "{}", said(&compared));
        assert_eq!(self.ready["size"], fs::metadata(raw).unwrap().len());
    }

    /// Ends it in order; what it has said on stdout, and on stderr.
    fn end(mut self, signal: Signal) -> (Vec<Value>, String) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        let (mut lines, mut complaints) = (String::new(), String::new());
        self.out.read_to_string(&mut lines).unwrap();
        self.process.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0), "{complaints}");
        (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), complaints)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_source_is_served_as_it_is_written() {
    let bench = Bench::new();
    let tree = bench.text("tree");
    run("tar", &["-C", &tree, "--sort=name", "-cf", &bench.text("tree.tar"), "."]);
    run("gzip", &["-k", &bench.text("tree.tar")]);
    run("zstd", &["-q", &bench.text("tree.tar")]);
    run("tar", &["-C", &tree, "--sparse", "-cf", &bench.text("sparse.tar"), "."]);
    let paths =
        ["tree", "tree.tar", "tree.tar.gz", "tree.tar.zst", "sparse.tar"].map(|name| bench.text(name));
    let said = [format!("dir-tree:{tree}"), format!("tar:{}", bench.text("tree.tar"))];
    for source in paths.into_iter().chain(said) {
        let raw = bench.written(&source, &[]);
        let serving = bench.serve(&source, &["--profile", "data"]);
        serving.serves(&raw);
        serving.end(Signal::TERM);
        assert!(!bench.path("socket").exists(), "{source}");
    }
}

#[test]
fn images_are_served_as_they_are_written() {
    let bench = Bench::new();
    let tree = bench.text("tree");
    run("tar", &["-C", &tree, "--sort=name", "-cf", &bench.text("layer.tar"), "."]);
    image(&bench);
    let from = format!("oci:{}", bench.text("image"));
    let to = |kind: &str, name: &str| format!("{kind}:{}", bench.text(name));
    let zstd = ["--dest-compress-format", "zstd"];
    let copies = [
        (to("oci", "zstd"), &zstd[..]),
        (to("oci-archive", "oci.tar"), &[]),
        (to("docker-archive", "docker.tar"), &[]),
    ];
    for (copy, options) in &copies {
        let to = format!("{copy}:app:v1");
        run("skopeo", &[&["copy", "-q", "--insecure-policy"][..], options, &[&from, &to]].concat());
    }
    for source in [&from, &copies[0].0, &copies[1].0, &copies[2].0] {
        let raw = bench.written(source, &[]);
        let serving = bench.serve(source, &["--profile", "data"]);
        serving.serves(&raw);
        // Anywhere, backwards: what is compressed was decoded once.
        let script = format!(
            "raw = open({:?}, 'rb').read()\nh.connect_uri({:?})\nfor at in range(len(raw) - 70000, 0, -300007):\n  \
             assert h.pread(70000, at) == raw[at:at + 70000], at\n",
            raw,
            serving.uri()
        );
        run("/usr/bin/python3", &["-m", "nbd", "-c", &script]);
        serving.end(Signal::INT);
    }
}

/// An OCI layout with the tree as its layer, packed by gzip.
fn image(bench: &Bench) {
    let (layout, layer) = (bench.path("image"), fs::read(bench.path("layer.tar")).unwrap());
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let mut packed = Vec::new();
    let packer = Command::new("gzip").arg("-nc").arg(bench.path("layer.tar")).output().unwrap();
    packed.extend(packer.stdout);
    let blob = |bytes: &[u8]| {
        use sha2::{Digest, Sha256};
        let digest = format!("{:x}", Sha256::digest(bytes));
        fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let diff_id = format!("sha256:{:x}", <sha2::Sha256 as sha2::Digest>::digest(&layer));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let (config, config_len) = blob(config.to_string().as_bytes());
    let (layer, layer_len) = blob(&packed);
    let oci = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci("manifest.v1+json"),
        "config": { "mediaType": oci("config.v1+json"), "digest": config, "size": config_len },
        "layers": [{ "mediaType": oci("layer.v1.tar+gzip"), "digest": layer, "size": layer_len }],
    });
    let (manifest, manifest_len) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": oci("manifest.v1+json"), "digest": manifest, "size": manifest_len }],
    });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_tar_on_stdin_is_served() {
    let bench = Bench::new();
    run("tar", &["-C", &bench.text("tree"), "-czf", &bench.text("tree.tar.gz"), "."]);
    let raw = bench.written(&bench.text("tree.tar.gz"), &[]);
    let listen = format!("unix:{}", bench.text("socket"));
    let mut command = vmimage(&["serve", "nbd", "-", "--profile", "data", "--json", "--listen", &listen]);
    let serving = Serving::start(command.stdin(File::open(bench.path("tree.tar.gz")).unwrap()));
    serving.serves(&raw);
}

#[test]
fn disks_of_every_format_are_served_as_they_are() {
    let bench = Bench::new();
    let raw = bench.written(&bench.text("tree"), &[]);
    for (name, flags) in [
        ("disk.qcow2", &[][..]),
        ("zlib.qcow2", &["--compression", "zlib"]),
        ("plain.qcow2", &["--compression", "none"]),
        ("disk.vmdk", &[]),
        ("disk.vdi", &[]),
        ("disk.vhd", &[]),
        ("dynamic.vhd", &["--format", "vhd-dynamic"]),
        ("disk.vhdx", &[]),
        ("disk.ova", &[]),
        ("ovf", &["--format", "ovf"]),
        ("disk.containerdisk.tar", &[]),
        ("disk.raw", &[]),
    ] {
        let (tree, disk) = (bench.text("tree"), bench.text(name));
        let mut convert = vmimage(&["convert", "--no-install", "--profile", "data", "-q", &tree]);
        assert!(convert.args(flags).args(["-o", &disk]).status().unwrap().success(), "{name}");
        let serving = bench.serve(&disk, &[]);
        serving.serves(&raw);
        let (lines, complaints) = serving.end(Signal::HUP);
        assert_eq!(complaints, "", "{name}");
        assert!(
            lines.iter().any(|line| line["request"] == "disconnect" && line["answer"] == "bye"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_disk_is_served_as_it_is_asked_for() {
    let bench = Bench::new();
    fs::write(bench.path("parted.toml"), PARTED).unwrap();
    let config = bench.text("parted.toml");
    for flags in [
        &["--table", "mbr"][..],
        &["--sector-size", "4096"],
        &["--size", "96M"],
        &["--hostname", "web", "--size", "40G"],
        &["--config", &config],
    ] {
        let tree = bench.text("tree");
        let raw = bench.written(&tree, flags);
        let serving = bench.serve(&tree, &[&["--profile", "data"], flags].concat());
        serving.serves(&raw);
        serving.end(Signal::TERM);
    }
}

const PARTED: &str = "\
profile = \"data\"

[[partitions]]
type = \"linux-generic\"
label = \"all\"
mount = \"/\"

[[partitions]]
type = \"srv\"
filesystem = \"erofs\"
compression = \"zstd\"

[[partitions]]
type = \"swap\"
size = \"32M\"
";

#[test]
fn a_machines_own_disk_lies_over_a_served_one_which_stays_as_it_is() {
    let bench = Bench::new();
    let raw = bench.written(&bench.text("tree"), &[]);
    let serving = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    let over = bench.text("over.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", serving.uri(), &over]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 2M 64k", "-c", "read -P 9 2M 64k", &over]);
    let written =
        Command::new("qemu-io").args(["-f", "raw", "-c", "write -P 9 0 4k", serving.uri()]).output().unwrap();
    assert!(said(&written).contains("Read-only") || !written.status.success(), "{}", said(&written));
    serving.serves(&raw);
}

#[test]
fn what_changes_is_an_error_with_its_reason() {
    let bench = Bench::new();
    let raw = bench.written(&bench.text("tree"), &[]);
    let serving = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    sleep(Duration::from_millis(50));
    let file = File::options().write(true).open(bench.path("tree/a")).unwrap();
    file.write_all_at(b"other bytes", 1_000_000).unwrap();
    let compared = serving.compare(&raw);
    assert!(compared.status.code() > Some(1), "{}", said(&compared));
    let (lines, complaints) = serving.end(Signal::TERM);
    assert!(complaints.contains("error: /a: the file changed while it was read"), "{complaints}");
    let failed = lines.iter().filter(|line| line["request"] == "read");
    assert!(failed.count() > 0, "{lines:?}");
}

/// A layer that is packed was not read again yet when it changes, and a tar lies as it is.
#[test]
fn layers_and_tars_that_change_are_errors_and_never_other_bytes() {
    let bench = Bench::new();
    run("tar", &["-C", &bench.text("tree"), "--sort=name", "-cf", &bench.text("layer.tar"), "."]);
    run("gzip", &["-k", &bench.text("layer.tar")]);
    image(&bench);
    let blobs = fs::read_dir(bench.path("image/blobs/sha256")).unwrap().map(|blob| blob.unwrap().path());
    let layer = blobs.max_by_key(|blob| fs::metadata(blob).unwrap().len()).unwrap();
    let oci = format!("oci:{}", bench.text("image"));
    for (source, changed) in [
        (bench.text("layer.tar"), bench.path("layer.tar")),
        (bench.text("layer.tar.gz"), bench.path("layer.tar.gz")),
        (oci, layer),
    ] {
        let raw = bench.written(&source, &[]);
        let serving = bench.serve(&source, &["--profile", "data"]);
        sleep(Duration::from_millis(50));
        let file = File::options().read(true).write(true).open(&changed).unwrap();
        let (at, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let compared = serving.compare(&raw);
        assert!(compared.status.code() > Some(1), "{source}: {}", said(&compared));
        let (_, complaints) = serving.end(Signal::TERM);
        assert!(complaints.contains("changed while it was read"), "{source}: {complaints}");
    }
}

/// Another user who gets as far as the socket.
#[test]
fn another_user_is_kept_out() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not run: nobody else can be asked to try");
    }
    let bench = Bench::new();
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let serving = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(words).output().unwrap()
    };
    assert!(as_nobody(&["test", "-S", &bench.text("socket")]).status.success(), "it has to be seen");
    let refused = as_nobody(&["nbdinfo", serving.uri()]);
    assert!(said(&refused).contains("Permission denied"), "{}", said(&refused));
    run("nbdinfo", &[serving.uri()]);
}

/// What a client got is told when it goes, and when it is cut off.
#[test]
fn what_was_read_is_told_at_the_end() {
    let bench = Bench::new();
    let serving = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    run("/usr/bin/python3", &["-m", "nbd", "-u", serving.uri(), "-c", "h.pread(70000, 0)\nh.shutdown()"]);
    let script = "h.pread(1000, (1 << 20) + 1024)\nimport time\nprint('read', flush=True)\ntime.sleep(600)";
    let mut waiting = Command::new("/usr/bin/python3");
    waiting.args(["-m", "nbd", "-u", serving.uri(), "-c", script]).stdout(Stdio::piped());
    let mut waiting = waiting.stderr(Stdio::null()).spawn().unwrap();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let (lines, _) = serving.end(Signal::TERM);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    let gone = lines.iter().filter(|line| line["request"] == "disconnect");
    let bytes: Vec<_> = gone.map(|line| line["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes.len(), 2, "{lines:?}");
    // Of what is a hole no byte is sent.
    assert!((1..=70_000).contains(&bytes[0]) && bytes[1] == 1000, "{lines:?}");
}

#[test]
fn nobody_but_its_user_connects_and_a_killed_server_is_in_nobodys_way() {
    let bench = Bench::new();
    let mut serving = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    let mode = fs::symlink_metadata(bench.path("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // In the middle of whatever a client does.
    let mut client = UnixStream::connect(bench.path("socket")).unwrap();
    client.write_all(&[0, 0]).unwrap();
    serving.process.kill().unwrap();
    serving.process.wait().unwrap();
    assert!(bench.path("socket").exists());
    let again = bench.serve(&bench.text("tree"), &["--profile", "data"]);
    let waiting = UnixStream::connect(bench.path("socket")).unwrap();
    again.end(Signal::TERM);
    assert!(!bench.path("socket").exists());
    drop(waiting);
}

#[test]
fn tcp_is_for_the_address_that_is_named() {
    let bench = Bench::new();
    let raw = bench.written(&bench.text("tree"), &[]);
    let tree = bench.text("tree");
    let words = ["serve", "nbd", &tree, "--profile", "data", "--json", "--listen", "tcp:127.0.0.1:0"];
    let serving = Serving::start(&mut vmimage(&words));
    serving.serves(&raw);
    let port: u16 = serving.uri().rsplit(':').next().unwrap().parse().unwrap();
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    serving.end(Signal::TERM);
}

#[test]
fn bad_input_is_one_line() {
    let bench = Bench::new();
    let tree = bench.text("tree");
    let raw = bench.written(&tree, &[]).to_str().unwrap().to_owned();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp:{}", taken.local_addr().unwrap());
    let [file, socket] = ["file", "socket"].map(|name| format!("unix:{}", bench.text(name)));
    fs::write(bench.path("file"), "").unwrap();
    let none = bench.text("none.tar");
    fs::create_dir(bench.path("microvm")).unwrap();
    ["vmlinuz", "vm.json"].iter().for_each(|name| fs::write(bench.path("microvm").join(name), "").unwrap());
    for (args, expected) in [
        (&[&*tree, "--profile", "data", "-l", &taken][..], "cannot be listened on: Address already in use"),
        (&[&tree, "--profile", "data", "-l", &file], "file: is there already"),
        (
            &[&tree, "--profile", "data", "-l", "unix:/nonexistent/socket"],
            "/nonexistent: cannot be looked at",
        ),
        (&[&tree, "-l", &socket], "tree: "),
        (&[&raw, "--size", "10G", "-l", &socket], "--size=10G: "),
        (&[&none, "-l", &socket], "none.tar: "),
        (&[&bench.text("microvm"), "-l", &socket], "is a microVM, and its root is no disk"),
    ] {
        let output = vmimage(&["serve", "nbd"]).args(args).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        let errors: Vec<_> = said.lines().filter(|line| !line.starts_with("hint: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{args:?}: {said}");
    }
    for listen in ["", "unix:", "tcp:localhost:1", "/run/socket", "udp:127.0.0.1:1"] {
        let output = vmimage(&["serve", "nbd", &tree, "-l", listen]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{listen}: {}", said(&output));
    }
    assert!(!bench.path("socket").exists());
}
