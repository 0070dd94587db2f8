//! What every test here stands on: building a disk, booting it, taking it apart with foreign tools.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};

/// The `vmimage` under test.
pub(crate) const VMIMAGE: &str = env!("CARGO_BIN_EXE_vmimage");

/// The frontend image under test, as `make frontend` has called it.
pub(crate) fn frontend() -> String {
    std::env::var("VMIMAGE_FRONTEND").unwrap_or_else(|_| "example/vmimage".to_owned())
}

/// The build argument by which a stock client uses it.
pub(crate) fn syntax() -> String {
    format!("BUILDKIT_SYNTAX={}", frontend())
}

/// The engines that `.ci/setup` starts beside the default one.
#[derive(Clone, Copy)]
pub(crate) enum Engine {
    /// With the containerd image store.
    ContainerdStore,
    /// 20.10 of Debian 12: BuildKit 0.8.
    Oldest,
}

impl Engine {
    /// The value of `DOCKER_HOST` for it, once images of the default engine are there too.
    pub(crate) fn with(self, images: &[&str]) -> String {
        let name = match self {
            Self::ContainerdStore => "store",
            Self::Oldest => "bookworm",
        };
        let host = format!("unix:///run/vmimage-{name}/docker.sock");
        let copy = format!("docker save {} | docker --host {host} load", images.join(" "));
        run(Command::new("sh").args(["-c", &copy]));
        host
    }
}

/// A folder of `testdata/`.
pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// A scratch folder of its own for each test.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A word no build and no boot before has seen, always of the same length: a cached step may have seen another.
pub(crate) fn nonce() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("{now:016x}x{:08x}", std::process::id())
}

/// A context of one Dockerfile, in `folder`.
pub(crate) fn context(folder: &Path, dockerfile: &str) -> PathBuf {
    let context = folder.join("context");
    std::fs::create_dir_all(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    context
}

/// Run a command to its end, with its output in the panic if it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?} failed ({}):\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Run a command that must fail; what it printed.
pub(crate) fn refused(command: &mut Command) -> String {
    let output = output(command);
    assert!(!output.status.success(), "{command:?} should have failed:\n{}", text(&output));
    text(&output)
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (see .ci/setup)"))
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `vmimage build CONTEXT -o DISK` with plain progress.
pub(crate) fn build(context: &Path, disk: &Path, args: &[&str]) -> String {
    build_with(Command::new(VMIMAGE), context, disk, args)
}

/// The same on another engine.
pub(crate) fn build_on(engine: &str, context: &Path, disk: &Path, args: &[&str]) -> String {
    let mut command = Command::new(VMIMAGE);
    command.env("DOCKER_HOST", engine);
    build_with(command, context, disk, args)
}

fn build_with(mut command: Command, context: &Path, disk: &Path, args: &[&str]) -> String {
    command.arg("build").arg(context).arg("-o").arg(disk).args(["--progress", "plain"]).args(args);
    let output = output(&mut command);
    assert!(output.status.success(), "{command:?} failed ({}):\n{}", output.status, text(&output));
    text(&output)
}

/// What a machine of `testdata/machine` said about itself, and all that was on its console.
pub(crate) struct Report {
    facts: BTreeMap<String, String>,
    console: String,
}

impl Report {
    /// What a console has of it, to its end and with the token of this boot.
    #[track_caller]
    pub(crate) fn read(console: String, token: &str) -> Self {
        let facts =
            console.lines().filter_map(|line| line.trim_end().split_once("report:")?.1.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let report = Self { facts, console };
        let console = report.console();
        assert!(report.facts.contains_key("end"), "the machine did not report to the end:\n{console}");
        assert_eq!(report.get("token"), token, "a report, but not from this boot:\n{console}");
        report
    }

    #[track_caller]
    pub(crate) fn get(&self, fact: &str) -> &str {
        self.facts.get(fact).unwrap_or_else(|| panic!("the machine reported no {fact}: {:?}", self.facts))
    }

    pub(crate) fn console(&self) -> &str {
        &self.console
    }
}

/// Boot a disk with the given firmware flag until the machine has reported and powered itself off.
///
/// The token the machine must print reaches it through the firmware's tables only. It has one processor: with
/// two, an emulated machine on a busy host now and then waits for ever for a timer of the second.
pub(crate) fn boot(disk: &Path, firmware: &str, args: &[&str]) -> Report {
    boot_by(Command::new(VMIMAGE), disk, firmware, args)
}

/// How guests run, decided once for all tests: by KVM, watched, or where that is of no use by emulation.
pub(crate) fn accel() -> &'static str {
    static ACCEL: LazyLock<String> = LazyLock::new(|| {
        std::env::var("VMIMAGE_ACCEL").unwrap_or_else(|_| {
            let disk = tempfile::NamedTempFile::new().unwrap();
            disk.as_file().set_len(1 << 20).unwrap();
            let shown = run(Command::new(VMIMAGE).arg("run").arg(disk.path()).args(["--bios", "--dry-run"]));
            if shown.contains("-accel kvm") { "auto" } else { "tcg" }.to_owned()
        })
    });
    &ACCEL
}

/// For a boot; one in which a kernel is installed takes minutes in emulation.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);
/// x86-64-v2, which the distributions here ask for: of all that can be emulated, a kernel would use what is slow.
const EMULATED_CPU: &str = "qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2";

/// The same by a `vmimage` in another environment.
pub(crate) fn boot_by(command: Command, disk: &Path, firmware: &str, args: &[&str]) -> Report {
    report_of(command, disk, [firmware, ""], args, LIMIT)
}

/// The same of a machine that is told more than a token, and restarts by itself as often as it wants to.
pub(crate) fn boot_told(disk: &Path, firmware: &str, told: &str, args: &[&str], limit: Duration) -> Report {
    report_of(Command::new(VMIMAGE), disk, [firmware, &format!("{told}:")], args, limit)
}

fn report_of(
    mut command: Command,
    disk: &Path,
    [firmware, told]: [&str; 2],
    args: &[&str],
    limit: Duration,
) -> Report {
    let token = nonce();
    machine(&mut command, disk, firmware, &format!("{told}{token}")).args(args);
    Report::read(run_for(&mut command, limit), &token)
}

/// Boot a disk, tell the machine what it is to do, and pull the plug so long after it has printed a word.
pub(crate) fn boot_and_kill(disk: &Path, firmware: &str, told: &str, word: &str, after: Duration) {
    let mut command = Command::new(VMIMAGE);
    machine(&mut command, disk, firmware, &format!("{told}:{}", nonce()));
    // It is QEMU, or takes QEMU with it.
    let (mut qemu, mut console) = Console::start(&mut command);
    let is_there = console.has(word, Instant::now() + LIMIT);
    std::thread::sleep(after);
    let _ = qemu.kill();
    qemu.wait().unwrap();
    assert!(is_there, "the machine has not printed {word}:\n{}", console.text);
}

/// How long it takes from one word to another in the same boot, which then ends.
pub(crate) fn boot_between(disk: &Path, firmware: &str, told: &str, words: [&str; 2]) -> Duration {
    let mut command = Command::new(VMIMAGE);
    machine(&mut command, disk, firmware, &format!("{told}:{}", nonce()));
    let (mut qemu, mut console) = Console::start(&mut command);
    let end = Instant::now() + LIMIT;
    let times = words.map(|word| console.has(word, end).then(Instant::now));
    let _ = qemu.kill();
    qemu.wait().unwrap();
    let [Some(first), Some(second)] = times else {
        panic!("the machine has not printed {words:?}:\n{}", console.text)
    };
    second - first
}

/// A machine whose serial number is what it is told.
pub(crate) fn machine<'a>(
    command: &'a mut Command,
    disk: &Path,
    firmware: &str,
    told: &str,
) -> &'a mut Command {
    command.env("VMIMAGE_ACCEL", accel());
    command.arg("run").arg(disk).args([firmware, "--memory", "1G", "--cpus", "1", "--qemu-arg=-smbios"]);
    command.arg(format!("--qemu-arg=type=1,serial={told}"));
    with_processor(command)
}

/// QEMU's arguments for the same, where it is started without `vmimage run`.
pub(crate) fn accel_arguments() -> [&'static str; 4] {
    match accel() {
        "tcg" => ["-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU],
        _ => ["-accel", "kvm", "-cpu", "host"],
    }
}

/// Of all that can be emulated, what is fast.
pub(crate) fn with_processor(command: &mut Command) -> &mut Command {
    if accel() == "tcg" {
        command.args(["--qemu-arg=-cpu", &format!("--qemu-arg={EMULATED_CPU}")]);
    }
    command
}

/// Run a command for at most `limit`; what it printed. The machine must end by itself.
fn run_for(command: &mut Command, limit: Duration) -> String {
    let (status, console) = run_to_end(command, limit);
    assert!(status.success(), "{command:?}: {status}:\n{console}");
    console
}

/// The same, however it ends; how it did.
pub(crate) fn run_to_end(command: &mut Command, limit: Duration) -> (ExitStatus, String) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let start = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > limit {
            run(Command::new("kill").arg(child.id().to_string()));
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let console = reader.join().unwrap();
    let Some(status) = ended else { panic!("{command:?}: has not ended after {limit:?}:\n{console}") };
    (status, console)
}

/// Run a command until it has printed `word`, then end it; at most for `limit`. What it printed.
pub(crate) fn run_until(command: &mut Command, word: &str, limit: Duration) -> String {
    let (mut child, mut console) = Console::start(command);
    let is_there = console.has(word, Instant::now() + limit);
    run(Command::new("kill").arg(child.id().to_string()));
    child.wait().unwrap();
    assert!(is_there, "{command:?} has not printed {word}:\n{}", console.text);
    console.text
}

/// What a command prints, as it comes.
pub(crate) struct Console {
    chunks: Receiver<Vec<u8>>,
    pub(crate) text: String,
    /// Bytes of it in which everything was found that was waited for.
    read: usize,
}

impl Console {
    fn start(command: &mut Command) -> (Child, Self) {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let console = Self::of(&mut child);
        (child, console)
    }

    /// Of a command whose output is a pipe. Who asks waits for no end of a line, so a prompt is seen, too.
    pub(crate) fn of(child: &mut Child) -> Self {
        let mut stdout = child.stdout.take().unwrap();
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut chunk) {
                if sender.send(chunk[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { chunks, text: String::new(), read: 0 }
    }

    /// Whether it has printed `word` before `end`, after all that was asked for before.
    pub(crate) fn has(&mut self, word: &str, end: Instant) -> bool {
        loop {
            if let Some(at) = self.text[self.read..].find(word) {
                self.read += at + word.len();
                return true;
            }
            if self.receive(end).is_err() {
                return false;
            }
        }
    }

    /// Whether it has printed all that it prints before `end`.
    pub(crate) fn has_ended(&mut self, end: Instant) -> bool {
        loop {
            match self.receive(end) {
                Ok(()) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }

    fn receive(&mut self, end: Instant) -> Result<(), RecvTimeoutError> {
        let chunk = self.chunks.recv_timeout(end.saturating_duration_since(Instant::now()))?;
        self.text.push_str(&String::from_utf8_lossy(&chunk));
        Ok(())
    }
}

/// A partition as sfdisk sees it: start and size in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) kind: String,
}

/// The disk's bytes as a sparse raw file in `folder`, by qemu-img.
pub(crate) fn raw(disk: &Path, folder: &Path) -> PathBuf {
    let raw = folder.join("disk.raw");
    run(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw));
    raw
}

/// The partition table of a raw disk, by sfdisk.
pub(crate) fn partitions(raw: &Path) -> Vec<Partition> {
    let json = run(Command::new("sfdisk").arg("-J").arg(raw));
    let table: serde_json::Value = serde_json::from_str(&json).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap().clone();
    let bytes = |value: &serde_json::Value| value.as_u64().unwrap() * 512;
    partitions
        .iter()
        .map(|part| Partition {
            start: bytes(&part["start"]),
            size: bytes(&part["size"]),
            kind: part["type"].as_str().unwrap().to_lowercase(),
        })
        .collect()
}

/// A partition's bytes as a file of their own.
pub(crate) fn extract(raw: &Path, partition: &Partition, to: &Path) {
    run(Command::new("dd")
        .args(["bs=1M", "conv=sparse", "iflag=skip_bytes,count_bytes", "status=none"])
        .arg(format!("if={}", raw.display()))
        .arg(format!("of={}", to.display()))
        .arg(format!("skip={}", partition.start))
        .arg(format!("count={}", partition.size)));
}

/// A file system mounted read-only through the kernel; unmounted when dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn new(raw: &Path, partition: &Partition, at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("loop,ro,offset={},sizelimit={}", partition.start, partition.size);
        run(Command::new("mount").args(["-t", "ext4", "-o", &options]).arg(raw).arg(&at));
        Self(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The names in a folder, hidden ones too.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Tests that use the store of podman and buildah take turns: some ask it what is left.
pub(crate) fn alone_with_the_store() -> std::fs::File {
    lock_the_store(FlockOperation::LockExclusive)
}

/// Those with a store of their own leave nothing in that one, and yet what the others look for while they run.
pub(crate) fn beside_the_store() -> std::fs::File {
    lock_the_store(FlockOperation::LockShared)
}

fn lock_the_store(how: FlockOperation) -> std::fs::File {
    let lock = std::fs::File::create(std::env::temp_dir().join("vmimage-test-store.lock")).unwrap();
    flock(&lock, how).unwrap();
    lock
}

/// The user without root that `.ci/setup` makes.
const USER: &str = "vmimage-test";

/// A program as that user, in a folder that is given to them.
pub(crate) fn as_user(folder: &Path, program: &Path) -> Command {
    run(Command::new("chown").arg("-R").arg(format!("{USER}:")).arg(folder));
    let mut command = Command::new("runuser");
    command.args(["-u", USER, "--", "env", "-C"]).arg(folder);
    command.args(["-u", "XDG_RUNTIME_DIR", &format!("HOME=/home/{USER}")]).arg(program);
    command
}

/// The program of the frontend image, in `folder`: boot loader files and the growth program are in it.
pub(crate) fn static_binary(folder: &Path) -> PathBuf {
    binary_of(&frontend(), folder)
}

/// The program of an image that was built by Dockerfile.frontend, in `folder`.
pub(crate) fn binary_of(image: &str, folder: &Path) -> PathBuf {
    let container = run(Command::new("docker").args(["create", image]));
    let binary = folder.join("vmimage");
    run(Command::new("docker").args(["cp", "-q", &format!("{}:/vmimage", container.trim())]).arg(&binary));
    run(Command::new("docker").args(["rm", container.trim()]));
    binary
}

/// Copy a folder of `testdata/` to change it.
pub(crate) fn copy_of(name: &str, folder: &Path) -> PathBuf {
    let copy = folder.join(name);
    run(Command::new("cp").arg("-r").arg(testdata(name)).arg(&copy));
    copy
}

/// What makes of a context of systemd's a machine that reports about itself.
const REPORT: &str = "\
COPY --chmod=755 report.sh /usr/local/bin/report
COPY report.service /etc/systemd/system/report.service
RUN systemctl enable report.service
";

/// A copy of a sample of `testdata/` that reports about itself, with more in its configuration.
pub(crate) fn reporting(name: &str, config: &str, folder: &Path) -> PathBuf {
    let context = copy_of(name, folder);
    for (name, text) in [("Dockerfile", REPORT), ("vmimage.toml", config)] {
        let path = context.join(name);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + text).unwrap();
    }
    for name in ["report.sh", "report.service"] {
        std::fs::copy(testdata("machine").join(name), context.join(name)).unwrap();
    }
    context
}

/// A drive that is a FAT with this label and these files, in `folder` under its label's name.
pub(crate) fn fat(folder: &Path, label: &str, files: &[(&str, &str)]) -> PathBuf {
    let drive = folder.join(label.to_lowercase()).with_extension("img");
    let _ = std::fs::remove_file(&drive);
    run(Command::new("mkfs.fat").args(["-C", "-n", label]).arg(&drive).arg("1024"));
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        run(Command::new("mcopy").arg("-i").arg(&drive).arg(&file).arg(format!("::{name}")));
    }
    drive
}
