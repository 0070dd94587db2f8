//! Distribution by firmware, as far as one can be had: the real ones, and stand-ins for those whose packages
//! no test can reach (`testdata/stand-in`). `make matrix` prints the table of docs/support.md.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use super::boot::{bare_alpine, boots_on};
use super::drivers::{check_initramfs, with_kernel};
use super::lab::{run, testdata};

const FIRMWARES: [&str; 3] = ["--bios", "--uefi", "--secure-boot"];

/// A line of the table.
struct Row {
    name: &'static str,
    init: &'static str,
    base: Base,
    /// Whether shim, GRUB and kernel of this base are signed, and tried so.
    signed: bool,
}

/// Where an image of the distribution comes from.
enum Base {
    /// One of `.ci/images`.
    Image(&'static str),
    /// Alpine's own packages in a local repository.
    BareAlpine,
    /// A release of `testdata/os-release`, its package manager, and Debian's files.
    StandIn { release: &'static str, manager: &'static str },
    /// None: only the plan is known, as its golden file.
    Untested,
    /// One that another test boots, so far.
    Tested([&'static str; 3]),
}

const fn row(name: &'static str, init: &'static str, base: Base, signed: bool) -> Row {
    Row { name, init, base, signed }
}

const fn stand_in(release: &'static str, manager: &'static str) -> Base {
    Base::StandIn { release, manager }
}

const BY_BIOS: Base = Base::Tested(["boots", "untested", "untested"]);

const ROWS: [Row; 19] = [
    row("Debian 11", "systemd", Base::Image("vmimage-test/debian:11"), true),
    row("Debian 12", "systemd", Base::Image("vmimage-test/debian:12"), true),
    // arm64.rs
    row("Debian 12, arm64", "systemd", Base::Tested(["no BIOS", "boots", "untested"]), true),
    row("Debian 13", "systemd", Base::Image("vmimage-test/debian:13"), true),
    row("Debian sid", "systemd", Base::Image("vmimage-test/debian:sid"), true),
    row("Ubuntu 20.04 to 25.10, Kali", "systemd", Base::Untested, true),
    row("Alpine 3.23", "OpenRC", Base::Image("vmimage-test/alpine:3.23"), false),
    row("Alpine 3.23, kernel and init installed", "OpenRC", Base::BareAlpine, false),
    // scratch.rs
    row("`FROM scratch`, kernel of Debian 12", "ours", Base::Tested(["boots", "boots", "untested"]), false),
    row(
        "`FROM scratch`, kernel of Alpine 3.23",
        "ours",
        Base::Tested(["boots", "untested", "not signed"]),
        false,
    ),
    // variants.rs
    row(
        "Debian 12 with NetworkManager, with ifupdown, with cloud-init, with Ignition; Debian 13 with netplan",
        "systemd",
        BY_BIOS,
        true,
    ),
    row("Debian 12 with ifupdown", "sysvinit", BY_BIOS, true),
    row(
        "an image with a kernel of its own and busybox alone",
        "busybox",
        Base::Tested(["boots", "untested", "not signed"]),
        false,
    ),
    row("openEuler 24.03", "systemd", stand_in("openeuler-24.03", "dnf"), true),
    row("Fedora 43", "systemd", stand_in("fedora-43", "dnf"), true),
    row("CentOS, RHEL, Rocky, Alma, Oracle 7 to 10; Amazon Linux 2, 2023", "systemd", Base::Untested, true),
    row("openSUSE Leap 15", "systemd", stand_in("opensuse-leap-15", "zypper"), false),
    row("openSUSE Leap 16, Tumbleweed; SLES 15, 16", "systemd", Base::Untested, true),
    row("Arch", "systemd", Base::Untested, false),
];

impl Base {
    /// The name of the image, made if it has to be.
    fn image(&self) -> Option<String> {
        match *self {
            Self::Image(name) => Some(name.to_owned()),
            Self::BareAlpine => Some(bare_alpine()),
            Self::StandIn { release, manager } => Some(make_stand_in(release, manager)),
            Self::Untested | Self::Tested(_) => None,
        }
    }
}

impl Row {
    /// The firmwares it can boot by.
    fn firmwares(&self) -> &'static [&'static str] {
        if self.signed { &FIRMWARES } else { &FIRMWARES[..2] }
    }

    fn cells(&self) -> [&'static str; 3] {
        let with = |word, unsigned| [word, word, if self.signed { word } else { unsigned }];
        match self.base {
            Base::Image(_) | Base::BareAlpine => with("boots", "not signed"),
            Base::StandIn { .. } => with("stand-in boots", "untested"),
            Base::Untested => ["untested"; 3],
            Base::Tested(cells) => cells,
        }
    }
}

/// An image of every distribution that can be had; with `MATRIX=Alpine` of those that have this in their name.
pub(crate) fn images() -> impl Iterator<Item = String> {
    let only = std::env::var("MATRIX").unwrap_or_default();
    ROWS.iter().filter(move |row| row.name.contains(&only)).filter_map(|row| row.base.image())
}

pub(crate) fn make_stand_in(release: &str, manager: &str) -> String {
    let image = format!("vmimage-test/stand-in-{release}");
    let mut build = Command::new("docker");
    build.args(["build", "-q", "-t", &image, "--build-arg", &format!("RELEASE={release}")]);
    build.args(["--build-arg", &format!("MANAGER={manager}"), "-f"]);
    run(build.arg(testdata("stand-in").join("Dockerfile")).arg(testdata("")));
    image
}

/// dnf installs kernel, initramfs and init from a repository, and shim, GRUB and kernel trust each other.
#[test]
fn a_stand_in_for_openeuler() {
    let base = make_stand_in("openeuler-24.03", "dnf");
    boots_on(&base, &["--secure-boot"]);
    check_layer(&base);
}

/// The initramfs is for machines of every maker, and no download is left in the layer.
fn check_layer(base: &str) {
    let image = with_kernel("stand-in-root", base, &[]);
    check_initramfs(&image, "lsinitrd /boot/initramfs-*.img");
    let in_image =
        |command: &str| run(Command::new("docker").args(["run", "--rm", &image, "sh", "-c", command]));
    let settings = in_image("cat /etc/dracut.conf.d/vmimage.conf");
    assert!(settings.contains("hostonly=\"no\""), "{settings}");
    let downloads = in_image(
        "find / -xdev -name '*.rpm' -not -path '/repository/*'; ls -A /run/vmimage/cache 2>/dev/null || true",
    );
    assert!(!downloads.contains("rpm") && !downloads.contains("stand-in"), "{downloads}");
}

/// The table of docs/support.md. That its cells are true is what [`matrix`] finds out.
fn table() -> String {
    let mut table =
        String::from("| distribution | init | SeaBIOS | OVMF | OVMF, Secure Boot |\n|---|---|---|---|---|\n");
    for row in &ROWS {
        table += &format!("| {} | {} | {} |\n", row.name, row.init, row.cells().join(" | "));
    }
    table
}

#[test]
fn the_support_page_has_the_table_of_the_matrix() {
    let page = std::fs::read_to_string(testdata("../docs/support.md")).unwrap();
    assert!(page.contains(&table()), "docs/support.md lacks this table:\n{}", table());
}

/// Every row that can be had, on every firmware; with `MATRIX=Alpine` those that have this in their name.
#[test]
#[ignore = "an hour: make matrix"]
fn matrix() {
    let boots = |row: &Row| {
        let Some(image) = row.base.image() else { return true };
        catch_unwind(AssertUnwindSafe(|| boots_on(&image, row.firmwares()))).is_ok()
    };
    let only = std::env::var("MATRIX").unwrap_or_default();
    let rows = ROWS.iter().filter(|row| row.name.contains(&only));
    let failed: Vec<_> = rows.filter(|row| !boots(row)).map(|row| row.name).collect();
    assert!(failed.is_empty(), "did not boot: {}", failed.join("; "));
    println!("{}", table());
}
