//! The first process of a machine in namespaces of its own, where the kernel lets it be process 1: a tmpfs is its root, or its
//! initramfs before a root on a loop device, busybox is all its programs, a file its console. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

mod support;

/// Mount a root, fill it from the folder `$1/image`, and start the program `$2` in it as the kernel does. `/out` is another file
/// system in it. What the kernel tells and is told by files is that of the test, not of this machine.
const MACHINE: &str = r#"
root=$1/root
mount -t tmpfs root "$root"
cp -a "$1/image/." "$root/"
mount --bind "$1/out" "$root/out"
mount -t proc proc "$root/proc"
mount -t devtmpfs dev "$root/dev"
mount --bind "$1/cmdline" "$root/proc/cmdline"
[ ! -e "$root/proc/sys/kernel/modprobe" ] || mount --bind "$1/modprobe" "$root/proc/sys/kernel/modprobe"
mount --bind "$1/out/console" "$root/dev/console"
# The root of the mount namespace, as after an initramfs: who enters another one begins at its root.
cd "$root"
mount --move . /
exec chroot . "$2" one "two three"
"#;

/// In seconds, after which a machine has to have ended: it hangs.
const TOO_LONG: &str = "300";

/// What the kernel ends the first process with once it has asked for that (reboot(2), of a namespace): where the host
/// could not be powered off, to restart (SIGHUP), else to power off (SIGINT).
fn powered_off() -> Option<i32> {
    let tables = fs::read_dir("/sys/firmware/acpi/tables").into_iter().flatten().flatten();
    let mut tables = tables.filter_map(|table| fs::read(table.path()).ok());
    let can =
        tables.any(|table| table.windows(4).any(|name| name == b"_S5_")) || !cfg!(target_arch = "x86_64");
    Some(if can { 2 } else { 1 })
}

/// A machine that can be started.
struct Machine(TempDir);

/// What became of it.
struct Ran {
    signal: Option<i32>,
    console: String,
    /// What its programs have written.
    facts: String,
}

impl Machine {
    /// With this configuration of its image, and what its init is told.
    fn new(container: &str, told: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for folder in ["root", "out"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        for file in ["cmdline", "modprobe", "out/console"] {
            fs::write(machine.path(file), "").unwrap();
        }
        let image = machine.path("image");
        support::root(&image, "", "");
        fs::remove_file(image.join("usr/lib/vmimage/early.json")).unwrap();
        for folder in ["sys", "mnt"] {
            fs::create_dir(image.join(folder)).unwrap();
        }
        support::install(env!("CARGO_BIN_EXE_vmimage-init"), &image.join("usr/lib/vmimage/init"), &image);
        machine.write("usr/lib/vmimage/container.json", container);
        machine.write("usr/lib/vmimage/init.json", told);
        machine.write("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\n");
        machine.write("etc/group", "root:x:0:\napp:x:1001:\nmail:x:8:app\n");
        machine
    }

    /// A machine whose service is this script.
    fn script(script: &str, told: &str) -> Self {
        let machine = Self::new(r#"{"Entrypoint":["/service"]}"#, told);
        machine.program("service", script);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("image").join(name), text).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/busybox sh\ntell() {{ echo \"$*\" >>/out/facts; }}\n{script}\n"));
        fs::set_permissions(self.path("image").join(name), Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self) -> Ran {
        self.start("/usr/lib/vmimage/init")
    }

    fn start(&self, program: &str) -> Ran {
        // Users other than root write there, too.
        fs::set_permissions(self.path("out"), Permissions::from_mode(0o777)).unwrap();
        let output = Command::new("timeout")
            .args([
                TOO_LONG,
                "unshare",
                "--mount",
                "--pid",
                "--net",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
            ])
            .args(["sh", "-ec", MACHINE, "sh"])
            .args([self.0.path(), Path::new(program)])
            .output()
            .unwrap();
        let read = |name: &str| fs::read(self.path(name)).unwrap_or_default();
        let said = [read("out/console"), output.stderr].concat();
        Ran {
            signal: output.status.signal(),
            console: String::from_utf8_lossy(&said).into_owned(),
            facts: String::from_utf8_lossy(&read("out/facts")).into_owned(),
        }
    }
}

impl Ran {
    /// Powered off, after it said this.
    fn said(&self, line: &str) {
        assert!(self.console.contains(line), "{line}: {}", self.console);
        assert_eq!(self.signal, powered_off(), "{}", self.console);
    }
}

const POWEROFF: &str = r#"{"on_crash":"poweroff"}"#;

#[test]
fn a_service_has_what_it_has_in_a_container() {
    let container = r#"{"Entrypoint":["/service","a b"],"Cmd":["c"],"Env":["A='b' \"c\"$D"],"User":"app","WorkingDir":"/srv/app"}"#;
    let told = r#"{"hostname":"web","confined":true,"ulimits":{"nofile":{"soft":77,"hard":99}},"resolvers":["10.0.2.3"]}"#;
    let machine = Machine::new(container, told);
    machine.program(
        "service",
        r#"
tell "words $# $1, $2"
tell "user $(busybox id -u) $(busybox id -G), home $HOME, name $HOSTNAME $(busybox hostname)"
tell "at $PWD, $A"
tell "files $(ulimit -Sn) $(ulimit -Hn)"
tell "$(busybox grep -E 'CapBnd|CapEff' /proc/self/status | busybox tr '\t\n' '  ')"
tell "$(busybox cut -d' ' -f2 /proc/mounts | busybox grep -xE '/proc|/sys|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys/fs/cgroup' | busybox sort -u | busybox wc -l)"
tell "$(busybox grep nameserver /etc/resolv.conf) $(busybox grep web /etc/hosts | busybox tr '\t' ' ')"
tell "input $(busybox wc -c)"
echo printed >/dev/stdout
"#,
    );
    let ran = machine.run();
    ran.said("printed\nvmimage: service: is done\n");
    let expected = "\
words 2 a b, c
user 1000 1001 8, home /srv, name web web
at /srv/app, 'b' \"c\"$D
files 77 99
CapEff: 0000000000000000 CapBnd: 00000000a80425fb 
7
nameserver 10.0.2.3 127.0.1.1 web
input 0
";
    assert_eq!(ran.facts, expected, "{}", ran.console);
}

#[test]
fn root_has_dockers_capabilities_and_those_that_are_asked_for() {
    let tell = r#"tell "$(busybox sed -n 's/^CapEff:\t//p' /proc/self/status)""#;
    for (told, expected) in [
        (r#"{"confined":true}"#, "00000000a80425fb\n"),
        (r#"{"confined":true,"capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]}}"#, "0000000000001000\n"),
    ] {
        let ran = Machine::script(tell, told).run();
        ran.said("service: is done\n");
        assert_eq!(ran.facts, expected);
    }
    // As on a machine.
    let ran = Machine::script(tell, "{}").run();
    assert!(u64::from_str_radix(ran.facts.trim(), 16).unwrap() & (1 << 21) != 0, "{}", ran.facts);
}

#[test]
fn a_failure_means_what_was_asked() {
    Machine::script("exit 42", POWEROFF).run().said("service: ended with exit code 42\n");
    Machine::script("kill -9 $$", POWEROFF).run().said("service: was ended by signal 9\n");
    // Again and again, until it does not fail.
    let again = "tell again; [ $(busybox wc -l </out/facts) = 3 ] || exit 1";
    let ran = Machine::script(again, "{}").run();
    ran.said("service: is done\n");
    assert_eq!(ran.facts, "again\nagain\nagain\n");
    // Who stays is told to stop.
    let halt = "{ sleep 1; kill -TERM 1; } & exit 3";
    Machine::script(halt, r#"{"on_crash":"halt"}"#).run().said("exit code 3; the machine stays as it is\n");
}

#[test]
fn a_program_that_cannot_be_run_is_one_clear_line() {
    for (container, line) in [
        (
            r#"{"Cmd":["/nothing"]}"#,
            "service: /nothing: no such program in the image, or no such interpreter of it\n",
        ),
        (r#"{"Cmd":["/etc/passwd"]}"#, "service: /etc/passwd: cannot be run: Permission denied"),
        (r#"{"Cmd":["/service"],"User":"nobody"}"#, "service: user nobody: not in /etc/passwd\n"),
        ("{}", "service: the image names no program to run\n"),
    ] {
        Machine::new(container, POWEROFF).run().said(line);
    }
}

#[test]
fn orphans_leave_nothing_behind() {
    let ran = Machine::script(
        r#"
count=0
while [ $count -lt 2000 ]; do (: &); count=$((count + 1)); done
zombies() { busybox grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | busybox wc -l; }
while [ "$(zombies)" != 0 ]; do sleep 1; done
tell "$count and no zombie"
"#,
        POWEROFF,
    );
    let ran = ran.run();
    ran.said("service: is done\n");
    assert_eq!(ran.facts, "2000 and no zombie\n");
}

#[test]
fn a_service_is_stopped_by_its_own_signal() {
    let machine = Machine::new(r#"{"Cmd":["/service"],"StopSignal":"SIGRTMIN+3"}"#, POWEROFF);
    machine.program("service", "trap 'tell stopped; exit 7' 37\nkill -TERM 1\nwhile :; do sleep 1; done");
    let ran = machine.run();
    ran.said("service: stopping\nvmimage: service: ended with exit code 7\n");
    assert_eq!(ran.facts, "stopped\n");
}

#[test]
fn health_is_checked_while_the_service_runs() {
    let machine = Machine::new(
        r#"{"Cmd":["/service"],"User":"app","Healthcheck":{"Test":["CMD-SHELL","[ -e /out/well ]"],"Interval":50000000,"Retries":2},"Shell":["/bin/busybox","sh","-c"]}"#,
        POWEROFF,
    );
    machine.program(
        "service",
        r#"
said() {
    for try in $(busybox seq 600); do
        if busybox grep -q "service: is $1" /out/console; then tell "$1"; return; fi
        busybox sleep 0.1
    done
}
echo >/out/well
said healthy
busybox rm /out/well
said unhealthy
"#,
    );
    fs::set_permissions(machine.path("out/console"), Permissions::from_mode(0o644)).unwrap();
    let ran = machine.run();
    ran.said("service: is done\n");
    assert_eq!(ran.facts, "healthy\nunhealthy\n");
}

#[test]
fn a_drive_says_more_than_the_disk_or_nothing_is_run() {
    let machine =
        Machine::script(r#"tell "$1 $A""#, r#"{"on_crash":"poweroff","container":{"Env":["A=a"]}}"#);
    fs::write(machine.path("cmdline"), "quiet vmimage.config=/drive\n").unwrap();
    machine.write("drive", "{\"container\":{\"Cmd\":[\"b c\"]}}\n\0\0\0");
    let ran = machine.run();
    ran.said("service: is done\n");
    assert_eq!(ran.facts, "b c a\n");

    machine.write("drive", "{\"container\":{\"Cmd\":[\"d\"]}");
    let refused = machine.run();
    refused.said("vmimage: /drive: not what this machine can be told: ");
    assert_eq!(refused.facts, ran.facts, "nothing more was run");
}

/// A loop device with an ext4 whose init is a script.
struct Root {
    device: String,
}

impl Root {
    fn new(machine: &Machine, id: &str, init: &str) -> Self {
        let (folder, image) = (machine.path("tree"), machine.path("ext4"));
        support::root(&folder, "", init);
        fs::create_dir(folder.join("sys")).unwrap();
        // Without optimisation it is as large as all else.
        fs::remove_file(folder.join("usr/lib/vmimage/early")).unwrap();
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let run = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let [folder, image] = [&folder, &image].map(|path| path.to_str().unwrap());
        run("mkfs.ext4", &["-q", "-F", "-U", id, "-L", "vmimage-test", "-d", folder, image]);
        Self { device: run("losetup", &["--find", "--show", image]) }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

#[test]
fn an_initramfs_finds_the_root_and_leaves_nothing_of_itself() {
    let machine = Machine::new("{}", "{}");
    let id = "7d3f1b52-0c8e-4a6f-9b1d-5e2a4c6d8f01";
    let init = r#"#!/bin/busybox sh
echo "init $0, words $#: $2"
echo "root $(busybox awk '$2 == "/" { print $3, $4 }' /proc/mounts | busybox tail -n 1)"
echo "moved $(busybox awk '$2 ~ "^/(proc|sys|dev)$" { print $2 }' /proc/mounts | busybox sort | busybox tr '\n' ' ')"
busybox sync
"#;
    let root = Root::new(&machine, id, init);
    support::install(env!("CARGO_BIN_EXE_vmimage-init"), &machine.path("image/init"), &machine.path("image"));
    for root in
        [format!("root={}", root.device), format!("root=UUID={id}"), "root=LABEL=vmimage-test".to_owned()]
    {
        fs::write(machine.path("cmdline"), format!("quiet {root} rootflags=noatime ro\n")).unwrap();
        fs::write(machine.path("out/console"), "").unwrap();
        let console = machine.start("/init").console;
        assert!(console.contains("init /sbin/init, words 2: two three\n"), "{root}: {console}");
        assert!(console.contains("root ext4 ro,noatime"), "{root}: {console}");
        assert!(console.contains("moved /dev /proc /sys \n"), "{root}: {console}");
    }
}

#[test]
fn an_initramfs_says_why_there_is_no_root() {
    let machine = Machine::new("{}", "{}");
    support::install(env!("CARGO_BIN_EXE_vmimage-init"), &machine.path("image/init"), &machine.path("image"));
    for (words, line) in [
        ("quiet", "vmimage: the machine does not start: the command line has no root=\n"),
        (
            "root=/dev/vmimage-none rootdelay=0",
            "the machine does not start: root=/dev/vmimage-none: not there; there is ",
        ),
        (
            "root=LABEL=vmimage-none rootdelay=1",
            "the machine does not start: root=LABEL=vmimage-none: not there; there is ",
        ),
        ("root=/none.erofs", "the machine does not start: /none.erofs: No such file or directory"),
    ] {
        fs::write(machine.path("cmdline"), words).unwrap();
        fs::write(machine.path("out/console"), "").unwrap();
        let ran = machine.start("/init");
        assert!(ran.console.contains(line), "{words}: {}", ran.console);
        assert_eq!(ran.signal, None, "{words}");
    }
}
