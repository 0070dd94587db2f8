//! `vmimage build` as a user meets it: what is printed, what is left, how it ends.
//!
//! Most tests put a `docker` of their own first in PATH, so that it can fail in every way; the last one
//! uses the real engine.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod failures;
mod lab;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, names_in, stderr, stdout};

const SEND_DISK: &str = "exec tar -c -C src disk.qcow2";

#[test]
fn a_build_ends_with_what_was_made_and_how_to_boot_it() {
    let lab = Lab::new(SEND_DISK);
    let output = lab.run("src -o out/web.qcow2");
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
    let line = stdout(&output);
    assert!(line.starts_with("out/web.qcow2: qcow2, 64 MiB disk in "), "{line}");
    assert!(line.ends_with("; boot it: vmimage run out/web.qcow2\n"), "{line}");
    assert_eq!(lab.left(), ["web.qcow2"]);
}

/// A folder, as the frontend leaves it.
const SEND_PACKAGE: &str = "exec tar -c -C src disk-ovf";

/// With a package for [`SEND_PACKAGE`].
fn lab_with_package() -> Lab {
    let lab = Lab::new(SEND_PACKAGE);
    fs::create_dir(lab.path("src/disk-ovf")).unwrap();
    lab.write("src/disk-ovf/web.ovf", "<Envelope/>");
    lab.write("src/disk-ovf/web.mf", "SHA256(web.ovf)= 0\n");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "vmdk"]).arg(lab.path("src/disk-ovf/web-disk1.vmdk")).arg("64M");
    assert!(create.status().unwrap().success());
    lab
}

#[test]
fn a_folder_appears_whole_and_is_run_as_a_disk() {
    let lab = lab_with_package();
    let output = lab.run("src -o out/web --format ovf");
    assert_eq!(stderr(&output), "");
    let line = stdout(&output);
    assert!(line.starts_with("out/web: ovf, 64 MiB disk in "), "{line}");
    assert!(line.ends_with("; boot it: vmimage run out/web\n"), "{line}");
    assert_eq!((lab.left(), names_in(&lab.path("out/web")).len()), (vec!["web".to_owned()], 3));
    // Once more, in place of the first.
    let json = lab.run("src -o out/web --format ovf --json");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["disks"][0]["file"], &json["disks"][0]["format"]), (&"out/web".into(), &"ovf".into()));
    assert_eq!(lab.left(), ["web"]);
    let archive = lab.run("src -o - --format ovf");
    assert!(archive.status.success(), "{}", stderr(&archive));
    fs::write(lab.path("out/web.tar"), archive.stdout).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(lab.path("out/web.tar")).output().unwrap();
    let mut names: Vec<_> = stdout(&listed).lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["web-disk1.vmdk", "web.mf", "web.ovf"]);

    let mut run = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    let run = run.args(["run", "--bios", "--dry-run", "out/web"]).current_dir(lab.path("")).output().unwrap();
    assert!(
        stdout(&run)
            .contains("format=vmdk,snapshot=on,file.driver=file,file.filename=out/web/web-disk1.vmdk"),
        "{run:?}"
    );
}

#[test]
fn a_folder_is_the_users_until_it_is_replaced() {
    let lab = lab_with_package();
    fs::create_dir(lab.path("out/web")).unwrap();
    lab.write("out/web/notes", "mine");
    let output = lab.run("src -o out/web --format ovf");
    let message = "error: out/web: the destination holds \"notes\", which is not of an earlier ovf\nhint: name a folder";
    assert!(stderr(&output).starts_with(message), "{}", stderr(&output));
    fs::remove_file(lab.path("out/web/notes")).unwrap();

    // Killed in the middle: nothing but what the next run removes.
    lab.set_build("tar -c -C src disk-ovf | head -c 2000; touch started; exec sleep 20");
    let mut child = lab.command("src -o out/web --format ovf").spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !(lab.path("started").exists() && lab.left().len() > 1) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((lab.left().len(), names_in(&lab.path("out/web")).len()), (2, 0));
    lab.set_build(SEND_PACKAGE);
    assert!(lab.run("src -o out/web --format ovf").status.success());
    assert_eq!((lab.left(), names_in(&lab.path("out/web")).len()), (vec!["web".to_owned()], 3));
}

#[test]
fn the_result_can_be_read_by_programs_or_not_shown() {
    let lab = Lab::new(SEND_DISK);
    let output = lab.run("src -o out/web.qcow2 --json");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let disk = &json["disks"][0];
    assert_eq!(disk["file"], "out/web.qcow2");
    assert_eq!(disk["format"], "qcow2");
    assert_eq!(disk["virtual_size"], 64 << 20);
    assert!(disk["actual_size"].as_u64().unwrap() > 0);
    assert_eq!(disk["run"], "vmimage run out/web.qcow2");
    assert_eq!(stdout(&lab.run("src -o out/web.qcow2 -q")), "");
}

/// The engine is not even started.
#[test]
fn a_dry_run_says_what_would_be_built_and_all_that_is_wrong() {
    let lab = Lab::new("touch out/built");
    lab.write("src/Dockerfile", "FROM alpine:3.23 AS app\nRUN true\nFROM debian:12\n");
    lab.write(
        "src/vmimage.toml",
        "layout = \"split-boot\"\n[[partitions]]\ntype = \"srv\"\nmin = \"1G\"\nmax = \"2G\"\n",
    );
    let output = lab.run("src -o out/web.qcow2 --target app --kernel 6.1 --install curl --dry-run");
    assert_eq!((stderr(&output), lab.left()), (String::new(), Vec::new()));
    let said = stdout(&output);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "out/web.qcow2: qcow2, as large as its content needs, not made",
        "engine docker frontend example/vmimage context src file src/Dockerfile target app base alpine:3.23",
        "kernel the distribution's usual one, 6.1 install curl",
        "part 3 boot xbootldr 512 MiB or more, ext4 on /boot",
        "part 4 srv srv 1 GiB to 2 GiB, ext4 on /srv",
        "part 5 root root-x86-64 what it needs and a share, ext4 on /, grows with the disk",
    ] {
        assert!(words.contains(part), "{part}: {said}");
    }
    let output =
        lab.run("src -o out/web.qcow2 --size 20G --platform linux/amd64,linux/arm64 --dry-run --json");
    let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let plan = &plans["plans"][1];
    assert_eq!(plan["disks"][0]["file"], "out/web-linux-arm64.qcow2");
    assert_eq!(
        (&plan["virtual_size"], &plan["build"]["base"]),
        (&(20_u64 << 30).into(), &"debian:12".into())
    );
    assert_eq!(plan["partitions"][4]["type"], "root-arm64");
    assert_eq!(plans["plans"][0]["partitions"][3]["max"], 2_u64 << 30);

    lab.write("src/vmimage.toml", "sise = \"1G\"\n[[partitions]]\ntype = \"srv\"\nmount = \"/etc\"\n");
    let output = lab.run("src -o nowhere/web.qcow2 --load --dry-run");
    assert_eq!(output.status.code(), Some(1));
    for part in ["--load: ", "unknown key sise", "nowhere does not exist"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
    assert_eq!((stdout(&output), lab.left()), (String::new(), Vec::new()));
}

#[test]
fn a_disk_that_nobody_named_lies_here() {
    for (words, names) in [
        ("src", &["disk.qcow2"][..]),
        ("src --format raw", &["disk.raw"]),
        ("src --format raw --format qcow2", &["disk.qcow2", "disk.raw"]),
    ] {
        let lab = Lab::new("truncate -s 64M src/disk.raw; exec tar -c -C src disk.qcow2 disk.raw");
        if names.len() == 1 {
            lab.set_build(&format!("truncate -s 64M src/disk.raw; exec tar -c -C src {}", names[0]));
        }
        let output = lab.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        for name in names {
            assert!(lab.path(name).exists() && stdout(&output).contains(&format!("{name}: ")), "{words}");
        }
    }
}

#[test]
fn one_build_makes_a_file_of_each_format() {
    let lab = Lab::new("truncate -s 64M src/disk.raw; exec tar -c -C src disk.qcow2 disk.raw");
    let output = lab.run("src -o out/web.raw -o out/web.qcow2 --json");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let disks = json["disks"].as_array().unwrap();
    let told: Vec<_> =
        disks.iter().map(|disk| (disk["file"].as_str().unwrap(), disk["format"].as_str().unwrap())).collect();
    assert_eq!(told, [("out/web.raw", "raw"), ("out/web.qcow2", "qcow2")]);
    assert!(disks.iter().all(|disk| disk["virtual_size"] == 64 << 20 && disk["actual_size"].is_u64()));
    assert_eq!(lab.left(), ["web.qcow2", "web.raw"]);
}

#[test]
fn stdout_gets_the_disk_and_nothing_else() {
    let lab = Lab::new(SEND_DISK);
    let output = lab.run("src -o - --format qcow2");
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
    assert!(output.stdout == fs::read(lab.path("src/disk.qcow2")).unwrap());

    let mut child =
        lab.command("src -o - --format qcow2").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("error: stdout: the disk cannot be written: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn stdout_that_is_a_terminal_is_refused() {
    let lab = Lab::new("touch ran");
    let build = format!("{} build src -o - --format raw", env!("CARGO_BIN_EXE_vmimage"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &build, "/dev/null"]).current_dir(lab.path(""));
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(
        stdout(&output).starts_with("error: -o -: stdout is a terminal\r\nhint: "),
        "{}",
        stdout(&output)
    );
    assert!(!lab.path("ran").exists());
}

#[test]
fn the_engine_is_told_what_was_typed() {
    let lab = Lab::new(&format!("printf '%s\\n' \"$@\" >argv; {SEND_DISK}"));
    assert!(lab.run("src -o out/web.qcow2 --size 4G").status.success());
    let argv = fs::read_to_string(lab.path("argv")).unwrap();
    let expected = "buildx build --build-arg BUILDKIT_SYNTAX=example/vmimage --build-arg VMIMAGE_FORMAT=qcow2 \
                    --build-arg VMIMAGE_SIZE=4G --build-arg=VMIMAGE_HINTS=flag --build-arg=VMIMAGE_TRANSPORT=sparse --provenance=false --sbom=false --output=type=tar,dest=- -- src";
    assert_eq!(argv.split_whitespace().collect::<Vec<_>>().join(" "), expected);

    lab.write("src/Dockerfile", "# syntax=docker.io/example/vmimage:1 size=1G\nFROM scratch\n");
    assert!(lab.run("src -o out/web.qcow2").status.success());
    assert!(!fs::read_to_string(lab.path("argv")).unwrap().contains("BUILDKIT_SYNTAX"));
}

#[test]
fn a_question_about_the_dockerfile_is_dockers_and_makes_no_disk() {
    for (words, argv) in [
        ("src --check", "buildx build --check -- src"),
        ("--call outline --target app src", "buildx build --target app --call outline -- src"),
        ("src --call=targets -o out/web.qcow2 -D", "buildx build --call targets --debug -- src"),
    ] {
        let lab = Lab::new("printf '%s\\n' \"$@\" >argv; echo answer; exit 3");
        let output = lab.run(words);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), "answer\n"));
        let told = fs::read_to_string(lab.path("argv")).unwrap();
        assert_eq!(told.split_whitespace().collect::<Vec<_>>().join(" "), argv);
        assert_eq!(lab.left(), [""; 0]);
    }
}

#[test]
fn flags_for_images_are_refused_or_warned_of() {
    let lab = Lab::new(&format!("printf '%s\\n' \"$@\" >argv; {SEND_DISK}"));
    let output = lab
        .run("src -o out/web.qcow2 --sbom true --attest type=provenance --annotation a=b --provenance=false");
    assert!(output.status.success());
    let warnings: Vec<_> =
        stderr(&output).lines().filter(|line| line.starts_with("warning")).map(str::to_owned).collect();
    assert_eq!(
        warnings,
        [
            "warning: --sbom: ignored: a disk carries no attestations",
            "warning: --annotation: ignored: a disk has no manifest to hold it",
            "warning: --attest: ignored: a disk carries no attestations",
        ]
    );
    let argv = fs::read_to_string(lab.path("argv")).unwrap();
    assert!(
        !argv.contains("annotation") && !argv.contains("attest") && argv.contains("--sbom=false"),
        "{argv}"
    );
    let quiet = lab.run("src -o out/web.qcow2 --sbom true --quiet");
    assert!(!stderr(&quiet).contains("warning"));

    fs::remove_file(lab.path("argv")).unwrap();
    for flag in ["-t web", "--load", "--push", "--iidfile id"] {
        let output = lab.run(&format!("src -o out/web.qcow2 {flag}"));
        let said = stderr(&output);
        assert!(
            !output.status.success() && said.contains("docker build -t NAME --load -o type=vmdisk,"),
            "{said}"
        );
        assert!(!lab.path("argv").exists(), "{flag}: docker was asked");
    }
}

#[test]
fn an_engine_that_was_not_asked_for_is_told() {
    let lab = Lab::new("tar -C src -cf - disk.qcow2");
    // A builder is docker's alone.
    let words = "src -o out/web.qcow2 --builder b";
    assert_eq!(stderr(&lab.command_on_any_engine(words).output().unwrap()), "engine: docker\n");
    assert_eq!(stderr(&lab.command_on_any_engine(&format!("{words} -q")).output().unwrap()), "");
    assert_eq!(stderr(&lab.run(words)), "");
}

/// The real engine, with its own Dockerfile frontend: only the choice of the frontend is taken out.
const REAL_DOCKER: &str = "#!/bin/bash\n\
    PATH=${PATH#*:}\n\
    arguments=()\n\
    while (($#)); do\n\
      if [[ $1 = --build-arg && $2 = BUILDKIT_SYNTAX=* ]]; then shift 2; continue; fi\n\
      arguments+=(\"$1\"); shift\n\
    done\n\
    exec docker \"${arguments[@]}\"\n";

#[test]
fn the_real_engine_sends_what_it_built() {
    let lab = Lab::with_docker(REAL_DOCKER);
    let output = lab.run("src -o out/web.qcow2 --progress plain");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("COPY disk.qcow2 /"), "its progress is shown: {}", stderr(&output));
    assert_eq!(fs::read(lab.path("out/web.qcow2")).unwrap(), fs::read(lab.path("src/disk.qcow2")).unwrap());
    assert!(lab.run("src -o out/web.qcow2 -q").status.success());

    lab.write("src/Dockerfile", "FROM scratch\nCOPY missing /\n");
    let output = lab.run("src -o out/other.qcow2");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    let last = message.lines().rfind(|line| !line.starts_with("hint: "));
    assert!(last.is_some_and(|line| line.contains("\"/missing\": not found")), "{message}");
    assert_eq!(lab.left(), ["web.qcow2"]);
}
