//! The shims as docker, nerdctl and a shell meet them, in front of stand-ins for the real clients.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod protections;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const VMIMAGE: &str = env!("CARGO_BIN_EXE_vmimage");

/// A home with docker's folders of plugins, and `out` for disks.
///
/// The shim is in the user's folder, put there by `vmimage install`; what it stands in front of writes down
/// how it was started and then runs a script.
struct Lab(TempDir);

impl Lab {
    /// In front of docker's plugin.
    fn docker(script: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(lab.path("config/cli-plugins")).unwrap();
        lab.real("config/cli-plugins/docker-buildx", script);
        lab.with_disks();
        succeeds(&mut lab.vmimage("install"));
        lab
    }

    /// In front of buildctl.
    fn buildctl(script: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for folder in ["shims", "bin"] {
            fs::create_dir(lab.path(folder)).unwrap();
        }
        lab.real("bin/buildctl", script);
        lab.with_disks();
        succeeds(lab.vmimage("install --buildctl").arg(lab.path("shims")));
        lab
    }

    /// A stand-in for a real client: its words, each on a line, are added to the file `words`.
    fn real(&self, name: &str, script: &str) {
        let text = format!("#!/bin/bash\n{{ printf '%s\\n' ran \"$@\"; echo; }} >>words\n{script}\n");
        // Closed before anything runs, or the kernel would find the script busy.
        fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn with_disks(&self) {
        fs::create_dir(self.path("out")).unwrap();
        fs::create_dir(self.path("src")).unwrap();
        for format in ["qcow2", "raw", "vhdx"] {
            let mut create = Command::new("qemu-img");
            create.args(["create", "-q", "-f", format]).arg(self.path(&format!("src/disk.{format}")));
            succeeds(create.arg("64M"));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn in_lab(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.path("shims").display(), self.path("bin").display());
        command.current_dir(self.0.path()).env("DOCKER_CONFIG", self.path("config")).env("PATH", path);
        command.env("HOME", self.path("no-home"));
        command
    }

    fn vmimage(&self, words: &str) -> Command {
        let mut command = self.in_lab(Path::new(VMIMAGE));
        command.args(words.split_whitespace());
        command
    }

    /// The shim as docker starts its plugin, or as nerdctl starts buildctl.
    fn shim(&self, words: &str) -> Command {
        let plugin = self.path("config/cli-plugins/docker-buildx");
        let program = if plugin.exists() { plugin } else { self.path("shims/buildctl") };
        let mut command = self.in_lab(&program);
        command.args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.shim(words).output().unwrap()
    }

    /// The words of each run of the real client, and forget them.
    fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("words")).unwrap_or_default();
        let _ = fs::remove_file(self.path("words"));
        let runs = text.split_terminator("\n\n").map(|run| {
            let (_, words) = run.split_once('\n').unwrap_or((run, ""));
            words.replace('\n', " ")
        });
        runs.collect()
    }

    /// What is in the folder for disks.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("out")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends the disks whose formats were asked for, as the frontend would.
const SEND_DISKS: &str = "\
    formats=$(printf '%s\\n' \"$@\" | sed -n 's/.*VMIMAGE_FORMAT=//p' | tr , ' ')\n\
    for word; do if [[ $word == *type=tar,dest=- ]]; then\n\
      tar -c -C src $(printf 'disk.%s ' $formats); fi; done";

const DISK: &str = "--output type=vmdisk,dest=out/web.qcow2";

#[test]
fn a_build_with_a_disk_is_told_to_the_real_client_in_its_own_words() {
    let lab = Lab::docker(SEND_DISKS);
    let output = lab.run(&format!("buildx build -t web {DISK},size=10G --progress plain src"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        lab.runs(),
        [
            "buildx build -t web --progress plain src --build-arg VMIMAGE_TRANSPORT=sparse --build-arg VMIMAGE_HINTS=attribute --build-arg VMIMAGE_FORMAT=qcow2 --build-arg VMIMAGE_SIZE=10G \
          --build-arg BUILDKIT_SYNTAX=example/vmimage --output=type=tar,dest=-"
        ]
    );
    assert_eq!(lab.left(), ["web.qcow2"]);
    assert_eq!(fs::read(lab.path("out/web.qcow2")).unwrap(), fs::read(lab.path("src/disk.qcow2")).unwrap());
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(told.starts_with("out/web.qcow2: qcow2, 64 MiB disk in "), "{told}");
    assert!(told.ends_with("; boot it: vmimage run out/web.qcow2\n"), "{told}");
}

#[test]
fn an_image_that_holds_a_disk_is_warned_of_and_made() {
    let lab = Lab::docker("echo made");
    fs::write(lab.path("src/Dockerfile"), "# syntax=example/vmimage\nFROM scratch\n").unwrap();
    for (words, warned) in [
        ("buildx build -t web src", true),
        ("buildx build --push -t web src", true),
        ("buildx build -q -t web src", false),
        ("buildx build -o out src", false),
        ("buildx build -t web --build-arg VMIMAGE_STAGE=containerdisk src", false),
    ] {
        let output = lab.run(words);
        assert_eq!((output.status.success(), text(&output.stdout).as_str()), (true, "made\n"));
        let warning = "warning: src/Dockerfile: the Dockerfile makes a disk";
        assert_eq!(text(&output.stderr).contains(warning), warned, "{words}: {}", text(&output.stderr));
    }
}

#[test]
fn everything_else_is_the_real_clients() {
    let lab = Lab::docker("cat; echo out; echo err >&2; echo $CALLER; exit 42");
    for words in [
        "docker-cli-plugin-metadata",
        "docker-cli-plugin-hooks {}",
        "__complete buildx build --output type=vmdisk,",
        "buildx ls --format json",
        "--context other buildx --builder b build -o out src",
        "buildx",
        "",
    ] {
        let mut child = lab.shim(words);
        child.env("CALLER", "docker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let pid = child.id();
        child.stdin.take().unwrap().write_all(b"in\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(42));
        assert_eq!(
            (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
            ("in\nout\ndocker\n", "err\n")
        );
        assert_eq!(lab.runs(), [words], "{pid}");
    }
}

#[test]
fn the_real_client_takes_the_process_over() {
    let lab = Lab::docker("echo $$; exec sleep 60");
    let mut child = Killed(lab.shim("buildx build .").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.0.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line.trim(), child.0.id().to_string());
}

#[test]
fn two_formats_and_an_image_are_two_runs() {
    let lab = Lab::docker(SEND_DISKS);
    let words =
        format!("buildx build -t web --push {DISK} -o type=vmdisk,dest=out/web.vhdx --metadata-file m src");
    let output = lab.run(&words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        lab.runs(),
        [
            "buildx build -t web src --build-arg VMIMAGE_TRANSPORT=sparse --build-arg VMIMAGE_HINTS=attribute --build-arg VMIMAGE_FORMAT=qcow2,vhdx \
             --build-arg BUILDKIT_SYNTAX=example/vmimage --output=type=tar,dest=-",
            "buildx build -t web --push --metadata-file m src"
        ]
    );
    assert_eq!(lab.left(), ["web.qcow2", "web.vhdx"]);
}

#[test]
fn the_disk_gets_its_name_only_if_all_went_well() {
    let lab = Lab::docker(&format!("{SEND_DISKS}\n[[ $* == *--push* ]] && exit 7; exit 0"));
    let output = lab.run(&format!("buildx build --push {DISK} src"));
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(lab.runs().len(), 2);
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[test]
fn each_run_reads_all_of_stdin() {
    let lab = Lab::docker(&format!("cat >>stdin\n{SEND_DISKS}"));
    fs::write(lab.path("in"), "FROM debian\n").unwrap();
    let stdin = || fs::File::open(lab.path("in")).unwrap();
    let output = lab.shim(&format!("buildx build {DISK} --load -f - src")).stdin(stdin()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(lab.path("stdin")).unwrap(), "FROM debian\nFROM debian\n");
}

#[test]
fn a_disk_can_go_to_stdout() {
    let lab = Lab::docker(&format!("{SEND_DISKS}\n[[ $* == *--load* ]] && echo an image; exit 0"));
    let output = lab.run("buildx build -o type=vmdisk,dest=-,format=qcow2 --load src");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout == fs::read(lab.path("src/disk.qcow2")).unwrap());
    assert_eq!(text(&output.stderr), "an image\n");
}

#[test]
fn the_exit_code_of_a_failed_build_is_the_real_clients() {
    let lab = Lab::docker("echo failed >&2; tar -c -C src disk.qcow2 | head -c 9000; exit 17");
    fs::write(lab.path("out/web.qcow2"), "an older disk").unwrap();
    let output = lab.run(&format!("buildx build {DISK} src"));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(17), "failed\n"));
    assert_eq!(fs::read(lab.path("out/web.qcow2")).unwrap(), b"an older disk");
    assert_eq!(lab.left(), ["web.qcow2"]);

    let lab = Lab::docker("kill -KILL $$");
    assert_eq!(lab.run(&format!("buildx build {DISK} src")).status.code(), Some(128 + 9));
}

#[test]
fn a_result_that_is_no_disk_is_an_error() {
    for (script, part) in [
        ("tar -c -C src disk.raw", "\"disk.raw\" does not end in .qcow2"),
        ("true", "there is no qcow2 file in it"),
        ("cp src/disk.raw disk.qcow2; tar -c disk.qcow2", "is a raw disk, qcow2 was asked for"),
    ] {
        let lab = Lab::docker(script);
        let output = lab.run(&format!("buildx build {DISK} src"));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
        assert_eq!(lab.left(), Vec::<String>::new());
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let lab = Lab::docker("true");
    fs::create_dir(lab.path("dir")).unwrap();
    for (words, message) in [
        (
            "-o type=vmdisk,dest=out/a.qcow2,sise=1G src",
            "error: --output type=vmdisk: unknown attribute sise",
        ),
        (
            "-o type=vmdisk,dest=out/a.cab src",
            "error: --output type=vmdisk: the extension of out/a.cab tells no format",
        ),
        ("-o type=vmdisk,dest=dir,format=raw src", "error: dir: the destination is a directory\nhint: "),
        ("-o type=vmdisk,dest=no/a.raw src", "error: no/a.raw: the directory no does not exist\nhint: "),
        ("-o type=vmdisk,dest=out/a.raw --iidfile i src", "error: --iidfile: a disk has no image ID\nhint: "),
    ] {
        let output = lab.run(&format!("buildx build {words}"));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with(message), "{}", text(&output.stderr));
    }
    assert_eq!(lab.runs(), Vec::<String>::new());
}

/// Killed and waited for when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_the_real_client_and_leaves_nothing() {
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 1)] {
        let lab = Lab::docker(&format!(
            "trap 'touch ended; exit {code}' INT TERM; tar -c -C src disk.qcow2 | head -c 9000; touch started\n\
             sleep 60 >/dev/null 2>&1 & wait"
        ));
        let mut command = lab.shim(&format!("buildx build {DISK} src"));
        let child = command.process_group(0).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&lab.path("started"));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(code), ""));
        assert!(lab.path("ended").exists(), "it was told and waited for");
        assert_eq!(lab.left(), Vec::<String>::new());
    }
}

#[test]
fn a_client_whose_shim_is_killed_does_not_go_on() {
    let lab = Lab::docker("echo $$ >pid; cat /dev/zero");
    let mut child = Killed(lab.shim(&format!("buildx build {DISK} src")).spawn().unwrap());
    wait_for(&lab.path("pid"));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let pid = fs::read_to_string(lab.path("pid")).unwrap();
    let start = Instant::now();
    while Path::new("/proc").join(pid.trim()).exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "{pid} goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A bake that prints its definition and sends disks.
fn bake(definition: &str) -> String {
    format!("if [[ $* == *--print* ]]; then cat <<'JSON'\n{definition}\nJSON\nexit; fi\n{SEND_DISKS}")
}

#[test]
fn a_baked_target_becomes_a_disk() {
    let definition = r#"{ "target": { "default": { "output": ["type=vmdisk,dest=out/web.qcow2"] } } }"#;
    let lab = Lab::docker(&bake(definition));
    let output = lab.run("buildx bake -f x.hcl");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        lab.runs(),
        [
            "buildx f -f x.hcl --print",
            "buildx f -f x.hcl --set=default.args.VMIMAGE_TRANSPORT=sparse --set=default.args.VMIMAGE_HINTS=attribute --set=default.args.VMIMAGE_FORMAT=qcow2 \
             --set=default.args.BUILDKIT_SYNTAX=example/vmimage --set=default.output=type=tar,dest=- -- default"
        ]
    );
    assert_eq!(lab.left(), ["web.qcow2"]);
}

#[test]
fn a_bake_without_disks_is_passed_on_with_its_stdin() {
    let definition = r#"{ "target": { "default": { "output": ["type=local,dest=out"] } } }"#;
    let lab = Lab::docker(&format!("cat >>stdin\n{}", bake(definition)));
    fs::write(lab.path("in"), "target default {}\n").unwrap();
    let stdin = fs::File::open(lab.path("in")).unwrap();
    let output = lab.shim("buildx bake --file -").stdin(stdin).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(lab.runs(), ["buildx f --file - --print", "buildx bake --file -"]);
    assert_eq!(fs::read_to_string(lab.path("stdin")).unwrap(), "target default {}\n".repeat(2));

    let lab = Lab::docker("echo broken >&2; exit 3");
    let output = lab.run("buildx bake");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(3), "broken\n"));
    for question in ["--print", "--list targets", "--check", "--help"] {
        lab.runs();
        lab.run(&format!("buildx bake {question}"));
        assert_eq!(lab.runs(), [format!("buildx bake {question}")]);
    }
}

#[test]
fn buildctl_is_told_by_options() {
    let lab = Lab::buildctl(SEND_DISKS);
    // As nerdctl 2.3 runs it: dangling-name-prefix is its own.
    let words = "--addr=unix:///x build --progress=auto --frontend=dockerfile.v0 --local=context=src \
                 --output=type=vmdisk,dest=out/web.qcow2,dangling-name-prefix=<none> --local=dockerfile=src \
                 --opt=filename=Dockerfile";
    let output = lab.run(words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        lab.runs(),
        ["--addr=unix:///x build --progress=auto --frontend=dockerfile.v0 --local=context=src \
          --local=dockerfile=src --opt=filename=Dockerfile --opt=build-arg:VMIMAGE_TRANSPORT=sparse --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=qcow2 \
          --opt=build-arg:BUILDKIT_SYNTAX=example/vmimage --output=type=tar,dest=-"]
    );
    assert_eq!(lab.left(), ["web.qcow2"]);

    // From a shell: no path, found by PATH.
    let mut shell = lab.in_lab(Path::new("sh"));
    succeeds(shell.args(["-c", "buildctl debug workers"]));
    assert_eq!(lab.runs(), ["debug workers"]);
}

#[test]
fn without_a_real_client_there_is_one_clear_error() {
    let lab = Lab(tempfile::tempdir().unwrap());
    fs::create_dir_all(lab.path("bin")).unwrap();
    symlink(VMIMAGE, lab.path("bin/buildctl")).unwrap();
    let mut command = lab.in_lab(&lab.path("bin/buildctl"));
    let output = command.env("PATH", lab.path("bin")).arg("--version").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: buildctl: vmimage stands in front of it, but there is none behind\n\
         hint: install buildctl, or take vmimage out: vmimage install --uninstall\n"
    );
}

#[test]
fn install_and_uninstall_leave_no_trace() {
    let lab = Lab(tempfile::tempdir().unwrap());
    let plugins = lab.path("config/cli-plugins");
    fs::create_dir_all(&plugins).unwrap();
    lab.real("config/cli-plugins/docker-buildx", "echo real");
    fs::set_permissions(plugins.join("docker-buildx"), PermissionsExt::from_mode(0o711)).unwrap();
    let state = || {
        let mut list = Command::new("find");
        list.arg(&plugins).args(["-type", "f", "-printf", "%P %m %i\n"]);
        succeeds(&mut list)
    };
    let before = state();
    let told = succeeds(&mut lab.vmimage("install"));
    let plugin = plugins.join("docker-buildx");
    let kept = plugins.join(".docker-buildx.real");
    assert_eq!(told, format!("{}: stands in front of {}\n", plugin.display(), kept.display()));
    assert_eq!(succeeds(&mut lab.in_lab(&plugin)), "real\n");
    assert_eq!(succeeds(&mut lab.vmimage("install --user")), told, "twice is as good as once");
    assert_eq!(doctor(&lab), (true, format!("{}, in front of {}", plugin.display(), kept.display())));

    // An upgrade of the real one over the shim is noticed, and the new one is what is kept.
    fs::remove_file(&plugin).unwrap();
    lab.real("config/cli-plugins/docker-buildx", "echo upgraded");
    let shown = plugin.display();
    assert_eq!(doctor(&lab), (false, format!("{shown} was put over vmimage, by an upgrade perhaps")));
    succeeds(&mut lab.vmimage("install"));
    assert_eq!(succeeds(&mut lab.in_lab(&plugin)), "upgraded\n");
    succeeds(&mut lab.vmimage("install --uninstall"));
    assert_eq!(succeeds(&mut lab.in_lab(&plugin)), "upgraded\n");
    assert_eq!(state().lines().count(), before.lines().count());
    let told = succeeds(&mut lab.vmimage("install --uninstall"));
    assert_eq!(told, format!("{shown}: vmimage is not there\n"));
}

/// What doctor says of type=vmdisk.
fn doctor(lab: &Lab) -> (bool, String) {
    let output = lab.vmimage("doctor --json").output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "type=vmdisk").unwrap();
    (check["ok"].as_bool().unwrap(), check["detail"].as_str().unwrap().to_owned())
}

#[test]
fn nothing_is_installed_where_it_would_do_nothing() {
    let lab = Lab(tempfile::tempdir().unwrap());
    fs::create_dir_all(lab.path("extra")).unwrap();
    fs::create_dir_all(lab.path("config")).unwrap();
    lab.real("extra/docker-buildx", "true");
    let config = format!(r#"{{"cliPluginsExtraDirs": ["{}"]}}"#, lab.path("extra").display());
    fs::write(lab.path("config/config.json"), config).unwrap();
    let output = lab.vmimage("install").output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("/extra/docker-buildx: is found before ") && told.contains("\nhint: "), "{told}");
    assert!(!lab.path("config/cli-plugins").exists());

    fs::create_dir(lab.path("shims")).unwrap();
    let mut install = lab.vmimage("install --buildctl");
    let output = install.arg(lab.path("shims")).env("PATH", "/nonexistent").output().unwrap();
    let told = text(&output.stderr);
    assert!(told.starts_with("error: buildctl: is not installed, so there is nothing"), "{told}");
}
