//! Bases that were made for containers: what keeps an initramfs from being made is undone, files of the image's own in
//! the places of configuration files stay, and what would not boot is no disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::drivers::with_kernel;
use super::lab::{VMIMAGE, boot, build, refused, run, scratch, testdata};

/// What scripts that make Debians for containers do to them.
const DIVERTS: &str = "\
FROM vmimage-test/debian:12
RUN for path in /usr/sbin/update-initramfs /sbin/initctl /usr/bin/ischroot; do \\
      dpkg-divert --local --rename --add $path && ln -sf /bin/true $path; done \\
 && printf '#!/bin/sh\\nexit 0\\n' >/usr/sbin/invoke-rc.d \\
 && echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/docker-apt-speedup
";

/// An image with a file of its own, the package's with one more line, for every configuration file of the packages that
/// the first one has more than its base.
const CONFIGURED: &str = "\
FROM vmimage-test/installed AS installed
RUN dpkg-query -W -f '${Conffiles}\\n' | sed -n 's#^ \\(/[^ ]*\\) [0-9a-f]*$#\\1#p' >/conffiles
FROM vmimage-test/debian:12
RUN --mount=from=installed,target=/installed while read -r path; do \\
      [ ! -e $path ] && [ -e /installed$path ] || continue; \\
      mkdir -p ${path%/*} && cp -p /installed$path $path && printf '\\n# of the image\\n' >>$path; \\
      echo $path >>/own; \\
    done </installed/conffiles
";

fn base(name: &str, dockerfile: &str) -> String {
    let folder = scratch();
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let image = format!("vmimage-test/{name}");
    run(Command::new("docker").args(["buildx", "build", "-q", "--load", "-t", &image]).arg(folder.path()));
    image
}

fn in_image(image: &str, script: &str) -> String {
    run(Command::new("docker").args(["run", "--rm", image, "sh", "-c", script]))
}

#[test]
#[ignore = "minutes: make matrix"]
fn a_base_that_diverts_its_initramfs_boots() {
    let folder = scratch();
    let disk = folder.path().join("disk.qcow2");
    let base = format!("BASE={}", base("diverts", DIVERTS));
    let said = build(&testdata("machine"), &disk, &["--build-arg", &base]);
    assert!(said.contains("/usr/sbin/update-initramfs is diverted to make a container, undone"), "{said}");
    assert!(said.contains("docker-apt-speedup: force-unsafe-io removed"), "{said}");
    boot(&disk, "--uefi", &[]);
}

#[test]
#[ignore = "minutes: make matrix"]
fn every_configuration_file_of_the_image_stays() {
    let installed = with_kernel("installed", "vmimage-test/debian:12", &[]);
    assert_eq!(installed, "vmimage-test/installed");
    let own = with_kernel("own", &base("configured", CONFIGURED), &[]);
    let files = in_image(&own, "cat /own");
    assert!(files.lines().count() > 20, "{files}");
    let last = in_image(&own, "while read -r path; do tail -n 1 $path; done </own");
    assert_eq!(last, "# of the image\n".repeat(files.lines().count()), "{files}");
    assert!(in_image(&own, "ls /boot").contains("initrd.img-"));
}

/// The image of `testdata/field`, which has to be refused for this.
fn is_refused(name: &str, reason: &str) {
    let folder = scratch();
    let dockerfile = testdata("field").join(format!("{name}.Dockerfile"));
    fs::copy(dockerfile, folder.path().join("Dockerfile")).unwrap();
    let disk = folder.path().join("disk.qcow2");
    let message = refused(Command::new(VMIMAGE).arg("build").arg(folder.path()).arg("-o").arg(&disk));
    assert!(message.contains(reason) && message.contains("hint: "), "{message}");
    assert!(!Path::new(&disk).exists());
}

#[test]
fn no_disk_is_made_that_does_not_reach_its_init() {
    is_refused("no-initramfs", "/usr/sbin/update-initramfs is a link to /bin/true, so none was made");
    is_refused("no-modules", "needs it");
    is_refused("init-is-true", "/sbin/init: is a link to /bin/true");
}
