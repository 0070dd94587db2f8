use super::testing::{arm64, bzimage, gzip, module, vmlinux};
use super::*;

const RELEASE: &str = "6.1.0-57-cloud-amd64";

fn read(bytes: &[u8]) -> Result<KernelImage> {
    KernelImage::read(&Content::Bytes(bytes.into()), "bzImage")
}

/// The message of the error, and whether it has a hint.
fn refused(bytes: &[u8]) -> (String, bool) {
    let error = read(bytes).and_then(|image| image.vmlinux().map(drop)).unwrap_err();
    (error.to_string(), error.hint().is_some())
}

#[test]
fn what_is_in_a_bzimage_is_told_whatever_packs_it() {
    let kernel = vmlinux(RELEASE, Some(0x100_0550), Some("CONFIG_VIRTIO_BLK=m\nCONFIG_PVH=y\n"));
    let zstd = zstd::encode_all(&kernel[..], 1).unwrap();
    for (payload, is_plain) in
        [(None, true), (Some(kernel.clone()), false), (Some(gzip(&kernel)), false), (Some(zstd), false)]
    {
        let image = payload.map_or_else(|| kernel.clone(), |payload| bzimage(RELEASE, &payload));
        let image = read(&image).unwrap();
        assert_eq!((image.release(), image.architecture()), (RELEASE, Architecture::X86_64));
        assert_eq!((image.is_plain(), image.place()), (is_plain, "bzImage"));
        let vmlinux = image.vmlinux().unwrap();
        assert_eq!((vmlinux.len, vmlinux.pvh), (kernel.len() as u64, Some(0x100_0550)));
        assert_eq!(vmlinux.config.option("VIRTIO_BLK"), Setting::Module);
        let mut bytes = Vec::new();
        vmlinux.reader().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == kernel);
    }
}

#[test]
fn a_kernel_may_tell_little() {
    let image = read(&bzimage(RELEASE, &vmlinux("", None, None))).unwrap();
    let vmlinux = image.vmlinux().unwrap();
    assert_eq!((vmlinux.pvh, vmlinux.config.option("PVH")), (None, Setting::Unknown));
    // The release that the header does not have is looked for in the kernel.
    let mut image = bzimage(RELEASE, &super::testing::vmlinux("5.4.1", None, None));
    image[0x20e..0x210].fill(0);
    assert_eq!(read(&image).unwrap().release(), "5.4.1");
}

#[test]
fn images_of_arm64_come_plain_or_packed() {
    let plain = arm64("6.12.1");
    let mut zboot = b"MZ\0\0zimg".to_vec();
    let packed = zstd::encode_all(&plain[..], 1).unwrap();
    zboot.extend([64_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
    zboot.resize(64, 0);
    zboot.extend(packed);
    for (bytes, is_plain, unpacks_itself) in
        [(plain.clone(), true, false), (gzip(&plain), false, false), (zboot, false, true)]
    {
        let image = read(&bytes).unwrap();
        assert_eq!(image.unpacks_itself(), unpacks_itself);
        assert_eq!((image.release(), image.architecture()), ("6.12.1", Architecture::Aarch64));
        assert_eq!((image.is_plain(), image.vmlinux().unwrap().len), (is_plain, plain.len() as u64));
    }
    let mut big_endian = plain;
    big_endian[24] = 1;
    assert_eq!(refused(&big_endian), ("bzImage: is no kernel".into(), true));
}

#[test]
fn a_kernel_is_kept_as_it_is_without_what_packs_it() {
    let folder = tempfile::tempdir().unwrap();
    let (elf, plain) = (vmlinux(RELEASE, None, None), arm64("6.12.1"));
    for (bytes, kernel) in [
        (elf.clone(), &elf),
        (bzimage(RELEASE, &gzip(&elf)), &elf),
        (plain.clone(), &plain),
        (gzip(&plain), &plain),
    ] {
        let kept = read(&bytes).unwrap().kept(folder.path()).unwrap();
        let mut found = Vec::new();
        kept.reader().unwrap().read_to_end(&mut found).unwrap();
        assert!(found == *kernel && kept.len() == kernel.len() as u64);
    }
    // Nothing has a name there.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_kernel_that_cannot_be_unpacked_or_kept_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = |payload: &[u8]| read(&bzimage(RELEASE, payload)).unwrap();
    for payload in [gzip(b"text"), b"\x5d\0\0\x80".to_vec()] {
        let error = image(&payload).kept(folder.path()).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (&Kind::Corrupt, true), "{error}");
    }
    let error = image(&gzip(&vmlinux(RELEASE, None, None))).kept(&folder.path().join("none")).unwrap_err();
    assert_eq!(error.kind(), &Kind::Io, "{error}");
}

#[test]
fn what_is_no_kernel_is_refused() {
    let program = module("license=GPL");
    let no_release = "bzImage: is no kernel: it never says \"Linux version\"";
    for (bytes, message) in [
        (&b""[..], "bzImage: is no kernel"),
        (b"#!/bin/sh\n", "bzImage: is no kernel"),
        (&[0; 4096], "bzImage: is no kernel"),
        (&program, no_release),
        (&gzip(b"text"), "bzImage: has no kernel of aarch64 packed in it"),
        (&bzimage(RELEASE, b"text"), "packed by something that is not known, which is not read"),
        (&bzimage(RELEASE, b"\x5d\0\0\x80"), "it is packed by LZMA, which is not read"),
        (&bzimage(RELEASE, &gzip(b"text")), "bzImage: has no kernel of x86_64 packed in it"),
    ] {
        let (said, has_hint) = refused(bytes);
        assert!(said.ends_with(message) && has_hint, "{said}");
    }
}

#[test]
fn damaged_images_say_what_is_wrong() {
    let kernel = gzip(&vmlinux(RELEASE, None, None));
    let whole = bzimage(RELEASE, &kernel);
    let changed = |at: usize, bytes: &[u8]| {
        let mut image = whole.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let end = 1024 + 16 + kernel.len();
    for (image, message) in [
        (changed(0x206, &[7, 2]), "bzImage: is a kernel for protocol 2.07, before 2.08 of 2008".to_owned()),
        (changed(0x236, &[0]), "bzImage: is a kernel of 32 bits".into()),
        (changed(0x24c, &[0; 4]), "bzImage: is a bzImage with nothing packed in it".into()),
        (
            whole[..end - 1].to_vec(),
            format!("bzImage: is cut off: a bzImage of at least {end} bytes has only {}", end - 1),
        ),
        (changed(end - 8, &[0; 4]), "bzImage: the kernel in it cannot be unpacked: corrupt gzip".into()),
    ] {
        let (said, has_hint) = refused(&image);
        assert!(said.starts_with(&message) && has_hint, "{said}");
    }
    assert!(read(&changed(0x24c, &[0xff; 4])).is_err());
}

#[test]
fn notes_that_lie_about_their_lengths_tell_nothing() {
    for (at, bytes) in [
        // Of the segment: its place, and its size.
        (64 + 8, [0xff; 8]),
        (64 + 32, [0xff; 8]),
        // Of the first note: the lengths of its name and of what it says.
        (0x100, [0xff; 8]),
    ] {
        let mut kernel = vmlinux(RELEASE, Some(1), None);
        kernel[at..at + 8].copy_from_slice(&bytes);
        let image = read(&kernel).unwrap();
        let pvh = image.vmlinux().unwrap().pvh;
        assert_eq!(pvh, (at == 64 + 32).then_some(1), "{at}");
    }
}

#[test]
fn sections_are_found_by_their_names() {
    let file = module("license=GPL\nalias=a");
    assert_eq!(elf::section(&file, b".modinfo"), Some(&b"license=GPL\0alias=a\0"[..]));
    assert_eq!(elf::section(&file, b".modinf"), None);
    assert_eq!(elf::section(&file, b".data"), None);
    for at in [40, 48, 58, 62] {
        let mut damaged = file.clone();
        damaged[at..at + 2].fill(0xff);
        let found = elf::section(&damaged, b".modinfo");
        // Flags (48) mean nothing here.
        assert_eq!(found.is_some(), at == 48, "{at}");
    }
}
