//! Two slots for roots: which partitions there are, what starts the first, and that nothing in it names the disk that it lies on.

use std::num::NonZeroUsize;
use std::process::Command;

use exporter::assemble::plan;
use exporter::clone;
use exporter::container::{self, Format};
use exporter::disk::kinds;
use exporter::engine::Run;
use exporter::fs::{DiskBudget, FileSystem};
use exporter::seed::Seed;
use exporter::spec::{Loader, Size, Spec};
use exporter::tree::{Editor, Time, Tree};

use crate::inputs::{self, MIB, input};
use crate::layouts::{Disk, said};

fn spec(partitions: &str) -> Spec {
    let layout = format!(r#"{{"preset":"ab","partitions":[{partitions}]}}"#);
    Spec { layout: serde_json::from_str(&layout).unwrap(), formats: vec![Format::Raw], ..Spec::default() }
}

/// A file of a FAT, by mtools.
fn on_fat(disk: &Disk, name: &str, path: &str) -> String {
    let image = format!("{}@@{}", disk.path().display(), disk.partition(name).start);
    said(Command::new("mtype").args(["-i", &image, &format!("::{path}")]))
}

/// All by which a partition of the disk could be told from that of another one.
fn names(disk: &Disk) -> Vec<String> {
    let table = said(Command::new("sfdisk").arg("--dump").arg(disk.path()));
    let volumes = disk.parts.iter().filter(|part| part.file_system.is_some()).map(|part| {
        let at = part.placed.start.to_string();
        let mut blkid = Command::new("blkid");
        said(blkid.args(["-p", "-o", "value", "-s", "UUID", "-O", &at]).arg(disk.path())).trim().to_owned()
    });
    let ids = disk.parts.iter().map(|part| part.placed.id.to_string()).chain(volumes);
    let label = table.lines().find_map(|line| line.strip_prefix("label-id: "));
    ids.chain(label.map(str::to_owned)).collect()
}

/// Whether the bytes of a partition have a text, in whatever case.
fn has(disk: &Disk, name: &str, text: &str) -> bool {
    let bytes = std::fs::read(disk.volume(disk.partition(name))).unwrap();
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[test]
fn the_first_slot_has_the_root_and_names_no_disk() {
    let disk = Disk::of(&spec(r#"{"type":"srv"},{"type":"swap","size":"64M"}"#), inputs::debian_small());
    let names_of: Vec<_> = disk.parts.iter().map(|part| &*part.placed.name).collect();
    assert_eq!(names_of, ["bios", "esp", "root-a", "_empty", "srv", "swap", "persist"]);
    let [_, _, root, empty, .., persist] = &disk.parts[..] else { panic!() };
    assert_eq!((root.placed.size, root.placed.kind), (empty.placed.size, empty.placed.kind));
    assert_eq!((root.placed.attributes, empty.placed.attributes), (kinds::READ_ONLY, kinds::NO_AUTO));
    assert!(
        persist.grows_to.is_some() && disk.parts.iter().filter(|part| part.grows_to.is_some()).count() == 1
    );
    for part in disk.parts.iter().filter(|part| part.file_system.is_some()) {
        assert!(disk.is_whole(&part.placed, part.file_system.unwrap()), "{part:?}");
    }
    let script = on_fat(&disk, "esp", "/EFI/debian/grub.cfg");
    assert!([root, empty].iter().all(|part| script.contains(&part.placed.id.to_string())), "{script}");
    for copy in ["grubenv", "grubenv.2"] {
        let block = on_fat(&disk, "esp", &format!("/EFI/BOOT/{copy}"));
        assert!(block.contains("A_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\ngood=A\nORDER=A B\n##"), "{block}");
    }
    let menu = disk.debugfs("root-a", "cat /boot/grub/grub.cfg");
    assert!(menu.contains("\tlinux /vmlinuz root=$slot_root ro rauc.slot=$slot "), "{menu}");
    assert!(menu.contains(" $slot_words\n") && !menu.contains("search."), "{menu}");
    let fstab = disk.debugfs("root-a", "cat /etc/fstab");
    for line in ["LABEL=ESP /boot/efi vfat ", "LABEL=srv /srv ext4 ", "LABEL=swap none swap "] {
        assert!(fstab.lines().any(|own| own.starts_with(line)), "{fstab}");
    }
    assert!(fstab.lines().all(|line| !matches!(line.split(' ').nth(1), Some("/" | "/persist"))), "{fstab}");
    for id in names(&disk) {
        assert!(id.len() > 8 && !has(&disk, "root-a", &id), "{id}");
    }
    assert!(has(&disk, "root-a", "Debian GNU/Linux 12"), "what is there is found");
    assert!(disk.edits.iter().any(|edit| edit.starts_with("slots: A is partition 3, B is partition 4")));
}

#[test]
fn a_slot_is_as_large_on_every_disk() {
    let sizes = |partitions: &str, size: Option<u64>| {
        let spec = Spec { size: size.map(Size), ..spec(partitions) };
        let parts =
            plan(&spec, input(inputs::debian_small()), &Run::silent(NonZeroUsize::MIN)).unwrap().partitions;
        assert_eq!(parts[2].placed.size, parts[3].placed.size);
        assert!(parts[2].needed > 0 && parts[3].needed == 0);
        (parts[2].placed.size, parts[2].needed, parts.last().unwrap().placed.size)
    };
    let (size, needed, persist) = sizes("", None);
    assert_eq!(size, (needed + needed / 2).div_ceil(MIB) * MIB);
    assert!(persist >= 256 * MIB);
    let (on_larger, _, persist) = sizes("", Some(8 << 30));
    assert!(on_larger == size && persist > 7 << 30);
    assert_eq!(sizes(r#"{"type":"root","size":"200M"}"#, Some(2 << 30)).0, 200 * MIB);
    assert_eq!(sizes(r#"{"type":"root","min":"200M"}"#, Some(2 << 30)).0, 200 * MIB);
    // No more than it needs, where no more is allowed.
    let tight = needed.div_ceil(MIB);
    assert_eq!(sizes(&format!(r#"{{"type":"root","max":"{tight}M"}}"#), Some(2 << 30)).0, tight * MIB);
}

#[test]
fn kernels_of_a_root_that_grub_does_not_read_lie_beside_the_slots() {
    let erofs = r#"{"type":"root","filesystem":"erofs"}"#;
    let [kernel, initramfs] = ["vmlinuz", "initrd.img"].map(|name| format!("/boot/{name}-6.1.0-9-amd64"));
    let disk = Disk::of(&spec(&format!(r#"{erofs},{{"type":"esp","size":"512M"}}"#)), inputs::debian_small());
    assert!(disk.is_whole(disk.partition("root-a"), FileSystem::Erofs));
    let menu = on_fat(&disk, "esp", "/A/boot/grub/grub.cfg");
    let line = format!("\tlinux $slot_folder{kernel} root=$slot_root ro rauc.slot=$slot rootfstype=erofs ");
    assert!(menu.contains(&line) && menu.contains(&format!("\tinitrd $slot_folder{initramfs}\n")), "{menu}");
    let script = on_fat(&disk, "esp", "/EFI/debian/grub.cfg");
    assert!(script.contains("gpt2") && !script.contains("search."), "{script}");
    for path in [&kernel, &initramfs] {
        let image = format!("{}@@{}", disk.path().display(), disk.partition("esp").start);
        said(
            Command::new("mtype")
                .args(["-i", &image, &format!("::/A{path}")])
                .stdout(std::process::Stdio::null()),
        );
    }
    let disk = Disk::of(&spec(&format!(r#"{erofs},{{"type":"xbootldr"}}"#)), inputs::debian_small());
    assert!(disk.debugfs("boot", "cat /A/boot/grub/grub.cfg").contains(&line));
    assert!(disk.debugfs("boot", &format!("stat /A{kernel}")).contains("Type: regular"));
    assert!(on_fat(&disk, "esp", "/EFI/debian/grub.cfg").contains("gpt5"));
}

/// The kernels lie beside systemd-boot, whatever it is that the root lies in.
#[test]
fn systemd_boot_has_an_entry_for_the_first_slot_and_the_root_says_what_the_second_needs() {
    let [kernel, initramfs] = ["vmlinuz", "initrd.img"].map(|name| format!("/boot/{name}-6.1.0-9-amd64"));
    for (partitions, kind) in [("", "ext4"), (r#"{"type":"root","filesystem":"erofs"}"#, "erofs")] {
        let mut tree = inputs::debian_small();
        let mut editor = Editor::new(&mut tree, Time::default());
        for path in ["/usr/lib/systemd/boot/efi/systemd-bootx64.efi", &kernel] {
            editor.write_file(path, format!("MZ and the rest of {path}").into_bytes(), 0o644).unwrap();
        }
        let image = serde_json::from_str(r#"{"id":"kiosk"}"#).unwrap();
        let update = serde_json::from_str(r#"{"tries":5}"#).unwrap();
        let disk =
            Disk::of(&Spec { loader: Loader::SystemdBoot, image, update, ..spec(partitions) }, tree.clone());
        assert_eq!(disk.partition("esp").size, 512 * MIB);
        let id = disk.partition("root-a").id;
        let entry = on_fat(&disk, "esp", "/loader/entries/kiosk-A+5-0.conf");
        let start = format!(
            "# Written by vmimage.\n# Root: root-a\ntitle      Debian GNU/Linux 12 (bookworm), slot A\nversion    1\nsort-key   kiosk\n\
             options    root=PARTUUID={id} ro rauc.slot=A "
        );
        assert!(entry.starts_with(&start) && !entry.contains('$'), "{entry}");
        assert!(entry.contains(" panic=10 init=/usr/lib/vmimage/early\n"), "{entry}");
        assert!(
            entry.ends_with("\nlinux      /kiosk/A/linux\ninitrd     /kiosk/A/initrd.img-6.1.0-9-amd64\n"),
            "{entry}"
        );
        assert_eq!(on_fat(&disk, "esp", "/kiosk/A/linux"), format!("MZ and the rest of {kernel}"));
        assert!(
            disk.edits.iter().any(|edit| edit.starts_with("/boot/vmlinuz-5.10.0-1-amd64: not in the menu"))
        );
        if kind == "ext4" {
            let recipe = disk.debugfs("root-a", "cat /usr/lib/vmimage/entry.json");
            let recipe: serde_json::Value = serde_json::from_str(&recipe).unwrap();
            assert_eq!((&recipe["linux"], &recipe["initrd"]), (&(*kernel).into(), &(*initramfs).into()));
            assert_eq!((&recipe["token"], &recipe["tries"]), (&"kiosk".into(), &5.into()));
            let options = recipe["options"].as_str().unwrap();
            assert!(options.starts_with("root=$slot_root ro rauc.slot=$slot "), "{options}");
            assert!(names(&disk).iter().all(|id| !has(&disk, "root-a", id)));
            assert!(!disk.debugfs("root-a", "ls /boot").contains("grub"));
            let unit = disk
                .debugfs("root-a", "cat /usr/lib/systemd/system/systemd-bless-boot.service.d/vmimage.conf");
            assert!(unit.contains("After=vmimage-good.service"), "{unit}");
        }
        let copy = clone::plan(
            container::open(&disk.path()).unwrap().1,
            &Seed::new(b"copy"),
            &DiskBudget::new(1 << 30),
        );
        let expected = "partition 2: /loader/entries/kiosk-A+5-0.conf: names the new ones".to_owned();
        assert!(copy.unwrap().notes.contains(&expected));
    }
}

#[test]
fn a_systemd_boot_without_an_order_of_entries_starts_no_slots() {
    let mut tree = inputs::debian_small();
    let program = *b"MZ #### LoaderInfo: systemd-boot 247.3-7+deb11u5 ####";
    let path = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
    Editor::new(&mut tree, Time::default()).write_file(path, program, 0o644).unwrap();
    let spec = Spec { loader: Loader::SystemdBoot, ..spec("") };
    let error = plan(&spec, input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("{path}: is systemd-boot 247, which has no order")),
        "{error}"
    );
}

#[test]
fn entries_and_kernels_may_have_a_partition_beside_the_esp() {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for path in ["/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "/boot/vmlinuz-6.1.0-9-amd64"] {
        editor.write_file(path, *b"MZ", 0o644).unwrap();
    }
    let partitions = r#"{"type":"esp","size":"64M"},{"type":"xbootldr"}"#;
    let disk = Disk::of(&Spec { loader: Loader::SystemdBoot, ..spec(partitions) }, tree);
    assert!(disk.is_whole(disk.partition("boot"), FileSystem::Vfat));
    assert_eq!(
        (disk.partition("boot").size, disk.partition("boot").kind.guid()),
        (512 * MIB, Some(kinds::XBOOTLDR))
    );
    assert_eq!(disk.partition("boot").attributes, 0, "it is written to");
    assert_eq!(on_fat(&disk, "esp", "/EFI/BOOT/BOOTX64.EFI"), "MZ");
    assert_eq!(on_fat(&disk, "boot", "/debian/A/linux"), "MZ");
    let entry = on_fat(&disk, "boot", "/loader/entries/debian-A+3-0.conf");
    assert!(entry.contains("\nlinux      /debian/A/linux\n"), "{entry}");
    let unit =
        disk.debugfs("root-a", "cat /usr/lib/systemd/system/systemd-bless-boot.service.d/vmimage.conf");
    assert!(unit.ends_with("\nExecStart=\nExecStart=/usr/bin/vmimage-boot good\n"), "{unit}");
    assert!(!disk.debugfs("root-a", "cat /etc/fstab").contains(" /boot "));
}

/// Alpine with this kernel.
fn alpine(version: &str) -> Tree {
    let mut tree = inputs::alpine();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.remove("/lib/modules");
    let list = format!("/lib/modules/{version}-0-virt/modules.dep");
    editor.write_file(list, *b"kernel/drivers/block/virtio_blk.ko:\n", 0o644).unwrap();
    tree
}

#[test]
fn the_initramfs_of_alpine_finds_a_slot_by_a_path() {
    let disk = Disk::of(&spec(""), alpine("6.18.1"));
    let menu = disk.debugfs("root-a", "cat /boot/grub/grub.cfg");
    assert!(menu.contains(" root=/dev/disk/by-partuuid/$slot_partuuid ro rauc.slot=$slot "), "{menu}");
    let fstab = disk.debugfs("root-a", "cat /etc/fstab");
    assert!(fstab.contains("/dev/root / ext4 ro,errors=remount-ro,noauto 0 0\n"), "{fstab}");
    let refused =
        |tree| plan(&spec(""), input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string();
    let said = refused(alpine("6.12.9"));
    assert!(said.contains("is Linux 6.12.9-0-virt") && said.contains("Linux 6.13 and later alone"), "{said}");
    let mut ignition = inputs::debian_small();
    Editor::new(&mut ignition, Time::default()).write_file("/boot/ignition.firstboot", *b"", 0o644).unwrap();
    let said = refused(ignition);
    assert!(
        said.starts_with("/boot/ignition.firstboot: Ignition writes to no root that is only read"),
        "{said}"
    );
}

#[test]
fn a_root_in_a_slot_has_the_labels_of_its_policy() {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for (path, text) in [
        ("config", "SELINUX=enforcing\nSELINUXTYPE=default\n"),
        ("default/policy/policy.33", ""),
        ("default/contexts/files/file_contexts", "/.* u:r:file_t:s0\n/usr/sbin/.* -- u:r:exec_t:s0\n"),
        ("default/contexts/files/file_contexts.subs_dist", "/sbin /usr/sbin\n"),
    ] {
        editor.write_file(format!("/etc/selinux/{path}"), text.as_bytes(), 0o644).unwrap();
    }
    let disk = Disk::of(&spec(""), tree);
    let label = |path: &str| disk.debugfs("root-a", &format!("ea_get {path} security.selinux"));
    assert!(label("/usr/sbin/nginx").contains("u:r:exec_t:s0"));
    // What was written last, too.
    assert!(label("/boot/grub/grub.cfg").contains("u:r:file_t:s0") && label("/").contains("u:r:file_t:s0"));
    assert!(!disk.debugfs("root-a", "ls /").contains(".autorelabel"));
    assert!(
        disk.edits.iter().any(|edit| edit.contains("SELinux labels by /etc/selinux/default")),
        "{:?}",
        disk.edits
    );
}

#[test]
fn a_copy_of_a_disk_chooses_among_its_own_slots() {
    let disk = Disk::of(&spec(""), inputs::debian_small());
    let (_, opened) = container::open(&disk.path()).unwrap();
    let copy = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap();
    let expected = "partition 2: /EFI/debian/grub.cfg: names the new ones".to_owned();
    assert!(copy.notes.contains(&expected), "{:?}", copy.notes);
}
