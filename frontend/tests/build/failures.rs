//! What fails, what is said then, and what is left.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::SEND_DISK;
use crate::lab::{Lab, stderr};

#[test]
fn a_failed_build_leaves_nothing() {
    let lab = Lab::new("echo 'ERROR: no such stage' >&2; exit 3");
    let output = lab.run("src -o out/web.qcow2");
    assert_eq!(output.status.code(), Some(1));
    // The engine has said it, and nobody says it again.
    assert_eq!(stderr(&output), "ERROR: no such stage\n");
    assert_eq!(lab.left(), Vec::<String>::new());

    let killed = Lab::new("kill -9 $$");
    let output = killed.run("src -o out/web.qcow2");
    assert!(stderr(&output).starts_with("error: the build failed: "), "{}", stderr(&output));

    let cut = Lab::new("tar -c -C src disk.qcow2 | head -c 9000; exit 1");
    let output = cut.run("src -o out/web.qcow2");
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), String::new()));
    assert_eq!(cut.left(), Vec::<String>::new());
}

#[test]
fn a_result_that_is_no_disk_is_an_error_though_the_build_went_well() {
    for (build, words, part) in [
        (
            "true",
            "-o out/w.qcow2",
            "error: the build's result: is not what was asked for: there is no qcow2 file in it\nhint: ",
        ),
        ("tar -c -C src .", "-o out/w.qcow2", "\"Dockerfile\" does not end in .qcow2"),
        (SEND_DISK, "-o out/w.qcow2 -o out/w.raw", "there is no raw file in it"),
        (
            "tar -c -C src disk.qcow2 | head -c 9000",
            "-o out/w.qcow2",
            "error: the stream ended after 8.3 KiB of 192 KiB",
        ),
        (
            "cp src/disk.qcow2 disk.raw; tar -c disk.raw",
            "-o out/w.raw",
            "error: the build's result: is a qcow2 disk, raw was asked for\nhint: ",
        ),
        (
            "echo garbage >disk.qcow2; tar -c disk.qcow2",
            "-o out/w.qcow2",
            "error: the build's result: is a raw disk, qcow2 was asked for\nhint: ",
        ),
    ] {
        let lab = Lab::new(build);
        let output = lab.run(&format!("src {words}"));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert_eq!(lab.left(), Vec::<String>::new());
    }
}

#[test]
fn a_refused_result_ends_the_engine() {
    let lab =
        Lab::new("trap 'touch ended; exit 1' TERM; tar -c /etc/hostname; sleep 60 >/dev/null 2>&1 & wait");
    let start = Instant::now();
    assert!(
        stderr(&lab.run("src -o out/web.qcow2"))
            .contains("\"etc/hostname\" is not where an artifact belongs")
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(lab.path("ended").exists());
}

#[test]
fn a_signal_ends_the_engine_and_leaves_nothing() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM, rustix::process::Signal::HUP]
    {
        let lab = Lab::new(
            "trap 'touch ended; exit 1' HUP INT TERM; tar -c -C src disk.qcow2 | head -c 9000; touch started; sleep 60 >/dev/null 2>&1 & wait",
        );
        let child = lab.command("src -o out/web.qcow2").stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !lab.path("started").exists() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.status.signal()), (Some(1), None));
        assert_eq!(stderr(&output), "error: the build was interrupted\n");
        assert!(lab.path("ended").exists(), "the engine was told and waited for");
        assert_eq!(lab.left(), Vec::<String>::new());
    }
}

/// Killed and waited for when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_killed_build_leaves_is_removed_by_the_next_one() {
    // The stand-in ends by itself when its parent is gone.
    let lab = Lab::new("tar -c large.qcow2 | head -c 5M; exec tail -f /dev/null --pid=$PPID");
    fs::write(lab.path("large.qcow2"), vec![7; 8 << 20]).unwrap();
    let child = Killed(lab.command("src -o out/web.qcow2").stdout(Stdio::null()).spawn().unwrap());
    let start = Instant::now();
    let has_bytes = || {
        let mut files = fs::read_dir(lab.path("out")).unwrap().map(|entry| entry.unwrap().metadata());
        files.any(|metadata| metadata.is_ok_and(|metadata| metadata.len() > 0))
    };
    while !has_bytes() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(child);
    let left = lab.left();
    assert!(left.len() == 1 && left[0].starts_with(".web.qcow2.vmimage-"), "{left:?}");

    lab.set_build(SEND_DISK);
    assert!(lab.run("src -o out/web.qcow2").status.success());
    assert_eq!(lab.left(), ["web.qcow2"]);
}

#[test]
fn what_is_wrong_with_the_name_is_found_before_the_build() {
    let lab = Lab::new("touch ran");
    for (name, message) in [
        (
            "out --format raw",
            "error: out: the destination is a directory\nhint: name a file: out/disk.qcow2\n",
        ),
        (
            "no/web.qcow2",
            "error: no/web.qcow2: the directory no does not exist\nhint: create it first: mkdir -p no\n",
        ),
        ("out/web.cab", "error: out/web.cab: its extension tells no format\nhint: give it one of .raw, "),
        (
            "out/web.ovf",
            "error: out/web.ovf: ovf is a folder, which has no extension\nhint: name the folder: ",
        ),
        ("src/Dockerfile --format ovf", "error: src/Dockerfile: the destination is not a directory\nhint: "),
        ("/dev/null --format raw", "error: /dev/null: the destination is not a regular file\nhint: "),
        ("a.raw -o b.img", "error: format: raw is asked for twice\nhint: "),
        ("a.raw --compression zlib", "error: compression: zlib is not for raw files\nhint: "),
        ("-", "error: -o -: stdout has no extension that tells the format\nhint: pass --format\n"),
        ("- --format raw --json", "error: --json: stdout is taken by the disk\nhint: "),
        ("- --format raw --platform linux/amd64,linux/arm64", "error: -o -: stdout takes one disk, several "),
    ] {
        let output = lab.run(&format!("src -o {name}"));
        assert!(stderr(&output).starts_with(message), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(!lab.path("ran").exists());
}

#[test]
fn what_is_missing_is_named_with_the_command_that_helps() {
    let missing = Lab::new("");
    let output = missing.command("src -o out/web.qcow2").env("PATH", "/nonexistent").output().unwrap();
    let text = stderr(&output);
    assert!(
        text.starts_with(
            "error: docker: cannot be started: No such file or directory (os error 2)\nhint: install it"
        ),
        "{text}"
    );

    let no_plugin = Lab::with_docker("#!/bin/sh\nexit 1\n");
    let text = stderr(&no_plugin.run("src -o out/web.qcow2"));
    assert!(
        text.starts_with("error: docker buildx: the plugin is not installed\nhint: install it"),
        "{text}"
    );

    let no_daemon = Lab::with_docker(
        "#!/bin/sh\n[ \"$2\" = version ] && exit 0\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n",
    );
    assert_eq!(
        stderr(&no_daemon.run("src -o out/web.qcow2")),
        "Cannot connect to the Docker daemon\n\
         error: the docker daemon: does not answer: Cannot connect to the Docker daemon\n\
         hint: start it: systemctl start docker\n"
    );
}
