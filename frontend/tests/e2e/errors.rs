//! Bad input gets one clear error, and nothing is left under the asked name.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::lab::{VMIMAGE, context, refused, run, scratch, testdata};

/// The message for a Dockerfile that must not build; nothing may lie where the disk should.
#[track_caller]
fn message(dockerfile: &str, args: &[&str]) -> String {
    let folder = scratch();
    let context = context(folder.path(), dockerfile);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let message = refused(
        Command::new(VMIMAGE).arg("build").arg(&context).arg("-o").arg(out.join("disk.qcow2")).args(args),
    );
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    message
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
}

/// An image that needs another one's kernel.
const DATA: &str = "FROM scratch\nCOPY Dockerfile /\n";

#[test]
fn a_broken_dockerfile_is_shown_with_its_line() {
    says(
        &message("FROM vmimage-test/debian:12\nRUNN true\n", &[]),
        &["unknown instruction: RUNN", ">>> RUNN true"],
    );
}

#[test]
fn a_failing_run_is_shown_with_its_line_and_code() {
    let message =
        message("FROM vmimage-test/debian:12\nRUN echo to-be-seen && exit 42\n", &["--progress", "plain"]);
    says(&message, &["to-be-seen", ">>> RUN echo to-be-seen && exit 42", "exit code: 42"]);
}

#[test]
fn an_image_that_runs_nothing_is_refused_with_a_hint() {
    says(&message("FROM scratch\nCOPY Dockerfile /\n", &[]), &["/sbin/init", "ENTRYPOINT", "hint: "]);
}

#[test]
fn an_unknown_distribution_gives_no_kernel() {
    let folder = scratch();
    let context = context(folder.path(), "FROM scratch\nCOPY os-release /etc/os-release\n");
    fs::write(context.join("os-release"), "ID=plan9\nPRETTY_NAME=\"Plan 9\"\n").unwrap();
    run(Command::new("docker").args(["build", "-q", "-t", "vmimage-test/plan9"]).arg(&context));
    let message = message(DATA, &["--kernel", "image:vmimage-test/plan9"]);
    says(&message, &["image vmimage-test/plan9", "Plan 9", "ID=plan9", "hint: "]);
}

#[test]
fn a_distribution_without_its_package_manager_gives_no_kernel() {
    let folder = scratch();
    let context = context(folder.path(), "FROM scratch\nCOPY os-release /etc/os-release\n");
    fs::write(context.join("os-release"), "ID=debian\nPRETTY_NAME=\"Distroless\"\n").unwrap();
    run(Command::new("docker").args(["build", "-q", "-t", "vmimage-test/distroless"]).arg(&context));
    let message = message(DATA, &["--kernel", "image:vmimage-test/distroless"]);
    says(&message, &["Distroless", "it has no apt", "hint: "]);
}

#[test]
fn a_kernel_or_an_init_that_the_user_removed_is_missed() {
    let message = |what: &str| message(&format!("FROM vmimage-test/debian:12\nRUN rm -r {what}\n"), &[]);
    says(&message("/boot"), &["/boot", "no kernel", "hint: "]);
    says(&message("/sbin/init"), &["/sbin/init", "hint: "]);
}

#[test]
fn a_kernel_that_is_to_be_kept_has_to_be_there() {
    let dockerfile = "FROM scratch\nCOPY Dockerfile /\nENTRYPOINT [\"/Dockerfile\"]\n";
    says(&message(dockerfile, &["--kernel", "keep"]), &["/boot: holds no kernel", "hint: ", "--kernel keep"]);
}

#[test]
fn a_size_too_small_says_how_much_is_needed() {
    let message = message("FROM vmimage-test/debian:12\n", &["--size", "100M"]);
    says(&message, &["100 MiB", "needs", "hint: ask for at least --size "]);
}

#[test]
fn a_kernel_version_that_there_is_not_is_told_with_those_there_are() {
    let message = message("FROM vmimage-test/debian:12\n", &["--kernel", "5.99"]);
    says(&message, &["linux-image-cloud-amd64 has no version 5.99; there is: 6.1."]);
    assert!(!message.contains("apt-get"), "the script is repeated:\n{message}");
}

#[test]
fn a_wrong_option_is_named_with_what_is_allowed() {
    says(&message("FROM vmimage-test/debian:12\n", &["--format", "floppy"]), &["floppy", "qcow2", "raw"]);
    says(&message("FROM vmimage-test/debian:12\n", &["--size", "big"]), &["big", "10G"]);
    says(
        &message("FROM vmimage-test/debian:12\n", &["--build-arg", "VMIMAGE_SISE=1G"]),
        &["VMIMAGE_SISE", "VMIMAGE_SIZE"],
    );
}

/// A tmpfs of 20 MiB; unmounted when dropped.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn new(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=20m", "tmpfs"]).arg(&at));
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_on_the_client_is_one_clear_message() {
    let folder = scratch();
    let full = SmallDisk::new(folder.path().join("full"));
    let message = refused(
        Command::new(VMIMAGE).arg("build").arg(testdata("machine")).arg("-o").arg(full.0.join("disk.qcow2")),
    );
    says(&message, &["no space left", "are free", "hint: "]);
    assert_eq!(fs::read_dir(&full.0).unwrap().count(), 0, "something was left behind");
}
