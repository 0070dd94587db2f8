use exporter::spec::Architecture::{Aarch64, X86_64};
use exporter::spec::Init;
use exporter::spec::layout::{Encrypted, Way};
use exporter::tree::{Editor, Meta, Time};

use super::*;
use crate::ask::Folder;

fn base(files: &[(&str, &str)]) -> Probed {
    let mut tree = Tree::new(Meta::default());
    let mut editor = Editor::new(&mut tree, Time::default());
    for (path, text) in files {
        editor.write_file(path, text.as_bytes(), 0o644).unwrap();
    }
    Probed::new("example:1", tree).unwrap()
}

const DEBIAN: &[(&str, &str)] = &[
    ("/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
    ("/usr/bin/apt-get", ""),
    ("/usr/sbin/e2fsck", ""),
    ("/usr/bin/login", ""),
];
const ALPINE: &[(&str, &str)] = &[("/etc/os-release", "ID=alpine\nVERSION_ID=3.23.6\n"), ("/sbin/apk", "")];
const FEDORA: &[(&str, &str)] = &[("/etc/os-release", "ID=fedora\nVERSION_ID=43\n"), ("/usr/bin/dnf", "")];
const SUSE: &[(&str, &str)] =
    &[("/etc/os-release", "ID=opensuse-leap\nVERSION_ID=16.0\n"), ("/usr/bin/zypper", "")];
const ARCH: &[(&str, &str)] = &[("/etc/os-release", "ID=arch\n"), ("/usr/bin/pacman", "")];
const KERNEL: &[(&str, &str)] = &[("/boot/vmlinuz-virt", ""), ("/boot/initramfs-virt", "")];

fn packages(files: &[&[(&str, &str)]], architecture: Architecture, kernel: Option<&str>) -> Vec<String> {
    let kernel = kernel.map(|kernel| kernel.parse().unwrap());
    let asked = Install { kernel, ..Install::default() };
    let plan = plan(&base(&files.concat()), architecture, &asked).unwrap();
    plan.machine.map(|step| step.args).unwrap_or_default()
}

#[test]
fn only_what_is_missing_is_installed() {
    let rest = "initramfs-tools zstd systemd-sysv libpam-systemd dbus udev kmod iproute2 ?systemd-resolved \
                ?systemd-timesyncd";
    let all = packages(&[DEBIAN], X86_64, None).join(" ");
    assert_eq!(all, format!("linux-image-cloud-amd64 {rest}"));
    let booting = [
        ("/sbin/init", ""),
        ("/var/lib/dpkg/info/initramfs-tools.postinst", ""),
        ("/usr/bin/dbus-daemon", ""),
    ];
    let some = packages(&[DEBIAN, &booting, KERNEL], X86_64, None);
    let left = "zstd libpam-systemd udev kmod iproute2 ?systemd-resolved ?systemd-timesyncd";
    assert_eq!(some.join(" "), left);
    assert_eq!(packages(&[ALPINE], X86_64, None), ["linux-virt", "alpine-base", "e2fsprogs"]);
    let complete = [("/sbin/openrc", ""), ("/sbin/e2fsck", "")];
    assert!(packages(&[ALPINE, KERNEL, &complete], X86_64, None).is_empty());
}

/// `libpam-systemd` would bring systemd, and remove the init that somebody has chosen.
#[test]
fn sysvinit_stays() {
    let sysvinit = [("/sbin/init", ""), ("/usr/share/sysvinit/inittab", "")];
    let all = packages(&[DEBIAN, &sysvinit], X86_64, None).join(" ");
    assert_eq!(all, "linux-image-cloud-amd64 initramfs-tools zstd udev kmod iproute2");
}

/// Docker and buildah take an image of another architecture where they have no other of that name.
#[test]
fn an_image_of_another_architecture_is_refused() {
    let program = |machine: u8| {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(20, 0);
        head[18] = machine;
        head
    };
    for (path, machine, wanted, own) in [
        (SHELL, 62, Aarch64, Some(X86_64)),
        (SHELL, 183, X86_64, Some(Aarch64)),
        ("/sbin/init", 62, Aarch64, Some(X86_64)),
        (SHELL, 62, X86_64, None),
        (SHELL, 183, Aarch64, None),
        // A shell that is a script, or one of 32 bits, tells nothing.
        (SHELL, 3, X86_64, None),
    ] {
        for files in [DEBIAN, ALPINE, &DEBIAN[..1], KERNEL] {
            let mut base = base(files);
            let mut editor = Editor::new(&mut base.files, Time::default());
            editor.write_file(path, program(machine), 0o755).unwrap();
            let plans = [plan, plan_donor].map(|plan| plan(&base, wanted, &Install::default()));
            let Some(own) = own else {
                assert!(plans[0].is_ok(), "{path} {machine} {wanted}");
                continue;
            };
            for plan in plans {
                let error = plan.unwrap_err();
                let (own, wanted) = (own.oci_name(), wanted.oci_name());
                let part = format!("is for linux/{own}, the machine is to be for linux/{wanted}");
                assert!(error.to_string().ends_with(&part) && error.hint().is_some(), "{error}");
            }
        }
    }
}

/// An image for bootc: all that a machine needs, and its kernel beside the modules.
#[test]
fn an_image_that_boots_is_used_as_it_is() {
    let rest = dnf::MANAGER.probes().filter(|path| *path != "/usr/bin/dnf").map(|path| (path, ""));
    let kernel = [("/lib/modules/6.17.1/vmlinuz", ""), ("/lib/modules/6.17.1/initramfs.img", "")];
    let rest: Vec<_> = rest.collect();
    assert!(packages(&[FEDORA, &rest, &kernel], X86_64, None).is_empty());
    // A kernel without an initramfs is no kernel to boot.
    assert_eq!(packages(&[FEDORA, &rest, &kernel[..1]], X86_64, None), ["kernel-core"]);
}

#[test]
fn what_would_be_passed_over_is_an_error() {
    let arch = base(ARCH);
    for asked in [
        Install { mirror: Some("http://mirror.example".into()), ..Install::default() },
        Install { packages: Some(Folder::Client), ..Install::default() },
        Install { kernel: "6.1".parse().ok(), ..Install::default() },
    ] {
        assert!(plan(&base(DEBIAN), X86_64, &asked).is_ok());
        let error = plan(&arch, X86_64, &asked).unwrap_err();
        assert!(error.to_string().contains("pacman") && error.hint().is_some(), "{error}");
    }
}

/// Fedora packages apt, and Debian dnf: the distribution says which is its own.
#[test]
fn the_distributions_own_manager_installs() {
    let both = [("/usr/bin/apt-get", ""), ("/usr/bin/dnf", "")];
    for (id, kernel) in [("fedora", "kernel-core"), ("debian", "linux-image-cloud-amd64")] {
        let release = format!("ID={id}\n");
        assert_eq!(packages(&[&[("/etc/os-release", &release)], &both], X86_64, None)[0], kernel);
    }
}

#[test]
fn the_kernel_is_the_distributions_or_the_one_asked_for() {
    let ubuntu = [("/etc/os-release", "ID=ubuntu\nVERSION_ID=24.04\n"), ("/usr/bin/apt-get", "")];
    let kali = [("/etc/os-release", "ID=kali\nID_LIKE=debian\n"), ("/usr/bin/apt-get", "")];
    for (files, architecture, asked, kernel) in [
        (DEBIAN, X86_64, None, "linux-image-cloud-amd64"),
        (DEBIAN, Aarch64, None, "linux-image-cloud-arm64"),
        (DEBIAN, X86_64, Some("linux-image-rt-amd64"), "linux-image-rt-amd64"),
        (&ubuntu, X86_64, None, "linux-image-virtual"),
        (&kali, X86_64, None, "linux-image-amd64"),
        (ALPINE, X86_64, Some("linux-lts"), "linux-lts"),
        (DEBIAN, Aarch64, Some("6.1.148-1"), "linux-image-cloud-arm64@6.1.148-1"),
        (ALPINE, X86_64, Some("6.18"), "linux-virt~6.18"),
        (FEDORA, X86_64, Some("6.17"), "kernel-core@6.17"),
        (SUSE, X86_64, Some("6.12"), "kernel-default-base@6.12"),
    ] {
        assert_eq!(packages(&[files], architecture, asked)[0], kernel);
        if asked.is_some() {
            assert_eq!(packages(&[files, KERNEL], architecture, asked)[0], kernel);
        }
    }
    assert!(!packages(&[DEBIAN], X86_64, Some("keep")).join(" ").contains("linux-image"));
}

#[test]
fn a_machine_is_for_the_architecture_of_its_platform() {
    for (platform, expected) in [
        ("linux/amd64", Some(X86_64)),
        ("linux/amd64/v3", Some(X86_64)),
        ("linux/arm64/v8", Some(Aarch64)),
        ("linux/arm/v7", None),
        ("amd64", None),
        ("", None),
    ] {
        assert_eq!(architecture(platform).ok(), expected, "{platform}");
    }
}

#[test]
fn a_full_kernel_has_the_drivers_of_real_machines() {
    for (files, asked, kernel) in [
        (DEBIAN, None, "linux-image-amd64 "),
        (DEBIAN, Some("6.1"), "linux-image-amd64@6.1 "),
        (ALPINE, Some("6.18"), "linux-virt~6.18 "),
        (FEDORA, None, "kernel "),
        (SUSE, None, "kernel-default "),
        (ARCH, None, "linux "),
        (DEBIAN, Some("linux-image-rt-amd64"), "linux-image-rt-amd64 "),
    ] {
        let kernel_asked = asked.map(|kernel| kernel.parse().unwrap());
        let asked = Install { kernel: kernel_asked, full_kernel: true, ..Install::default() };
        let args = plan(&base(files), X86_64, &asked).unwrap().machine.unwrap().args.join(" ");
        assert!(args.starts_with(kernel), "{args}");
    }
}

#[test]
fn a_machine_of_metal_has_a_general_kernel_firmware_and_microcode() {
    let metal = Install { hardware: Hardware::Metal, ..Install::default() };
    let args = |base: &Probed, architecture, asked: &Install| {
        plan(base, architecture, asked).unwrap().machine.unwrap().args.join(" ") + " "
    };
    for (files, kernel, firmware, microcode) in [
        (DEBIAN, "linux-image-amd64 ", " firmware-linux ", " amd64-microcode "),
        (ALPINE, "linux-lts ", " linux-firmware ", " amd-ucode "),
        (FEDORA, "kernel kernel-modules-extra ", " linux-firmware ", " microcode_ctl "),
        (SUSE, "kernel-default ", " kernel-firmware-all ", " ucode-amd "),
        (ARCH, "linux ", " linux-firmware ", " amd-ucode "),
    ] {
        let all = args(&base(files), X86_64, &metal);
        assert!(all.starts_with(kernel) && all.contains(firmware) && all.contains(microcode), "{all}");
        let arm = args(&base(files), Aarch64, &metal);
        assert!(arm.contains(firmware) && !arm.contains(microcode), "{arm}");
        // What was asked for wins, and what the image has stays; firmware is there with either.
        for kernel in ["linux-image-rt-amd64", "keep"] {
            let asked = Install { kernel: kernel.parse().ok(), ..metal.clone() };
            let own = args(&base(files), X86_64, &asked);
            assert!(own.contains(firmware), "{own}");
            assert_eq!(own.starts_with("linux-image-rt-amd64 "), kernel != "keep", "{own}");
        }
    }
    // Of a donor comes the kernel with its initramfs, and firmware for the machine is its own.
    let of_donor = Install { donor: Some("kernel:1".into()), ..metal.clone() };
    let own = args(&base(DEBIAN), X86_64, &of_donor);
    assert!(own.contains(" firmware-linux ") && !own.contains("microcode"), "{own}");
    let amazon = [("/etc/os-release", "ID=amzn\nVERSION_ID=2023\n"), ("/usr/bin/dnf", "")];
    let refused = plan(&base(&amazon), X86_64, &metal).unwrap_err().to_string();
    assert!(refused.contains("no firmware for machines of metal"), "{refused}");
}

#[test]
fn what_opens_encrypted_partitions_is_installed_where_there_are_some() {
    let step = |files, encrypted| {
        let asked = Install { encrypted, ..Install::default() };
        plan(&base(files), X86_64, &asked).unwrap().machine.unwrap()
    };
    let root = Encrypted { root: true, root_by: Some(Way::Passphrase), ..Encrypted::default() };
    let others = Encrypted { others: true, ..Encrypted::default() };
    let tpm = Encrypted { tpm: true, ..others };
    for (files, of_root, of_others, of_tpm, script) in [
        (DEBIAN, "cryptsetup-initramfs", "cryptsetup ?systemd-cryptsetup", "tpm2-tools", ""),
        (ALPINE, "cryptsetup", "cryptsetup cryptsetup-openrc", "", "features=\"\\1 cryptsetup\""),
        (FEDORA, "cryptsetup", "cryptsetup", "tpm2-tss", ">/etc/dracut.conf.d/vmimage-crypt.conf"),
    ] {
        let args = |encrypted| format!("{} ", step(files, encrypted).args.join(" "));
        for (encrypted, packages) in [(root, of_root), (others, of_others), (tpm, of_tpm)] {
            assert!(args(encrypted).contains(packages), "{packages}: {}", args(encrypted));
        }
        assert!(!args(Encrypted::default()).contains("cryptsetup"));
        let has_script = |encrypted| step(files, encrypted).script.contains(script);
        assert!(has_script(root) && (script.is_empty() || !has_script(others)), "{script}");
    }
    let by = |way| Encrypted { root_by: Some(way), tang: way == Way::Tang, ..root };
    for (files, of_root, of_others) in [
        (DEBIAN, "clevis-initramfs", "clevis-luks clevis-systemd"),
        (FEDORA, "clevis-dracut", "clevis-luks clevis-systemd"),
    ] {
        let args = |encrypted| format!("{} ", step(files, encrypted).args.join(" "));
        assert!(args(by(Way::Tang)).contains(of_root));
        assert!(
            args(Encrypted { tang: true, ..others }).contains(of_others) && !args(others).contains("clevis")
        );
        assert!(step(files, by(Way::KeyFile)).script.contains("\nunlock=key-file\n"));
    }
}

#[test]
fn steps_are_told_where_packages_come_from() {
    let told = |install: &Install| {
        install.environment().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(told(&Install::default()), Vec::<String>::new());
    let packages = Some(Folder::Context("debs".into()));
    let install = Install { mirror: Some("http://a".into()), packages, ..Install::default() };
    assert_eq!(told(&install), ["MIRROR=http://a", "PACKAGES=/run/vmimage/packages"]);
    let install = Install { proxy: Some("http://p".into()), ..Install::default() };
    assert_eq!(told(&install), ["http_proxy=http://p", "https_proxy=http://p"]);
}

#[test]
fn who_can_have_no_kernel_gets_one_from_a_donor() {
    let wants = |kernel: &str| Install { kernel: kernel.parse().ok(), ..Install::default() };
    let package = || wants("linux");
    let image = || Install { donor: Some("kernel:1".into()), ..Install::default() };
    let distroless = [DEBIAN[0]];
    for (known, asked, expected) in [
        (None, Install::default(), Some(DEFAULT_DONOR)),
        (None, image(), Some("kernel:1")),
        (Some(base(&distroless)), Install::default(), Some(DEFAULT_DONOR)),
        (Some(base(DEBIAN)), Install::default(), None),
        (Some(base(DEBIAN)), package(), None),
        (Some(base(DEBIAN)), image(), Some("kernel:1")),
        (Some(base(KERNEL)), Install::default(), None),
        (Some(base(KERNEL)), package(), Some(DEFAULT_DONOR)),
        (None, wants("6.1"), Some(DEFAULT_DONOR)),
        (None, wants("keep"), None),
        (Some(base(&distroless)), wants("keep"), None),
    ] {
        assert_eq!(donor(known.as_ref(), &asked), expected, "{known:?}");
    }
    assert_eq!(plan(&base(KERNEL), X86_64, &Install::default()).unwrap(), Plan::default());
    let without_kernel = plan(&base(DEBIAN), X86_64, &image()).unwrap().machine.unwrap().args;
    assert_eq!(without_kernel[0], "systemd-sysv");
}

/// Where the kernel comes from elsewhere too, no package is needed at all.
#[test]
fn an_init_of_vmimages_own_needs_no_package() {
    let args = |files: &[(&str, &str)], donor: bool, further: &[&str], init: Init| {
        let donor = donor.then(|| "kernel:1".to_owned());
        let further = further.iter().map(|&name| name.to_owned()).collect();
        let plan =
            plan(&base(files), X86_64, &Install { donor, further, init, ..Install::default() }).unwrap();
        (plan.machine.map(|step| step.args.join(" ")).unwrap_or_default(), plan.boot.is_some())
    };
    let said = |packages: &str, has_boot| (packages.to_owned(), has_boot);
    assert_eq!(args(ALPINE, true, &[], Init::Vmimage), said("", false));
    assert_eq!(args(DEBIAN, true, &[], Init::Vmimage), said("", false));
    assert_eq!(args(DEBIAN, true, &["nginx"], Init::Vmimage), said("nginx", false));
    assert_eq!(args(ALPINE, false, &[], Init::Vmimage), said("linux-virt", false));
    assert_eq!(args(FEDORA, false, &[], Init::Vmimage), said("kernel-core dracut", true));
    assert_eq!(args(ALPINE, true, &[], Init::Distro), said("alpine-base e2fsprogs", false));
    assert_eq!(args(ALPINE, true, &[], Init::Auto), said("alpine-base e2fsprogs", false));
}

#[test]
fn a_donor_installs_its_kernel_and_no_more() {
    let args = |files, asked: &Install| {
        let plan = plan_donor(&base(files), X86_64, asked).unwrap();
        plan.machine.map(|step| step.args.join(" ")).unwrap_or_default()
    };
    assert_eq!(args(DEBIAN, &Install::default()), "linux-image-cloud-amd64 initramfs-tools zstd");
    let asked = Install { kernel: "linux-image-amd64".parse().ok(), ..Install::default() };
    assert_eq!(args(DEBIAN, &asked), "linux-image-amd64 initramfs-tools zstd");
    assert_eq!(args(ALPINE, &Install::default()), "linux-virt");
    assert_eq!(args(KERNEL, &Install::default()), "");
}

#[test]
fn an_image_without_a_kernel_or_a_way_to_one_gives_none() {
    for (release, part) in [
        ("ID=rocky\nID_LIKE=\"rhel fedora\"\n", "it has no dnf to install a kernel with"),
        ("ID=plan9\n", "vmimage knows no way to install a kernel on it"),
    ] {
        let without = base(&[("/etc/os-release", release)]);
        let failure = plan_donor(&without, X86_64, &Install::default()).unwrap_err();
        assert!(failure.to_string().contains(part), "{failure}");
    }
}
