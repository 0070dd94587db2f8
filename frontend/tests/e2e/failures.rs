//! What fails or is ended around a build: one message, nothing under the asked name, nothing left beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::buildah::check_nothing_is_left;
use super::errors::SmallDisk;
use super::lab::{VMIMAGE, alone_with_the_store, as_user, frontend, names_in, refused, run, scratch, text};
use super::shim::Docker;

/// A context of a data disk.
struct Context(TempDir);

impl Context {
    fn new() -> Self {
        Self::of(24 << 20)
    }

    /// With so much that its transfer takes a while.
    fn large() -> Self {
        Self::of(512 << 20)
    }

    fn of(bytes: usize) -> Self {
        let context = Self(scratch());
        fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY data /\n").unwrap();
        fs::write(context.path().join("data"), vec![7; bytes]).unwrap();
        fs::write(context.path().join(".dockerignore"), "*\n!data\n").unwrap();
        context
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where its disk goes.
    fn out(&self) -> PathBuf {
        let out = self.path().join("out");
        fs::create_dir_all(&out).unwrap();
        out
    }

    /// `vmimage build` of it into `out/disk.raw`.
    fn build(&self, engine: &str) -> Command {
        let mut command = Command::new(VMIMAGE);
        command.args(["build", "--engine", engine, "--network", "host", "--profile", "data", "-o"]);
        command.arg(self.out().join("disk.raw")).arg(self.path());
        command
    }

    /// Starts what writes that disk, and waits until some of it has come.
    fn in_mid_transfer(&self, command: &mut Command) -> Child {
        let has_bytes = || {
            fs::read_dir(self.out())
                .unwrap()
                .any(|entry| entry.unwrap().metadata().is_ok_and(|m| m.len() > 0))
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !has_bytes() {
            assert!(child.try_wait().unwrap().is_none(), "{}", text(&child.wait_with_output().unwrap()));
            assert!(start.elapsed() < Duration::from_secs(120), "nothing comes");
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }
}

/// Waits for what other processes do.
#[track_caller]
fn until(what: &str, is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// No process has this path on its command line.
fn until_no_process_has(path: &Path) {
    let path = path.to_str().unwrap();
    until("a process goes on", || !run(Command::new("ps").args(["-eo", "args"])).contains(path));
}

#[test]
fn a_client_that_is_ended_in_mid_transfer_leaves_nothing() {
    let context = Context::large();
    let child = context.in_mid_transfer(&mut context.build("docker"));
    run(Command::new("kill").arg(child.id().to_string()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).ends_with("error: the build was interrupted\n"), "{}", text(&output));
    assert_eq!(names_in(&context.out()), Vec::<String>::new());
    until_no_process_has(context.path());
}

#[test]
fn what_a_killed_client_leaves_goes_with_the_next() {
    let context = Context::large();
    let mut child = context.in_mid_transfer(&mut context.build("docker"));
    child.kill().unwrap();
    child.wait().unwrap();
    // docker's own client ends by itself: nobody reads what it sends.
    until_no_process_has(context.path());
    let left = names_in(&context.out());
    assert!(left.len() == 1 && left[0].starts_with(".disk.raw.vmimage-"), "{left:?}");
    run(&mut context.build("docker"));
    assert_eq!(names_in(&context.out()), ["disk.raw"]);
}

#[test]
fn docker_that_is_ended_or_killed_in_mid_transfer_leaves_nothing() {
    let docker = Docker::new(None);
    for signal in ["-TERM", "-KILL"] {
        let context = Context::large();
        let mut command = docker.docker("buildx build --output");
        let dest = context.out().join("disk.raw");
        command.arg(format!("type=vmdisk,profile=data,dest={}", dest.display())).arg(context.path());
        let mut child = context.in_mid_transfer(&mut command);
        run(Command::new("kill").args([signal, &child.id().to_string()]));
        assert!(!child.wait().unwrap().success());
        // The shim outlives docker for a moment: it is told by the real buildx.
        until_no_process_has(context.path());
        assert_eq!(names_in(&context.out()), Vec::<String>::new(), "{signal}");
    }
}

/// An engine of a test's own, which may be killed: as those that `.ci/setup` starts beside the default one.
struct Killable {
    folder: TempDir,
    process: Child,
}

impl Killable {
    fn start() -> Self {
        let folder = scratch();
        let at = |name: &str| folder.path().join(name);
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(format!("unix://{}", at("docker.sock").display()));
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        command.arg("--pidfile").arg(at("pid"));
        command.args(["--bridge", "vmimage0", "--iptables=false", "--ip6tables=false"]);
        let log = fs::File::create(at("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let engine = Self { process: command.spawn().unwrap(), folder };
        until("the engine does not start", || {
            let mut docker = Command::new("docker");
            docker.args(["--host", &engine.host(), "info"]).output().unwrap().status.success()
        });
        let copy = format!("docker save {} | docker --host {} load", frontend(), engine.host());
        run(Command::new("sh").args(["-c", &copy]));
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    /// The processes that belong to it.
    fn processes(&self) -> Vec<String> {
        let folder = self.folder.path().to_str().unwrap();
        let list = run(Command::new("ps").args(["-eo", "pid,args"]));
        let own = list.lines().filter(|line| line.contains(folder) && line.contains("--"));
        own.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for process in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &process]).status();
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(self.folder.path())) {
            let _ = Command::new("umount").args(["--lazy", point]).output();
        }
    }
}

#[test]
fn an_engine_that_is_killed_in_mid_build_is_one_message() {
    let mut engine = Killable::start();
    let context = Context::large();
    let child = context.in_mid_transfer(context.build("docker").env("DOCKER_HOST", engine.host()));
    engine.process.kill().unwrap();
    engine.process.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.matches("\nerror: the docker daemon: does not answer").count(), 1, "{message}");
    assert!(message.contains("\nhint: start it: "), "{message}");
    assert_eq!(names_in(&context.out()), Vec::<String>::new());
}

#[test]
fn a_destination_that_cannot_be_written_is_named_by_every_engine() {
    let _alone = alone_with_the_store();
    let context = Context::new();
    for engine in ["docker", "buildah", "podman"] {
        let mut build = Command::new(VMIMAGE);
        build
            .args(["build", "--engine", engine, "--format", "raw", "-o"])
            .arg(context.out())
            .arg(context.path());
        let message = refused(&mut build);
        assert!(message.contains(": the destination is a directory\nhint: name a file: "), "{message}");
        assert_eq!(message.lines().count(), 2, "{message}");

        let full = SmallDisk::new(context.path().join("full"));
        let mut build = Command::new(VMIMAGE);
        build.args(["build", "--engine", engine, "--network", "host", "--profile", "data", "-o"]);
        build.arg(full.0.join("disk.raw")).arg(context.path());
        let message = refused(&mut build);
        assert_eq!(message.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{message}");
        assert!(message.to_lowercase().contains("no space left") && message.contains("hint: "), "{message}");
        assert_eq!(names_in(&full.0), Vec::<String>::new());
    }
    check_nothing_is_left("no such process");
}

#[test]
fn without_permission_it_is_said_what_may_not_be_done() {
    let context = Context::new();
    let program = context.path().join("vmimage");
    fs::copy(VMIMAGE, &program).unwrap();
    // Root's own, where anybody may look.
    let closed = scratch();
    run(Command::new("chmod").arg("755").arg(closed.path()));
    let refused_by = |engine: &str, folder: &Path| {
        let mut build = as_user(context.path(), &program);
        build
            .args(["build", "--engine", engine, "--profile", "data", ".", "-o"])
            .arg(folder.join("disk.raw"));
        let message = refused(&mut build);
        assert_eq!(message.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{message}");
        assert_eq!(names_in(folder), Vec::<String>::new());
        message
    };
    for engine in ["docker", "podman", "buildah"] {
        let message = refused_by(engine, closed.path());
        let what = format!(
            "error: {}: cannot create the file: Permission denied",
            closed.path().join("disk.raw").display()
        );
        assert!(message.contains(&what), "{message}");
    }
    let message = refused_by("docker", &context.out());
    assert!(message.contains("error: the docker daemon: does not answer: "), "{message}");
    assert!(message.contains("hint: let yourself in, "), "{message}");
}

#[test]
fn a_frontend_image_that_is_missing_is_named() {
    let docker = Docker::new(None);
    let context = Context::new();
    // Nobody listens there: it is refused at once.
    let missing = "127.0.0.1:1/nothing";
    let mut build = context.build("docker");
    let message = refused(build.args(["--frontend", missing]));
    assert!(
        message.contains(&format!("\nhint: if the frontend was not found: docker pull {missing}\n")),
        "{message}"
    );

    // Through the shim it is the real client alone that says so.
    let mut build = docker.docker("buildx build --output type=vmdisk,dest=web.qcow2");
    let message = refused(build.env("VMIMAGE_FRONTEND", missing).arg(context.path()));
    assert!(message.contains(missing), "{message}");
    assert_eq!(docker.made(), Vec::<String>::new());
}
