//! `/etc/fstab`: the root and the EFI system partition by id.
//!
//! The user's lines for other mount points are kept. Those for `/` and `/boot/efi` are replaced, since they can't know
//! the ids of a disk that is only now made; their options are kept, as far as these file systems have them.

use super::{fields, lines, read};
use crate::error::{Result, show_text};
use crate::seed::Uuid;
use crate::tree::Editor;

const PATH: &str = "/etc/fstab";

/// Options of every file system (mount(8)); `x-…` are those of other programs.
const GENERIC: [&str; 32] = [
    "async",
    "atime",
    "auto",
    "noauto",
    "dev",
    "nodev",
    "diratime",
    "nodiratime",
    "dirsync",
    "exec",
    "noexec",
    "group",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "_netdev",
    "nofail",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "suid",
    "nosuid",
    "owner",
    "ro",
    "rw",
    "sync",
    "noatime",
    "user",
];

pub(super) fn write(editor: &mut Editor<'_>, root: Uuid, esp: Option<u32>) -> Result<Vec<String>> {
    let old = read(editor.tree(), PATH)?;
    let mut notes = Vec::new();
    let options = options(&old, "", &["ext4", "ext3", "ext2"], &["errors=remount-ro"], &mut notes);
    let mut text = format!("UUID={root} / ext4 {options} 0 1\n").into_bytes();
    notes.push(format!("{PATH}: / is UUID={root}"));
    if let Some(id) = esp {
        let id = format!("UUID={:04X}-{:04X}", id >> 16, id & 0xffff);
        let options = options_of_esp(&old, &mut notes);
        text.extend(format!("{id} /boot/efi vfat {options} 0 0\n").as_bytes());
        notes.push(format!("{PATH}: /boot/efi is {id}"));
        editor.mkdir_all("/boot/efi")?;
    }
    for line in lines(&old).filter(|line| !is_replaced(line, esp.is_some())) {
        text.extend(line);
    }
    editor.write_file(PATH, text, 0o644)?;
    Ok(notes)
}

fn options_of_esp(old: &[u8], notes: &mut Vec<String>) -> String {
    options(old, "/boot/efi", &["vfat", "msdos"], &["umask=0077", "nofail"], notes)
}

/// Ours, unless the image sets the same, and then the image's for this mount point. Of a file system that is none of
/// `kinds` only those are kept that every one has.
fn options(old: &[u8], mount_point: &str, kinds: &[&str], ours: &[&str], notes: &mut Vec<String>) -> String {
    let mut lines = lines(old).map(fields);
    let line = lines.find(|line| is_mount_point(line, mount_point)).unwrap_or_default();
    let kind = line.get(2).map_or("auto", String::as_str);
    let is_kept = |option: &&str| {
        kinds.contains(&kind) || kind == "auto" || option.starts_with("x-") || GENERIC.contains(option)
    };
    let given = line.get(3).map(String::as_str).unwrap_or_default();
    let given = given.split(',').filter(|option| !matches!(*option, "" | "defaults"));
    let (kept, dropped): (Vec<_>, Vec<_>) = given.partition(is_kept);
    if !dropped.is_empty() {
        let place = if mount_point.is_empty() { "/" } else { mount_point };
        let (dropped, kind) = (dropped.join(","), show_text(kind));
        notes.push(format!("{PATH}: {place} without {}, which {kind} alone has", show_text(&dropped)));
    }
    let key = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let ours = ours.iter().copied().filter(|ours| kept.iter().all(|option| key(option) != key(ours)));
    ours.chain(kept.iter().copied()).collect::<Vec<_>>().join(",")
}

fn is_mount_point(line: &[String], mount_point: &str) -> bool {
    line.get(1).is_some_and(|field| field.trim_end_matches('/') == mount_point)
}

fn is_replaced(line: &[u8], with_esp: bool) -> bool {
    // What debootstrap writes is no longer true.
    if line.starts_with(b"# UNCONFIGURED FSTAB") {
        return true;
    }
    match fields(line).get(1).map(|mount_point| mount_point.trim_end_matches('/')) {
        Some("") => true,
        Some("/boot/efi") => with_esp,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    const ROOT: Uuid = Uuid([0x11; 16]);
    const OURS: &str = "UUID=11111111-1111-1111-1111-111111111111 / ext4 errors=remount-ro 0 1\n";

    #[test]
    fn lines_of_the_user_are_kept_but_those_for_our_partitions() {
        for (old, esp, kept) in [
            ("", false, ""),
            ("# UNCONFIGURED FSTAB FOR BASE SYSTEM\n", false, ""),
            (
                "# mine\n/dev/vdb1 /data xfs defaults 0 2\n",
                false,
                "# mine\n/dev/vdb1 /data xfs defaults 0 2\n",
            ),
            ("/dev/sda1 / ext3 defaults 0 1\nnone / x\n#/dev/sda1 / x\n", false, "#/dev/sda1 / x\n"),
            ("/dev/sda1 /boot/efi/ vfat defaults\n/swap none swap sw 0 0", true, "/swap none swap sw 0 0"),
            ("/dev/sda1 /boot/efi vfat x\n", false, "/dev/sda1 /boot/efi vfat x\n"),
        ] {
            let mut tree = tree(&[(PATH, old)]);
            write(&mut Editor::new(&mut tree, Time::default()), ROOT, esp.then_some(0x1234_00ab)).unwrap();
            let efi = if esp { "UUID=1234-00AB /boot/efi vfat umask=0077,nofail 0 0\n" } else { "" };
            assert_eq!(text(&tree, PATH).unwrap(), format!("{OURS}{efi}{kept}"));
            assert_eq!(tree.lookup("/boot/efi").is_some(), esp);
        }
    }

    #[test]
    fn options_of_the_images_own_lines_are_kept() {
        for (old, root, esp) in [
            ("/dev/sda1 / ext4 noatime 0 1\n", "errors=remount-ro,noatime", "umask=0077,nofail"),
            (
                "LABEL=x / auto rw,errors=continue,commit=60 0 0\n",
                "rw,errors=continue,commit=60",
                "umask=0077,nofail",
            ),
            (
                "/dev/sda2 / xfs noatime,inode64,x-systemd.growfs 0 0\nx /boot/efi vfat umask=0022,shortname=winnt\n",
                "errors=remount-ro,noatime,x-systemd.growfs",
                "nofail,umask=0022,shortname=winnt",
            ),
            ("#/dev/sda1 / ext4 noatime 0 1\n", "errors=remount-ro", "umask=0077,nofail"),
            (
                "/dev/sda1 / ext4 noatime,, 0 1\n/dev/sdb1 / ext4 ro\n",
                "errors=remount-ro,noatime",
                "umask=0077,nofail",
            ),
        ] {
            let mut tree = tree(&[(PATH, old)]);
            let mut editor = Editor::new(&mut tree, Time::default());
            let notes = write(&mut editor, ROOT, Some(1)).unwrap();
            let text = text(&tree, PATH).unwrap();
            assert!(text.contains(&format!(" / ext4 {root} 0 1\n")), "{old}: {text}");
            assert!(text.contains(&format!(" /boot/efi vfat {esp} 0 0\n")), "{old}: {text}");
            let dropped = "/etc/fstab: / without inode64, which xfs alone has".to_owned();
            assert_eq!(notes.contains(&dropped), old.contains("inode64"), "{notes:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let mut tree = tree(&[]);
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.write_file(PATH, *b"/dev/vdb1 /d\xff x\n", 0o600).unwrap();
        write(&mut editor, ROOT, None).unwrap();
        assert!(tree.read(PATH, 1000).unwrap().unwrap().ends_with(b"\n/dev/vdb1 /d\xff x\n"));
    }
}
