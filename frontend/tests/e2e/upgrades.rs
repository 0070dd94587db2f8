//! Another kernel, installed inside the machine by its package manager, boots from a `/boot` of its own.

use std::process::Command;

use super::distributions::make_stand_in;
use super::lab::{boot, build, copy_of, run, scratch, testdata};

/// What the machine does at its first boot, if there is a package of another kernel.
const CONFIG: &str = r#"
hostname = "web"
layout = "LAYOUT"
size = "5G"
[[partitions]]
type = "xbootldr"
size = "640M"
[[files]]
path = "/etc/report.d/upgrade"
content = '''
if [ -e /kernel ]; then
	INSTALL && rm -r /kernel
	fact upgrade "$?"
fi
fact boot "$(awk '$2 == "/boot" { print $3 }' /proc/mounts)"
fact boot-link "$(readlink /boot/vmlinuz)"
'''
"#;

/// The image of a Dockerfile of `testdata/upgrade`.
fn image(name: &str, base: &str) -> String {
    let image = format!("vmimage-test/upgrade-{name}");
    let folder = testdata("upgrade");
    let mut build = Command::new("docker");
    build.args(["build", "-q", "-t", &image, "--build-arg", &format!("BASE={base}"), "-f"]);
    run(build.arg(folder.join(format!("{name}.Dockerfile"))).arg(&folder));
    image
}

/// Each starts with one kernel, installs another, and has that after a reboot.
fn another_kernel_boots(image: &str, install: &str, layout: &str, is_new: impl Fn(&str) -> bool) {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let config = CONFIG.replace("LAYOUT", layout).replace("INSTALL", install);
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let disk = folder.path().join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={image}")]);
    let first = boot(&disk, "--bios", &[]);
    assert_eq!(first.get("upgrade"), "0");
    assert!(!is_new(first.get("kernel")), "{}", first.get("kernel"));
    let file_system = if layout.ends_with("vfat") { "vfat" } else { "ext4" };
    assert_eq!(first.get("boot"), file_system);
    let second = boot(&disk, "--bios", &[]);
    assert!(is_new(second.get("kernel")), "{layout}: {}", second.get("kernel"));
    assert_eq!((second.get("failed"), second.get("boot")), ("", file_system));
    assert!(second.get("cmdline").contains("BOOT_IMAGE=/vmlinuz"), "{}", second.get("cmdline"));
    if image.ends_with("debian") && file_system == "ext4" {
        assert_eq!(second.get("boot-link"), format!("vmlinuz-{}", second.get("kernel")));
    }
}

const LAYOUTS: [&str; 2] = ["split-boot", "split-boot-vfat"];

#[test]
#[ignore = "long: make matrix"]
fn a_kernel_that_apt_installs_in_the_machine_boots() {
    let image = image("debian", "");
    for layout in LAYOUTS {
        // Most of the time an emulated processor would pack an initramfs for every machine there is.
        let install = "printf 'MODULES=dep\\nCOMPRESSLEVEL=1\\n' >/etc/initramfs-tools/conf.d/quick; apt-get install -y /kernel/*.deb";
        another_kernel_boots(&image, install, layout, |kernel| kernel.contains("cloud"));
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_kernel_that_apk_installs_in_the_machine_boots() {
    let image = image("alpine", "");
    for layout in LAYOUTS {
        let install = "apk add --no-network --allow-untrusted /kernel/*.apk";
        another_kernel_boots(&image, install, layout, |kernel| kernel.contains("cloud"));
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_kernel_that_rpm_installs_in_the_machine_boots() {
    let image = image("rpm", &make_stand_in("openeuler-24.03", "dnf"));
    for layout in LAYOUTS {
        another_kernel_boots(&image, "rpm -i /kernel/*.rpm", layout, |kernel| !kernel.contains("cloud"));
    }
}
