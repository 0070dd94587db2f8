//! What cannot become a microVM is one clear line, and nothing is left under the asked name.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::lab::{VMIMAGE, context, refused, run, scratch};

/// The one line that says why a Dockerfile becomes no microVM.
#[track_caller]
fn message(dockerfile: &str, args: &[&str], add: impl Fn(&Path)) -> String {
    let folder = scratch();
    let context = context(folder.path(), dockerfile);
    add(&context);
    let vm = folder.path().join("vm");
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(&context).arg("-o").arg(&vm).args([
        "--profile",
        "microvm",
        "--format",
        "microvm",
    ]);
    let said = refused(command.args(["--progress", "plain"]).args(args));
    assert!(!vm.exists(), "left behind:\n{said}");
    // As the engine sums it up at the end: the time within the step, and what the step said.
    let of_step = |line: &str| {
        let (time, message) = line.split_once(" error: ")?;
        time.parse::<f64>().is_ok().then(|| message.to_owned())
    };
    let errors: Vec<_> = said.lines().filter_map(of_step).collect();
    assert_eq!(errors.len(), 1, "one line:\n{said}");
    errors[0].clone()
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
}

#[test]
fn a_program_that_cannot_run_is_named() {
    let nothing = |_: &Path| {};
    let scratch = "FROM scratch\nCOPY --chmod=644 Dockerfile /app\n";
    says(&message(&format!("{scratch}ENTRYPOINT [\"/missing\"]\n"), &[], nothing), &["/missing"]);
    says(&message(&format!("{scratch}ENTRYPOINT [\"/app\"]\n"), &[], nothing), &["/app", "execut"]);
    let user = "USER somebody\nENTRYPOINT [\"/app\"]\n";
    let executable = scratch.replace("644", "755");
    says(&message(&format!("{executable}{user}"), &[], nothing), &["somebody"]);
}

const PROGRAM: &str = "FROM scratch\nCOPY --chmod=755 app /app\nENTRYPOINT [\"/app\"]\n";
/// Of ELFs (`e_machine`).
const ARM64: u8 = 183;
const X86_64: u8 = 62;

/// An ELF, of which there is no more than the header.
fn add_program(context: &Path, machine: u8) {
    let mut program = vec![0; 64];
    program[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    program[16..20].copy_from_slice(&[2, 0, machine, 0]);
    fs::write(context.join("app"), program).unwrap();
}

#[test]
fn a_program_of_another_architecture_is_named() {
    let message = message(PROGRAM, &[], |context| add_program(context, ARM64));
    says(&message, &["/app", "aarch64"]);
}

#[test]
fn a_kernel_that_is_none_is_named() {
    let add = |context: &Path| add_program(context, X86_64);
    let message = message(PROGRAM, &["--kernel", "file:Dockerfile"], add);
    says(&message, &["Dockerfile"]);
}

/// Alpine's, whose configuration says so, without the module.
#[test]
fn a_kernel_without_a_driver_is_named_with_its_option() {
    let folder = scratch();
    let donor = "FROM vmimage-test/alpine:3.23\n\
        RUN apk add --no-cache linux-virt && \
        sed -i 's/^CONFIG_VIRTIO_BLK=.*/# CONFIG_VIRTIO_BLK is not set/' /boot/config-* && \
        find /lib/modules -name 'virtio_blk.ko*' -delete && \
        find /lib/modules -name modules.dep -exec sed -i '/virtio_blk/d' {} + && depmod -a \"$(ls /lib/modules)\"\n";
    let donor = context(folder.path(), donor);
    run(Command::new("docker").args(["build", "-q", "-t", "vmimage-test/no-virtio-blk"]).arg(&donor));
    let add = |context: &Path| add_program(context, X86_64);
    let message = message(PROGRAM, &["--kernel", "image:vmimage-test/no-virtio-blk"], add);
    says(&message, &["virtio_blk", "CONFIG_VIRTIO_BLK"]);
}
