//! Machines that stay: many of one base, killed in every way, and one that is used as a container would be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{
    LIMIT, VMIMAGE, accel, build, context, nonce, refused, run, scratch, testdata, with_processor,
};
use super::microvm::microvm;

/// A folder for machines, which end with it.
struct Machines {
    state: PathBuf,
}

impl Machines {
    fn in_folder(folder: &Path) -> Self {
        Self { state: folder.join("state") }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(VMIMAGE);
        command.env("XDG_STATE_HOME", &self.state).env("VMIMAGE_ACCEL", accel()).args(words);
        command
    }

    #[track_caller]
    fn done(&self, words: &[&str]) -> String {
        run(&mut self.command(words))
    }

    /// `vmimage run` of what is at a path.
    fn run(&self, what: &Path, words: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        command.arg(what).args(words);
        with_processor(&mut command);
        command
    }

    #[track_caller]
    fn start(&self, what: &Path, name: &str) {
        run(&mut self.run(what, &["-d", "--name", name, "-m", "128M", "-c", "1"]));
    }

    /// The exit status of a program in a machine, and what it printed.
    fn exec(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(&["exec"]).args(words).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn running(&self) -> BTreeSet<String> {
        self.done(&["ps", "-q"]).lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn row(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.done(&["ps", "-a", "--json"])).unwrap();
        all.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    }

    /// Processes that run in a machine's folder, or are there for one: the QEMUs, and the keepers.
    fn processes(&self) -> Vec<(u32, String)> {
        let pids = fs::read_dir("/proc").unwrap().map(Result::unwrap);
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = pids.filter_map(|pid: u32| {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            cwd.starts_with(&self.state).then_some((pid, words))
        });
        found.collect()
    }

    #[track_caller]
    fn keeper(&self, name: &str) -> u32 {
        let word = format!("keep-machine {} ", self.folder(name).display());
        self.processes().into_iter().find(|(_, words)| words.contains(&word)).unwrap().0
    }

    #[track_caller]
    fn qemu(&self, name: &str) -> u32 {
        let folder = self.folder(name);
        let is_there = |pid: u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        let is_it = |(pid, words): &(u32, String)| words.contains("qemu-system") && is_there(*pid);
        self.processes().into_iter().find(is_it).unwrap().0
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.state.join("vmimage/machines").join(name)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        // After a test that has failed, too.
        for (pid, _) in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} does not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn kill(pid: u32) {
    run(Command::new("kill").args(["-KILL", &pid.to_string()]));
}

/// An Alpine whose worker ends with 7 when it is stopped.
fn worker(folder: &Path) -> PathBuf {
    let file = testdata("microvm/worker.Dockerfile");
    microvm(&testdata("microvm"), folder, &["--file", file.to_str().unwrap()]).1
}

/// The digest of all that a machine is made of.
fn digest(vm: &Path) -> String {
    run(Command::new("sh").args(["-c", "sha256sum * | sha256sum"]).current_dir(vm))
}

/// One boot, and one more after its end.
#[test]
fn a_machine_that_stays_is_used_as_a_container_is() {
    let folder = scratch();
    let vm = worker(folder.path());
    let before = digest(&vm);
    let machines = Machines::in_folder(folder.path());
    machines.start(&vm, "web");
    assert_eq!(machines.running(), BTreeSet::from(["web".to_owned()]));
    let token = nonce();
    assert_eq!(
        machines.exec(&["web", "sh", "-c", "echo $0; exit 42", &token]),
        (Some(42), format!("{token}\n"))
    );
    assert_eq!(machines.exec(&["web", "/missing"]).0, Some(127));
    assert_eq!(machines.exec(&["web", "/home"]).0, Some(126));
    assert_eq!(
        machines
            .exec(&["-u", "root", "-w", "/tmp", "-e", "A=b", "web", "sh", "-c", "id -un; pwd; echo $A"])
            .1,
        "root\n/tmp\nb\n"
    );
    assert_eq!(machines.exec(&["-t", "web", "stty", "size"]).1, "24 80\r\n");
    copies_both_ways(&machines, folder.path(), &token);
    // A service of a distribution may need a moment to its first word.
    until("the worker's words", || machines.done(&["logs", "web"]).contains("report:working=1"));
    machines.done(&["stop", "-t", "120", "web"]);
    let row = machines.row("web");
    assert_eq!(
        (&row["state"], &row["status"]),
        (&"exited".into(), &7.into()),
        "{row}\n{}",
        machines.done(&["logs", "web"])
    );
    until("the end of its processes", || machines.processes().is_empty());
    let back = folder.path().join("stopped");
    machines.done(&["cp", "web:/home/app/tree", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(back.join("token")).unwrap(), token);
    machines.done(&["start", "web"]);
    assert_eq!(machines.exec(&["web", "cat", "/home/app/tree/token"]), (Some(0), token));
    machines.done(&["rm", "-f", "web"]);
    until("the end of its processes", || machines.processes().is_empty());
    assert!(!machines.state.join("vmimage/machines/web").exists());
    assert_eq!(digest(&vm), before);
}

fn copies_both_ways(machines: &Machines, folder: &Path, token: &str) {
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("a b")).unwrap();
    fs::write(tree.join("token"), token).unwrap();
    fs::write(tree.join("a b/large"), vec![7; 20_000_000]).unwrap();
    machines.done(&["cp", tree.to_str().unwrap(), "web:/home/app"]);
    assert_eq!(machines.exec(&["web", "cat", "/home/app/tree/token"]), (Some(0), token.to_owned()));
    let back = folder.join("back");
    machines.done(&["cp", "web:/home/app/tree", back.to_str().unwrap()]);
    assert!(fs::read(back.join("a b/large")).unwrap() == vec![7; 20_000_000]);
    // Of what is written, and read from the disk of the stopped machine later.
    assert_eq!(machines.exec(&["-u", "root", "web", "sync"]).0, Some(0));
    let missing = refused(&mut machines.command(&["cp", "web:/missing", back.to_str().unwrap()]));
    assert!(missing.contains("web: /missing: "), "{missing}");
}

/// Its root is written once; the image need not be there any more when it starts again.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_of_an_image_is_used_as_a_container_is() {
    const IMAGE: &str = "vmimage-test/alpine:3.23";
    let folder = scratch();
    let machines = Machines::in_folder(folder.path());
    let saved = folder.path().join("alpine.tar");
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&saved));
    let kernel = format!("image:{IMAGE}");
    let mut command = machines.command(&["run", "-d", "--name", "web", "-m", "256M", "-c", "1"]);
    with_processor(&mut command).args(["--kernel", &kernel, "-e", "WORDS=report:working"]);
    let script = "trap 'exit 7' TERM; mkdir -p /home/app; echo $WORDS; while :; do sleep 1; done";
    command.arg(format!("docker-archive:{}", saved.display())).args(["sh", "-c", script]);
    assert_eq!(run(&mut command), "web\n");
    fs::remove_file(&saved).unwrap();
    let token = nonce();
    until("the program's words", || machines.done(&["logs", "web"]).contains("report:working"));
    assert_eq!(
        machines.exec(&["web", "sh", "-c", "echo $0; exit 42", &token]),
        (Some(42), format!("{token}\n"))
    );
    copies_both_ways(&machines, folder.path(), &token);
    machines.done(&["stop", "-t", "120", "web"]);
    let row = machines.row("web");
    assert_eq!(
        (&row["state"], &row["status"]),
        (&"exited".into(), &7.into()),
        "{row}\n{}",
        machines.done(&["logs", "web"])
    );
    let back = folder.path().join("stopped");
    machines.done(&["cp", "web:/home/app/tree", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(back.join("token")).unwrap(), token);
    machines.done(&["start", "web"]);
    assert_eq!(machines.exec(&["web", "cat", "/home/app/tree/token"]), (Some(0), token));
    machines.done(&["rm", "-f", "web"]);
    until("the end of its processes", || machines.processes().is_empty());
    assert_eq!(fs::read_dir(machines.state.join("vmimage/machines")).unwrap().count(), 0);
}

/// Five of them are killed, three by the end of their keepers, and one with the command that it runs in: no other is touched,
/// nothing is left of them but their folders, and they start again.
#[test]
#[ignore = "long: make matrix"]
fn ten_machines_of_one_base_live_and_five_are_killed() {
    let folder = scratch();
    let vm = worker(folder.path());
    let before = digest(&vm);
    let machines = Machines::in_folder(folder.path());
    let names: Vec<_> = (0..10).map(|number| format!("w{number}")).collect();
    names.iter().for_each(|name| machines.start(&vm, name));
    let own = machines
        .run(&vm, &["--name", "front", "-m", "128M", "-c", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut front = own.unwrap();
    let boots: BTreeSet<_> = names.iter().map(|name| answers(&machines, name)).collect();
    assert_eq!(boots.len(), 10, "each is a machine of its own: {boots:?}");
    answers(&machines, "front");
    for name in &names {
        let line = format!("echo {name} >/home/app/mine; sync");
        assert_eq!(machines.exec(&[name, "sh", "-c", &line]).0, Some(0));
    }
    let (killed, left) = names.split_at(5);
    let (with_keeper, alone) = killed.split_at(3);
    with_keeper.iter().for_each(|name| kill(machines.keeper(name)));
    alone.iter().for_each(|name| kill(machines.qemu(name)));
    kill_child(&mut front);
    until("the end of the killed, and of nobody else", || {
        machines.running().iter().eq(left) && machines.processes().len() == 2 * left.len()
    });
    for name in with_keeper.iter().chain([&"front".to_owned()]) {
        assert_eq!(machines.row(name)["state"], "dead");
    }
    for row in alone.iter().map(|name| machines.row(name)) {
        assert!(row["state"] == "exited" && row["status"] != 0, "{row}");
    }
    for name in left {
        assert_eq!(machines.exec(&[name, "cat", "/home/app/mine"]), (Some(0), format!("{name}\n")));
    }
    // As after a power cut: its journal is replayed.
    for name in [&with_keeper[0], &alone[0]] {
        machines.done(&["start", name]);
        assert_eq!(machines.exec(&[name, "cat", "/home/app/mine"]), (Some(0), format!("{name}\n")));
    }
    let words: Vec<_> = ["stop", "-t", "300"].into_iter().chain(left.iter().map(String::as_str)).collect();
    machines.done(&words);
    for name in left {
        assert_eq!(machines.row(name)["status"], 7, "{}", machines.done(&["logs", name]));
    }
    let all: Vec<_> = ["rm", "-f", "front"].into_iter().chain(names.iter().map(String::as_str)).collect();
    machines.done(&all);
    until("the end of all processes", || machines.processes().is_empty());
    assert_eq!(fs::read_dir(machines.state.join("vmimage/machines")).unwrap().count(), 0);
    assert_eq!(digest(&vm), before, "the base was written to");
}

/// What only this boot of a machine can say.
#[track_caller]
fn answers(machines: &Machines, name: &str) -> String {
    let (status, boot) = machines.exec(&[name, "cat", "/proc/sys/kernel/random/boot_id"]);
    assert_eq!(status, Some(0), "{name}: {boot}\n{}", machines.done(&["logs", name]));
    boot
}

fn kill_child(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Without an agent its power button stops it; what it has become can be saved, and be read without it.
#[test]
#[ignore = "long: make matrix"]
fn a_disk_of_a_distribution_stays_and_stops_by_its_power_button() {
    let folder = scratch();
    let context = context(
        folder.path(),
        "FROM vmimage-test/debian:12\nCMD [\"sh\", \"-c\", \"date >>/srv/starts; sync; echo report:started >/dev/console; sleep infinity\"]\n",
    );
    let disk = folder.path().join("disk.qcow2");
    build(&context, &disk, &["--cmdline", "console=ttyS0"]);
    let before = fs::read(&disk).unwrap();
    let machines = Machines::in_folder(folder.path());
    for start in 1..=2 {
        match start {
            1 => drop(run(&mut machines.run(&disk, &["-d", "--name", "web", "-m", "1G", "-c", "1"]))),
            _ => drop(machines.done(&["start", "web"])),
        }
        until("the service", || machines.done(&["logs", "web"]).matches("report:started").count() == start);
        machines.done(&["stop", "-t", "300", "web"]);
        assert_eq!(machines.row("web")["status"], 0, "{}", machines.done(&["logs", "web"]));
    }
    let back = folder.path().join("starts");
    machines.done(&["cp", "web:/srv/starts", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&back).unwrap().lines().count(), 2);
    assert!(fs::read(&disk).unwrap() == before, "the disk was written to");
    machines.done(&["rm", "web"]);
}
