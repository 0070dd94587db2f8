//! A kernel of the image's own, and the settings of its boot menu: `docs/kernels.md`.

use std::path::Path;

use super::lab::{Report, boot, build, nonce, scratch, testdata};

fn kernel_of(report: &Report) -> (&str, Vec<&str>) {
    // GRUB says by which name it has found the kernel: the link or the file.
    let words = report.get("cmdline").split(' ').filter(|word| !word.starts_with("BOOT_IMAGE="));
    (report.get("kernel"), words.filter(|word| !word.is_empty()).collect())
}

/// What the second menu says, `update-grub` inside the machine has written.
#[test]
#[ignore = "long: make matrix"]
fn the_users_kernel_boots_and_update_grub_changes_nothing() {
    let folder = scratch();
    let disk = folder.path().join("machine.qcow2");
    let file = testdata("kernels").join("Dockerfile");
    let word = format!("vmimage.test={}", nonce());
    let asked = ["--file", file.to_str().unwrap(), "--hostname", "web", "--cmdline", &word];
    let progress = build(&testdata("machine"), &disk, &asked);
    assert!(
        progress.contains("-cloud-amd64: in the menu, and not the one that boots by itself"),
        "{progress}"
    );

    let first = boot(&disk, "--bios", &[]);
    let (kernel, words) = kernel_of(&first);
    assert!(kernel.ends_with("-amd64") && !kernel.contains("cloud"), "{kernel}");
    assert_eq!(first.get("link"), format!("boot/vmlinuz-{kernel}"));
    assert_eq!((first.get("kernels"), first.get("menu"), first.get("update-grub")), ("2", "2", "done"));
    assert!(
        words.contains(&"audit=0") && words.contains(&"quiet") && words.last() == Some(&&*word),
        "{words:?}"
    );
    assert!(
        first.get("root-options").split(',').any(|option| option == "noatime"),
        "{}",
        first.get("root-options")
    );

    let second = boot(&disk, "--bios", &[]);
    assert_eq!(kernel_of(&second), (kernel, words));
}

/// `--kernel` decides otherwise, and the distribution's links follow it.
#[test]
#[ignore = "long: make matrix"]
fn a_kernel_that_is_asked_for_boots_beside_the_users() {
    let folder = scratch();
    let disk = folder.path().join("machine.qcow2");
    let file = testdata("kernels").join("Dockerfile");
    let asked = ["--file", file.to_str().unwrap(), "--hostname", "web", "--kernel", "distro"];
    build(&testdata("machine"), Path::new(&disk), &asked);
    let report = boot(&disk, "--bios", &[]);
    assert!(report.get("kernel").ends_with("-cloud-amd64"), "{}", report.get("kernel"));
    assert_eq!(report.get("link"), format!("boot/vmlinuz-{}", report.get("kernel")));
}
