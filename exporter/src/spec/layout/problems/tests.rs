//! Each problem is said, with its key, and what is right has none.

use super::super::{Layout, slots};
use super::*;
use crate::container::Format;
use crate::spec::{Firmware, Loader, Size};

fn said(layout: &str, spec: Spec) -> Vec<String> {
    let layout: Layout = serde_json::from_str(layout).unwrap();
    let spec = Spec { layout, ..spec };
    let line = |Problem { partition, key, message }: Problem| {
        let at = partition.map(|at| at.to_string()).unwrap_or_default();
        format!("{at}.{key}: {message}")
    };
    problems(&spec, &slots(&spec)).into_iter().map(line).collect()
}

#[test]
fn a_right_layout_has_no_problems() {
    for layout in [
        "{}",
        r#"{"preset":"split-boot"}"#,
        r#"{"preset":"split-boot-vfat"}"#,
        r#"{"preset":"simple","sector-size":4096}"#,
        r#"{"table":"mbr"}"#,
        r#"{"table":"mbr","preset":"split-boot","partitions":[{"type":"swap","size":"1G"}]}"#,
        r#"{"preset":"simple","partitions":[{"type":"swap","size":"1G"}]}"#,
        r#"{"partitions":[{"type":"esp","size":"256M"},
            {"type":"xbootldr","mount":"/boot","filesystem":"ext4","size":"512M"},
            {"type":"root","min":"2G"},{"type":"srv","mount":"/srv","filesystem":"ext4","grow":true}]}"#,
        r#"{"preset":"ab"}"#,
        r#"{"preset":"ab","sector-size":4096,"partitions":[{"type":"root","size":"2G"},{"type":"srv","max":"1G"}]}"#,
        r#"{"preset":"ab","partitions":[{"type":"root","filesystem":"erofs"},{"type":"esp","size":"512M"}]}"#,
        r#"{"preset":"ab","partitions":[{"type":"root","filesystem":"erofs"},{"type":"xbootldr"}]}"#,
        r#"{"preset":"simple","partitions":[{"type":"var"},{"type":"home"},{"type":"usr"},
            {"type":"linux-generic","mount":"/srv/log","read-only":true,"source":"/usr/share/log"}]}"#,
    ] {
        assert_eq!(said(layout, Spec::default()), [""; 0], "{layout}");
    }
    assert_eq!(said("{}", Spec { profile: Profile::Data, ..Spec::default() }), [""; 0]);
}

#[test]
fn what_systemd_boot_cannot_do_is_said_and_what_it_can_is_not() {
    let systemd_boot = || Spec { loader: Loader::SystemdBoot, ..Spec::default() };
    // It reads no file system but that of the ESP.
    let volatile = Spec { volatile: Volatile::Overlay, ..systemd_boot() };
    let root = r#"{"preset":"simple","partitions":[{"type":"root","filesystem":"erofs"}]}"#;
    assert_eq!(said(root, volatile), [""; 0]);
    assert_eq!(said("{}", systemd_boot()), [""; 0]);
    for slots in [
        r#"{"preset":"ab"}"#,
        r#"{"preset":"ab","partitions":[{"type":"root","filesystem":"erofs"}]}"#,
        r#"{"preset":"ab","partitions":[{"type":"esp","min":"1G"}]}"#,
        r#"{"preset":"ab","partitions":[{"type":"esp","size":"64M"},{"type":"xbootldr"}]}"#,
    ] {
        assert_eq!(said(slots, systemd_boot()), [""; 0], "{slots}");
    }
    for (partition, expected) in [
        (
            r#"{"type":"esp","size":"256M"}"#,
            "0.size: systemd-boot starts the kernels of both roots from esp, which",
        ),
        (
            r#"{"type":"xbootldr","size":"256M"}"#,
            "0.size: systemd-boot starts the kernels of both roots from boot, which",
        ),
        (
            r#"{"type":"xbootldr","filesystem":"ext4"}"#,
            "0.filesystem: systemd-boot starts the kernels of both roots from it, and reads vfat alone",
        ),
        (
            r#"{"type":"root","filesystem":"xfs"}"#,
            "0.filesystem: a root in a slot is ext4 or erofs, and not xfs",
        ),
    ] {
        let said = said(&format!(r#"{{"preset":"ab","partitions":[{partition}]}}"#), systemd_boot());
        assert!(said.len() == 1 && said[0].starts_with(expected), "{expected}: {said:?}");
    }
    let bios = Spec { firmware: Firmware::Bios, ..systemd_boot() };
    assert_eq!(
        said(r#"{"preset":"ab"}"#, bios.clone()),
        [".loader: a BIOS starts GRUB alone, systemd-boot is a program for UEFI"]
    );
    assert_eq!(said("{}", bios), [".loader: a BIOS starts GRUB alone, systemd-boot is a program for UEFI"]);
    let grub = serde_json::from_str(r#"{"password":{"secret":"grub"}}"#).unwrap();
    let all = said(r#"{"table":"mbr","preset":"split-boot-vfat"}"#, Spec { grub, ..systemd_boot() });
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.iter().all(|line| line.starts_with(".loader: ")), "{all:?}");
}

#[test]
fn each_problem_is_said_with_its_key() {
    for (partitions, expected) in [
        (r#"{"type":"srv","size":"1G","min":"1G"}"#, "0.size: size is in place of min and max"),
        (r#"{"type":"srv","min":"2G","max":"1G"}"#, "0.max: max is 1G, less than min, 2G"),
        (r#"{"type":"esp","filesystem":"ext4"}"#, "0.filesystem: firmware reads an ESP of vfat alone"),
        (r#"{"type":"esp","source":"/efi"}"#, "0.source: an ESP has the boot loader, and no other files"),
        (r#"{"type":"bios-boot","filesystem":"ext4"}"#, "0.filesystem: GRUB's core lies in"),
        (r#"{"type":"srv","filesystem":"none","mount":"/srv"}"#, "0.mount: nothing can be mounted"),
        (r#"{"type":"root","filesystem":"vfat"}"#, "0.filesystem: vfat has no owners"),
        (r#"{"type":"srv","compression":"lz4"}"#, "0.compression: only the files of an erofs"),
        (r#"{"type":"root","filesystem":"erofs"}"#, "0.filesystem: a machine writes to its root"),
        (r#"{"type":"root","filesystem":"erofs"}"#, "0.filesystem: the kernel is on erofs, which GRUB"),
        (r#"{"type":"xbootldr","filesystem":"erofs"}"#, "0.filesystem: the kernel is on erofs, which GRUB"),
        (r#"{"type":"srv","filesystem":"erofs","read-only":false}"#, "0.read-only: erofs is never written"),
        (
            r#"{"type":"srv","filesystem":"erofs","grow":true}"#,
            "0.grow: srv cannot grow at boot: it is read-only",
        ),
        (r#"{"type":"srv","options":"a b"}"#, "0.options: \"a b\" are no mount options"),
        (r#"{"type":"srv","mount":"srv"}"#, "0.mount: \"srv\" is no plain path"),
        (r#"{"type":"srv","mount":"/a/../b"}"#, "0.mount: \"/a/../b\" is no plain path"),
        (r#"{"type":"srv","source":"/a b"}"#, "0.source: \"/a b\" is no plain path"),
        (r#"{"type":"srv","source":"/srv/../../other"}"#, "0.source: \"/srv/../../other\" is no plain path"),
        (r#"{"type":"srv","mount":"/a/"}"#, "is no plain path"),
        (r#"{"type":"srv","mount":"/etc/ssl"}"#, "0.mount: /etc/ssl is read before it is mounted"),
        (r#"{"type":"srv","mount":"/usr/lib"}"#, "0.mount: /usr/lib is read before it is mounted"),
        (r#"{"type":"srv","mount":"/boot/grub"}"#, "0.mount: /boot/grub is read before"),
        (r#"{"type":"srv","mount":"/proc"}"#, "0.mount: /proc is made anew at each boot"),
        (r#"{"type":"esp","mount":"/boot"}"#, "0.mount: the ESP has no files of /boot"),
        (r#"{"type":"swap"}"#, "0.size: a swap partition needs nothing by itself: say its size"),
        (r#"{"type":"swap","size":"1G","mount":"/swap"}"#, "0.filesystem: swap is mounted nowhere"),
        (r#"{"type":"swap","size":"1G","source":"/swap"}"#, "0.filesystem: swap is mounted nowhere"),
        (r#"{"type":"swap","size":"1G","read-only":true}"#, "0.read-only: swap is written to"),
        (r#"{"type":"xbootldr","source":"/x"}"#, "0.source: the partition of /boot has the kernel"),
        (
            r#"{"type":"srv","grow":true},{"type":"home","grow":true}"#,
            "0.grow: srv cannot grow at boot: there are",
        ),
        (r#"{"type":"srv","grow":true,"size":"1G"}"#, "0.grow: srv cannot grow at boot: its size, or max,"),
        (
            r#"{"type":"srv","grow":true,"read-only":true}"#,
            "0.grow: srv cannot grow at boot: it is read-only",
        ),
        (
            r#"{"type":"srv","grow":true,"filesystem":"vfat"}"#,
            "0.grow: srv cannot grow at boot: only ext4, xfs and btrfs",
        ),
        (r#"{"type":"srv","label":"a"},{"type":"home","label":"a"}"#, "two partitions have the label \"a\""),
        (r#"{"type":"srv","mount":"/"}"#, "two partitions have the mount point \"/\""),
        (
            r#"{"type":"srv","source":"/a"},{"type":"home","source":"/a"}"#,
            "1.source: two partitions have the files of",
        ),
        (
            r#"{"type":"srv","label":"0123456789abcdefg"}"#,
            "0.label: \"0123456789abcdefg\" has 17 characters, ext4 has room for 16",
        ),
        (r#"{"type":"esp","label":"efi-partition"}"#, "0.label: \"efi-partition\" has 13 characters, vfat"),
        (r#"{"type":"srv","source":"../site"}"#, "0.source: \"../site\" is not a path of the image"),
        (
            r#"{"type":"srv","source":{"from":"a b","path":"/"}}"#,
            "0.source: \"a b\" is not the name of a stage",
        ),
        (r#"{"type":"srv","source":{"from":"a","path":"b"}}"#, "0.source: \"b\" is not / or a path"),
        (r#"{"type":"root","source":"site"}"#, "0.source: the root has the image's files"),
        (r#"{"type":"swap","size":"1G","source":"swap"}"#, "0.filesystem: swap is mounted nowhere"),
        (
            r#"{"type":"srv","source":"site","read-only":true},{"type":"linux-generic","mount":"/srv/log"}"#,
            "1.mount: /srv/log is to be on srv, which is read-only and has other files",
        ),
        (
            r#"{"type":"srv","source":"/data","read-only":true},{"type":"linux-generic","mount":"/srv/log"}"#,
            "1.mount: /srv/log is to be on srv, which is read-only and has other files",
        ),
    ] {
        let layout = format!(r#"{{"preset":"simple","partitions":[{partitions}]}}"#);
        let said = said(&layout, Spec::default());
        assert!(said.iter().any(|problem| problem.contains(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn slots_have_all_that_each_root_has_of_its_own() {
    for (table, partitions, expected) in [
        (
            "gpt",
            r#"{"type":"root"},{"type":"root","label":"b"}"#,
            ".partitions: one partition has the tree (mount = \"/\"), and here are 2: one root says how large both",
        ),
        ("gpt", r#"{"type":"root","label":"system"}"#, "0.label: the name of a slot says what is in it"),
        ("gpt", r#"{"type":"root","weight":100}"#, "0.weight: a slot has no share of the disk"),
        ("gpt", r#"{"type":"root","read-only":false}"#, "0.read-only: a root in a slot is only read"),
        ("gpt", r#"{"type":"root","grow":true}"#, "0.grow: root-a cannot grow at boot: there are"),
        (
            "gpt",
            r#"{"type":"root","filesystem":"xfs"}"#,
            "0.filesystem: a root in a slot is ext4 or erofs, and not xfs",
        ),
        (
            "gpt",
            r#"{"type":"root","filesystem":"erofs"}"#,
            "0.filesystem: GRUB does not read erofs, and esp has no room",
        ),
        (
            "gpt",
            r#"{"type":"xbootldr","max":"100M"},{"type":"root","filesystem":"erofs"}"#,
            "1.filesystem: GRUB does not read erofs, and boot has no room",
        ),
        ("gpt", r#"{"type":"xbootldr"}"#, "0.type: each root has its kernels, and GRUB reads them there"),
        ("gpt", r#"{"type":"usr"}"#, "0.mount: each root has its own /usr"),
        ("gpt", r#"{"type":"linux-generic","mount":"/boot"}"#, "0.mount: each root has its own /boot"),
        ("gpt", r#"{"type":"linux-generic","label":"_empty"}"#, "two partitions have the label \"_empty\""),
        ("gpt", r#"{"type":"esp","read-only":true}"#, "0.read-only: the machine says on the ESP"),
        ("gpt", r#"{"type":"esp","options":"umask=077,ro"}"#, "0.options: the machine says on the ESP"),
        ("mbr", "", ".table: slots are found by the names and UUIDs of partitions"),
    ] {
        let layout = format!(r#"{{"preset":"ab","table":"{table}","partitions":[{partitions}]}}"#);
        let said = said(&layout, Spec::default());
        assert!(said.iter().any(|problem| problem.contains(expected)), "{expected}: {said:?}");
    }
    for right in [
        r#"{"preset":"ab","partitions":[{"type":"esp","options":"ro,umask=077,rw"}]}"#,
        r#"{"preset":"simple","partitions":[{"type":"esp","read-only":true}]}"#,
    ] {
        assert_eq!(said(right, Spec::default()), [""; 0], "{right}");
    }
    let volatile = Spec { volatile: Volatile::Overlay, ..Spec::default() };
    let said_of = |layout: &str, spec: Spec| said(layout, spec).join(" ");
    assert!(said_of(r#"{"preset":"ab"}"#, volatile).contains(".volatile: a root in a slot is only read"));
    let image = serde_json::from_str(&format!(r#"{{"id":"{}","version":"1"}}"#, "k".repeat(35))).unwrap();
    let named = Spec { image, ..Spec::default() };
    assert!(said_of(r#"{"preset":"ab"}"#, named).contains("has 37 characters, the table has room for 36"));
    let two = r#"{"preset":"simple","partitions":[{"type":"root"},{"type":"root","label":"b"}]}"#;
    assert!(said_of(two, Spec::default()).contains("here are 2: layout = \"ab\" has two slots for roots"));
}

#[test]
fn a_volatile_root_is_not_written_to_and_its_state_has_no_partition() {
    let erofs = r#"{"type":"root","filesystem":"erofs"}"#;
    for (preset, partitions, volatile, expected) in [
        ("simple", "", Volatile::Overlay, &[][..]),
        ("split-boot", erofs, Volatile::Overlay, &[]),
        ("split-boot-vfat", erofs, Volatile::State, &[]),
        ("simple", r#"{"type":"var"},{"type":"srv","grow":true}"#, Volatile::Overlay, &[]),
        (
            "split-boot",
            erofs,
            Volatile::No,
            &["0.filesystem: a machine writes to its root", "0.grow: root cannot grow at boot"],
        ),
        ("simple", erofs, Volatile::Overlay, &["0.filesystem: the kernel is on erofs"]),
        (
            "simple",
            r#"{"type":"root","grow":true}"#,
            Volatile::State,
            &["0.grow: root cannot grow at boot: it is read-only"],
        ),
        (
            "simple",
            r#"{"type":"root","read-only":false}"#,
            Volatile::Overlay,
            &["0.read-only: volatile is overlay, which makes the root read-only"],
        ),
        ("simple", r#"{"type":"var"}"#, Volatile::State, &["0.mount: volatile is state, which keeps"]),
    ] {
        let layout = format!(r#"{{"preset":"{preset}","partitions":[{partitions}]}}"#);
        let said = said(&layout, Spec { volatile, ..Spec::default() });
        let is_said = |expected: &&str| said.iter().any(|said| said.starts_with(expected));
        assert!(said.len() == expected.len() && expected.iter().all(is_said), "{layout}: {said:?}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_is_said_with_the_rest() {
    let list = |partitions: &str| format!(r#"{{"partitions":[{partitions}]}}"#);
    let data = || Spec { profile: Profile::Data, ..Spec::default() };
    let bios = || Spec { firmware: Firmware::Bios, formats: vec![Format::Vdi], ..Spec::default() };
    let many = vec![r#"{"type":"linux-generic"}"#; 130].join(",");
    for (layout, spec, expected) in [
        (
            list(r#"{"type":"esp"}"#),
            Spec::default(),
            &["one partition has the tree (mount = \"/\"), and here are 0"][..],
        ),
        (
            list(r#"{"type":"root"},{"type":"esp"},{"type":"esp"}"#),
            Spec::default(),
            &["for UEFI, and here are 2", "\"/boot/efi\""],
        ),
        (list(r#"{"type":"root"}"#), Spec::default(), &["on an ESP, and there is none"]),
        (list(r#"{"type":"root"},{"type":"esp"}"#), data(), &["a disk of files has no boot loader"]),
        (r#"{"preset":"simple"}"#.to_owned(), data(), &[".layout: layout is for machines", "no boot loader"]),
        (list(&many), Spec::default(), &["131 partitions, the GPT has entries for 128", "here are 0", "no"]),
        (
            r#"{"sector-size":4096}"#.to_owned(),
            bios(),
            &[".sector-size: a BIOS starts", "a vdi disk has sectors of 512 bytes"],
        ),
    ] {
        let said = said(&layout, spec);
        assert!(said.len() == expected.len(), "{said:?}");
        assert!(expected.iter().all(|part| said.iter().any(|said| said.contains(part))), "{said:?}");
    }
}

#[test]
fn what_an_mbr_cannot_say_is_named() {
    let uuid = "01234567-89ab-4def-8123-456789abcdef";
    let only = |partition: &str| format!(r#"{{"table":"mbr","preset":"simple","partitions":[{partition}]}}"#);
    let of_size = |size| Spec { size: Some(Size(size)), ..Spec::default() };
    for (layout, spec, expected) in [
        (
            only(&format!(r#"{{"type":"root","uuid":"{uuid}"}}"#)),
            Spec::default(),
            "0.uuid: a partition of an MBR has no UUID",
        ),
        (
            only(r#"{"type":"root","attributes":["no-auto"]}"#),
            Spec::default(),
            "0.attributes: a partition of an MBR",
        ),
        (
            only(&format!(r#"{{"type":"{uuid}"}}"#)),
            Spec::default(),
            "0.type: \"part\": an MBR has no type that stands",
        ),
        (
            only(r#"{"type":"bios-boot"}"#),
            Spec::default(),
            "0.type: \"bios\": an MBR has no BIOS boot partition",
        ),
        (
            only(r#"{"type":"srv","label":"raw","filesystem":"none"}"#),
            Spec::default(),
            "0.label: an MBR has no labels",
        ),
        (
            only(r#"{"type":"srv"},{"type":"home"},{"type":"var"}"#),
            Spec::default(),
            ".partitions: 5 partitions, the MBR has entries for 4, and no extended partition is made",
        ),
        (
            r#"{"table":"mbr","sector-size":4096}"#.to_owned(),
            Spec::default(),
            ".sector-size: nothing in an MBR says",
        ),
        (only(""), of_size(3 << 40), ".size: the disk is to have 3 TiB, an MBR reaches to 2 TiB"),
    ] {
        let said = said(&layout, spec);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{expected}: {said:?}");
    }
    assert_eq!(said(&only(""), of_size(2 << 40)), [""; 0]);
    assert_eq!(said("{}", of_size(3 << 40)), [""; 0]);
}

#[test]
fn a_size_that_a_format_cannot_have_is_known_before_anything_is_made() {
    let said = |size: u64, format| {
        let spec = Spec { size: Some(Size(size)), formats: vec![Format::Raw, format], ..Spec::default() };
        said("{}", spec)
    };
    for (format, is_refused) in [(Format::Vhd, true), (Format::VhdDynamic, true), (Format::Vhdx, false)] {
        assert_eq!(said((2040 << 30) + (1 << 20), format).len(), usize::from(is_refused), "{format}");
        assert_eq!(said(2040 << 30, format), [""; 0]);
    }
}

#[test]
fn formats_of_vmware_have_sectors_of_512_bytes() {
    for (format, is_refused) in [
        (Format::Vmdk, true),
        (Format::Ova, true),
        (Format::Ovf, true),
        (Format::Vhdx, true),
        (Format::Qcow2, false),
        (Format::RawZst, false),
    ] {
        let said = said(r#"{"sector-size":4096}"#, Spec { formats: vec![format], ..Spec::default() });
        assert_eq!(said.len(), usize::from(is_refused), "{format}: {said:?}");
    }
}

/// A key file on a drive, and nothing else.
const STICK: &str = r#"{"key":"a","unlock":["key-file"],"key-device":"LABEL=KEYS","key-path":"/web.key"}"#;
const TANG: &str = r#"{"passphrase":"a","unlock":["passphrase","tang"],"tang":{"url":"http://tang.example","thumbprint":"ArJrDoaMEFbTpVPKHV0eHVMKHmqGGYfHNgOTqKaGDPw"}}"#;

#[test]
fn an_encrypted_root_wants_a_boot_that_is_not_and_others_do_not() {
    let root = r#"{"type":"root","encrypt":{"passphrase":"a"}}"#;
    let preset =
        |preset: &str, partitions: &str| format!(r#"{{"preset":"{preset}","partitions":[{partitions}]}}"#);
    for right in [
        preset("split-boot", root),
        preset("split-boot", &format!(r#"{root},{{"type":"srv","encrypt":{{"key":"b"}}}}"#)),
        preset("simple", r#"{"type":"swap","size":"1G","encrypt":{"passphrase":"a"}}"#),
        preset("ab", r#"{"type":"srv","encrypt":{"passphrase":"a"}}"#),
        preset("ab", r#"{"type":"linux-generic","label":"persist","encrypt":{"passphrase":"a"}}"#),
        preset("simple", r#"{"type":"srv","encrypt":"first-boot","grow":true}"#),
        preset("simple", &format!(r#"{{"type":"srv","encrypt":{TANG}}}"#)),
        preset("split-boot", &format!(r#"{{"type":"root","encrypt":{TANG}}}"#)),
        preset("split-boot", &format!(r#"{{"type":"root","encrypt":{STICK}}}"#)),
        preset(
            "simple",
            r#"{"type":"swap","size":"1G","encrypt":{"passphrase":"a","unlock":["passphrase","tpm2"]}}"#,
        ),
    ] {
        assert_eq!(said(&right, Spec::default()), [""; 0], "{right}");
    }
    let systemd_boot = Spec { loader: Loader::SystemdBoot, ..Spec::default() };
    assert_eq!(said(&preset("simple", root), systemd_boot), [""; 0]);
    let data = Spec { profile: Profile::Data, ..Spec::default() };
    let files = r#"{"partitions":[{"type":"linux-generic","source":"/","encrypt":{"key":"b"}}]}"#;
    assert_eq!(said(files, data.clone()), [""; 0]);
    let on_stick = files.replace(r#"{"key":"b"}"#, STICK);
    assert!(said(&on_stick, data)[0].contains("a disk of files does not boot"));
    let own = Spec { initramfs: Some(crate::spec::Initramfs::Vmimage), ..Spec::default() };
    let own = said(&preset("split-boot", root), own);
    assert_eq!(own, [".initramfs: vmimage's own initramfs asks for no passphrase: the distribution's does"]);
}

#[test]
fn what_cannot_be_encrypted_is_said() {
    let encrypted = |rest: &str| format!(r#"{{{rest},"encrypt":{{"passphrase":"a"}}}}"#);
    let later = |rest: &str| format!(r#"{{{rest},"encrypt":"first-boot"}}"#);
    let by_key = |rest: &str| format!(r#"{{{rest},"encrypt":{{"key":"a"}}}}"#);
    for (preset, partition, expected) in [
        ("simple", encrypted(r#""type":"root""#), "GRUB opens no root with argon2id"),
        ("split-boot", encrypted(r#""type":"esp""#), "what starts the machine is read before"),
        ("split-boot", encrypted(r#""type":"xbootldr""#), "what starts the machine is read before"),
        ("split-boot", encrypted(r#""type":"usr""#), "no initramfs opens more than the root"),
        ("ab", encrypted(r#""type":"root""#), "an update writes a root into its slot as it is"),
        (
            "ab",
            later(r#""type":"linux-generic","label":"persist""#),
            "what is kept is mounted before the init",
        ),
        ("split-boot", by_key(r#""type":"root""#), "a key of the root would have to lie beside it"),
        (
            "ab",
            format!(r#"{{"type":"linux-generic","label":"persist","encrypt":{STICK}}}"#),
            "leave out unlock",
        ),
        ("simple", format!(r#"{{"type":"var","encrypt":{TANG}}}"#), "wanted before there is a network"),
        ("simple", format!(r#"{{"type":"swap","size":"1G","encrypt":{TANG}}}"#), "say where (mount)"),
        (
            "simple",
            r#"{"type":"srv","encrypt":{"passphrase":"a","unlock":["tpm2"]}}"#.to_owned(),
            "have it in unlock",
        ),
        (
            "simple",
            encrypted(r#""type":"srv","label":"root""#),
            "its label is what it is called once it is open",
        ),
        ("simple", r#"{"type":"srv","encrypt":{}}"#.to_owned(), "say passphrase or key"),
        ("split-boot", later(r#""type":"root""#), "at the first boot there would be no root"),
        ("simple", later(r#""type":"swap","size":"1G""#), "at the first boot an ext4 is made"),
        ("simple", later(r#""type":"linux-generic""#), "because it is mounted"),
        ("simple", later(r#""type":"srv","source":"site""#), "has no files: leave out source"),
    ] {
        let layout = format!(r#"{{"preset":"{preset}","partitions":[{partition}]}}"#);
        let said = said(&layout, Spec::default());
        assert!(
            said.len() == 1 && said[0].starts_with("0.encrypt: ") && said[0].contains(expected),
            "{said:?}"
        );
    }
}
