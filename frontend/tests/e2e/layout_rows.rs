//! Layouts by distribution and firmware: the second table of docs/support.md, which `make matrix` boots.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::boot::check_report;
use super::lab::{boot, build, copy_of, scratch, testdata};

/// A line of the table for each of the bases.
struct Row {
    name: &'static str,
    config: &'static str,
    /// What the machine says of itself.
    facts: &'static [(&'static str, &'static str)],
}

/// A distribution, and whether its boot loader is signed.
const BASES: [(&str, &str, bool); 2] =
    [("Debian 12", "vmimage-test/debian:12", true), ("Alpine 3.23", "vmimage-test/alpine:3.23", false)];
pub(crate) const FIRMWARES: [&str; 3] = ["--bios", "--uefi", "--secure-boot"];

/// Of every row: what is mounted and swapped to, and whose files lie where.
const FACTS: &str = r#"
[[files]]
path = "/var/lib/site/index.html"
content = "hello"
owner = "33:33"
mode = "0640"
[[files]]
path = "/home/ada/note"
content = "hello"
owner = "1000:1000"
mode = "0600"
[[files]]
path = "/srv/site/index.html"
content = "hello"
owner = "33:33"
mode = "0640"
[[files]]
path = "/etc/report.d/layout"
content = '''
fact mounts "$(awk '$1 ~ "^/dev/vd" && $2 != "/efi" { print $2, $3 }' /proc/mounts | sort -u | awk '{ printf "%s=%s ", $1, $2 }')"
fact swap "$(awk 'NR > 1 { print $2, $3 }' /proc/swaps)"
for file in /var/lib/site/index.html /home/ada/note /srv/site/index.html; do
	fact "owner-$(basename "$(dirname "$file")" | cut -c1-3)-$(echo "$file" | cut -d/ -f2)" "$(stat -c '%u:%g %a' "$file") $(cat "$file")"
done
# What lies below the mount points of the root; Alpine's mkmntdirs makes those of fstab before anything is mounted.
mkdir -p /run/root && mount --bind / /run/root
fact hidden "$(find /run/root/boot /run/root/srv /run/root/var /run/root/home -mindepth 1 -maxdepth 1 ! -path '*/boot/efi' | head -n 3 | tr '\n' ' ')"
umount /run/root
'''
"#;

const OWNERS: [(&str, &str); 3] = [
    ("owner-sit-var", "33:33 640 hello"),
    ("owner-ada-home", "1000:1000 600 hello"),
    ("owner-sit-srv", "33:33 640 hello"),
];

const ROWS: [Row; 3] = [
    Row {
        name: "`split-boot` with swap before the root that grows, `/var`, `/home` and `/srv`",
        config: r#"
            layout = "split-boot"
            partitions = [
                { type = "swap", size = "256M" }, { type = "var", min = "512M" }, { type = "home" }, { type = "srv" },
            ]"#,
        facts: &[
            ("mounts", "/=ext4 /boot=ext4 /boot/efi=vfat /home=ext4 /srv=ext4 /var=ext4"),
            ("swap", "partition 262140"),
            ("hidden", ""),
        ],
    },
    Row {
        name: "`split-boot-vfat`",
        config: r#"layout = "split-boot-vfat""#,
        facts: &[("mounts", "/=ext4 /boot=vfat /boot/efi=vfat"), ("swap", "")],
    },
    Row {
        name: "a server, with `/srv` that grows",
        config: r#"partitions = [
            { type = "esp", size = "256M" },
            { type = "xbootldr", mount = "/boot", filesystem = "ext4", size = "512M" },
            { type = "root", min = "2G" },
            { type = "srv", mount = "/srv", filesystem = "ext4", grow = true },
        ]"#,
        facts: &[("mounts", "/=ext4 /boot=ext4 /boot/efi=vfat /srv=ext4"), ("swap", "")],
    },
];

/// A line that tests of its own boot, for what these facts do not tell.
struct Line {
    name: &'static str,
    distribution: &'static str,
    /// As those of [`FIRMWARES`].
    cells: [&'static str; 3],
    /// Where they are below this folder, and what they are called.
    tests: &'static [(&'static str, &'static str)],
}

const LINES: [Line; 12] = [
    Line {
        name: "a kiosk: a root of EROFS, what is written is in memory",
        distribution: "Debian 12",
        cells: ["boots", "boots", "boots"],
        tests: &[
            ("volatile", "a_kiosk_of_erofs_writes_to_memory"),
            ("volatile", "a_kiosk_starts_by_uefi_and_secure_boot"),
        ],
    },
    Line {
        name: "a kiosk: a root of EROFS, what is written is in memory",
        distribution: "Alpine 3.23",
        cells: ["boots", "boots", "not signed"],
        tests: &[("volatile", "alpine_has_an_overlay_in_memory")],
    },
    Line {
        name: "a root of XFS that grows, and a squashfs",
        distribution: "Debian 12, 13",
        cells: ["boots", "boots", "boots"],
        tests: &[("external", "debian_boots_from_xfs_and_grows_it")],
    },
    Line {
        name: "a root of btrfs that grows, and a squashfs",
        distribution: "Debian 12, 13",
        cells: ["boots", "boots", "boots"],
        tests: &[("external", "debian_boots_from_btrfs_and_grows_it")],
    },
    Line {
        name: "an MBR with swap before the root that grows",
        distribution: "Debian 12",
        cells: ["boots", "boots", "boots"],
        tests: &[
            ("tables", "a_disk_with_an_mbr_boots_and_grows_on_a_bios"),
            ("tables", "a_disk_with_an_mbr_boots_by_uefi"),
        ],
    },
    Line {
        name: "sectors of 4096 bytes, a root that grows",
        distribution: "Debian 12",
        cells: ["not possible", "boots", "boots"],
        tests: &[("tables", "a_disk_with_sectors_of_4096_bytes_boots_and_grows")],
    },
    Line {
        name: "`ab`, from either slot",
        distribution: "Debian 12",
        cells: ["boots", "boots", "boots"],
        tests: &[
            ("slots", "either_slot_starts_the_same_machine"),
            ("fall_back", "a_root_in_the_other_slot_is_the_same_machine"),
        ],
    },
    Line {
        name: "`ab`, from either slot",
        distribution: "Alpine 3.23",
        cells: ["boots", "boots", "not signed"],
        tests: &[
            ("slots", "either_slot_starts_the_same_alpine"),
            ("slots", "either_slot_starts_the_same_alpine_by_uefi"),
        ],
    },
    Line {
        name: "`ab`, from either slot",
        distribution: "`FROM scratch`, our init",
        cells: ["boots", "boots", "untested"],
        tests: &[("slots", "either_slot_starts_the_same_program_from_scratch")],
    },
    Line {
        name: "`ab` with roots of EROFS",
        distribution: "Debian 12",
        cells: ["untested", "untested", "boots"],
        tests: &[("slots", "either_slot_of_erofs_starts_the_same_machine")],
    },
    Line {
        name: "`ab` with roots of EROFS",
        distribution: "Alpine 3.23",
        cells: ["boots", "untested", "not signed"],
        tests: &[("slots", "either_slot_of_erofs_starts_the_same_machine")],
    },
    Line {
        name: "`ab` by systemd-boot, with roots of ext4 and of EROFS",
        distribution: "Debian 12",
        cells: ["not possible", "boots", "untested"],
        tests: &[("slot_changes", "systemd_boot_changes_slots_and_goes_back")],
    },
];

impl Row {
    fn boots(&self, base: &str, firmwares: &[&str]) {
        let folder = scratch();
        let context = copy_of("machine", folder.path());
        let config = format!("hostname = \"web\"\nsize = \"6G\"\n{}\n{FACTS}", self.config);
        std::fs::write(context.join("vmimage.toml"), config).unwrap();
        let disk = folder.path().join("machine.qcow2");
        build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
        for firmware in firmwares {
            let copy = folder.path().join("copy.qcow2");
            std::fs::copy(&disk, &copy).unwrap();
            let report = boot(&copy, firmware, &[]);
            check_report(base, firmware, &report);
            for (fact, expected) in self.facts.iter().chain(&OWNERS) {
                assert_eq!(report.get(fact), *expected, "{} on {base}: {fact}", self.name);
            }
        }
    }
}

/// The second table of docs/support.md. That its cells are true is what [`layouts`] finds out.
fn table() -> String {
    let head = "| layout | distribution | SeaBIOS | OVMF | OVMF, Secure Boot |\n|---|---|---|---|---|\n";
    let lines = ROWS.iter().flat_map(|row| {
        BASES.iter().map(|(distribution, _, is_signed)| {
            let secure = if *is_signed { "boots" } else { "not signed" };
            format!("| {} | {distribution} | boots | boots | {secure} |\n", row.name)
        })
    });
    let own = LINES.iter().map(|Line { name, distribution, cells, .. }| {
        format!("| {name} | {distribution} | {} |\n", cells.join(" | "))
    });
    head.to_owned() + &lines.chain(own).collect::<String>()
}

#[test]
fn each_line_of_its_own_has_its_tests() {
    for (module, test) in LINES.iter().flat_map(|line| line.tests) {
        let source =
            std::fs::read_to_string(testdata(&format!("../frontend/tests/e2e/{module}.rs"))).unwrap();
        assert!(source.contains(&format!("\nfn {test}() {{")), "{module}::{test}");
    }
}

#[test]
fn the_support_page_has_the_table_of_the_layouts() {
    let page = std::fs::read_to_string(testdata("../docs/support.md")).unwrap();
    assert!(page.contains(&table()), "docs/support.md lacks this table:\n{}", table());
}

/// Every row on every firmware; with `MATRIX=Alpine` those of one distribution.
#[test]
#[ignore = "long: make matrix"]
fn layouts() {
    let only = std::env::var("MATRIX").unwrap_or_default();
    let mut failed = Vec::new();
    for (distribution, base, is_signed) in BASES.iter().filter(|(name, ..)| name.contains(&only)) {
        let firmwares = if *is_signed { &FIRMWARES[..] } else { &FIRMWARES[..2] };
        let boots = |row: &&Row| catch_unwind(AssertUnwindSafe(|| row.boots(base, firmwares))).is_err();
        failed.extend(ROWS.iter().filter(boots).map(|row| format!("{} on {distribution}", row.name)));
    }
    assert!(failed.is_empty(), "did not boot: {}", failed.join("; "));
}
