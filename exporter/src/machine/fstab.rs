//! `/etc/fstab`: the root and the EFI system partition by id.
//!
//! The user's lines for other mount points are kept. Those for `/` and `/boot/efi` are replaced: they
//! can't know the ids of a disk that is only now made.

use super::{fields, lines, read};
use crate::error::Result;
use crate::seed::Uuid;
use crate::tree::Editor;

const PATH: &str = "/etc/fstab";

pub(super) fn write(editor: &mut Editor<'_>, root: Uuid, esp: Option<u32>) -> Result<Vec<String>> {
    let mut text = format!("UUID={root} / ext4 errors=remount-ro 0 1\n").into_bytes();
    let mut notes = vec![format!("{PATH}: / is UUID={root}")];
    if let Some(id) = esp {
        let id = format!("UUID={:04X}-{:04X}", id >> 16, id & 0xffff);
        text.extend(format!("{id} /boot/efi vfat umask=0077,nofail 0 0\n").as_bytes());
        notes.push(format!("{PATH}: /boot/efi is {id}"));
        editor.mkdir_all("/boot/efi")?;
    }
    for line in lines(&read(editor.tree(), PATH)?).filter(|line| !is_replaced(line, esp.is_some())) {
        text.extend(line);
    }
    editor.write_file(PATH, text, 0o644)?;
    Ok(notes)
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
            ("/dev/sda1 /boot/efi/ vfat x\n/swap none swap sw 0 0", true, "/swap none swap sw 0 0"),
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
    fn bytes_that_are_no_text_stay() {
        let mut tree = tree(&[]);
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.write_file(PATH, *b"/dev/vdb1 /d\xff x\n", 0o600).unwrap();
        write(&mut editor, ROOT, None).unwrap();
        assert!(tree.read(PATH, 1000).unwrap().unwrap().ends_with(b"\n/dev/vdb1 /d\xff x\n"));
    }
}
