//! Folders of microVMs: which files are there, and what the descriptions name.

use super::*;
use crate::architecture::Architecture;
use crate::container::microvm::{Vm, is_microvm};
use crate::tree::Content;

/// One with a kernel and an initramfs of two parts.
pub(super) fn web() -> Microvm {
    let bytes = |text: &[u8]| Content::Bytes(text.into());
    let machines = vec!["q35".to_owned()];
    let vm =
        Vm { initramfs: Some(Vm::INITRAMFS.into()), machines, ..Vm::new("web".into(), Architecture::X86_64) };
    let initramfs = vec![bytes(b"first, "), bytes(b"second")];
    Microvm { vm, kernel: bytes(b"the kernel"), vmlinux: None, initramfs, is_read_only: true }
}

#[test]
fn a_folder_has_the_root_and_what_starts_it() {
    let scratch = Scratch::new();
    let size = 3 * MIB;
    let extents = extents(size);
    for (compression, root) in [(Compression::None, "root.raw"), (Compression::Zstd, "root.qcow2")] {
        let target = Target { compression, ..any_target(&scratch, Format::Microvm) };
        write_one(RawImage { size, extents: &extents }, &target, 2);
        let files = contents(&target.path);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cloud-hypervisor.json", "initramfs", root, "vm.json", "vmlinuz"]);
        let file = |wanted: &str| files.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        assert_eq!((file("vmlinuz"), file("initramfs")), (b"the kernel".to_vec(), b"first, second".to_vec()));
        let [drive] = &Vm::read(&target.path).unwrap().drives[..] else { panic!("one drive") };
        assert_eq!((&*drive.id, &*drive.file, drive.read_only), ("root", root, true));
        let path = target.path.join(root);
        assert!(
            flatten(size, &extents) == {
                let mut bytes = vec![0; size as usize];
                open(&path).unwrap().1.read_at(0, &mut bytes).unwrap();
                bytes
            }
        );
        assert_eq!(identify(&target.path).unwrap(), (Format::Microvm, None));
        let error = open(&target.path).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (&Kind::NotFound, true), "{error}");
    }
    assert!(!is_microvm(scratch.path()));
}

#[test]
fn what_is_no_microvm_is_refused() {
    let scratch = Scratch::new();
    let target = Target { microvm: None, ..any_target(&scratch, Format::Microvm) };
    let written = write(RawImage { size: MIB, extents: &Vec::new() }, &[target], &run(1));
    let error = written.unwrap_err().to_string();
    assert!(
        error.ends_with("a microvm comes of a build with profile = \"microvm\", and this is none"),
        "{error}"
    );
    assert_eq!(names(&scratch), <[&str; 0]>::default());
}
