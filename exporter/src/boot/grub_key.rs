//! GRUB that checks signatures: its image has room for a public key, which comes there in the last step of a build, alone with the secret
//! one that it belongs to.
//!
//! ```text
//! for UEFI:    the image is as it is run, and the key is put over what holds its place
//! for a BIOS:  diskboot.img │ what unpacks the rest │ LZMA: kernel, modules, key, configuration
//!                                                                          └─ packed anew from here on
//! ```
//!
//! GRUB reads packets of OpenPGP up to the end of the room, and leaves out zeroes (`grub-core/commands/pgp.c`). What holds the place
//! is no packet: an image without a key does not start.
//!
//! Source: GRUB 2.06, `util/mkimage.c`, `include/grub/offsets.h` (`GRUB_DECOMPRESSOR_I386_PC_*`) and
//! `include/grub/i386/pc/boot.h`.

use memchr::memmem;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U32};

use super::files::{BiosImages, BootFiles, CheckingFiles};
use super::lzma;
use crate::error::{Error, Kind, Result};

/// How what holds the place of the key begins (grub.sh); blanks follow, up to [`ROOM`].
const PLACE: &[u8] = b"vmimage: the place of the key of GRUB";
/// Bytes for the key: RSA of 4096 bits has 528.
const ROOM: usize = 1024;
/// Bytes of diskboot.img, in front of what unpacks the rest.
const DISKBOOT: usize = 512;
/// Of its list of blocks, how many sectors follow it: a u16.
const SECTORS: usize = 0x1fc;
/// The largest core image that GRUB's tools make: what it is loaded over begins behind it.
const LARGEST: usize = 0x7_8000 - 0x8200;
/// More than any core has in it.
const LARGEST_UNPACKED: u32 = 4 << 20;

/// How what unpacks the rest begins.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Unpacker {
    code: [u8; 8],
    packed: U32,
    unpacked: U32,
    /// What it may repair, which only `grub-setup` adds.
    redundancy: U32,
}

impl BootFiles {
    /// GRUB that knows this key (packets of OpenPGP), without shim, which no firmware would need for it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is no GRUB with room for one, [`Kind::Input`] if one is damaged.
    pub fn with_key(self, key: &[u8]) -> Result<Self> {
        let CheckingFiles { core, grub } = &self.checking;
        let grub = grub.as_ref().map(|program| with_key("grub-key.efi", program, key)).transpose()?;
        let core = core.as_ref().map(|core| core_with_key(core, key)).transpose()?;
        let bios = self.bios.zip(core).map(|(bios, core)| BiosImages { core: core.into(), ..bios });
        if grub.is_none() && bios.is_none() {
            let message = "has no GRUB with room for a key, of which GRUB 2.04 and later are made";
            let hint = "build with docker, on Debian, Ubuntu, Fedora or SUSE, or leave out key of [grub]";
            return Err(Error::new(Kind::NotFound, self.origin, message).with_hint(hint));
        }
        let grub = grub.map(Into::into);
        Ok(Self { bios, grub, shim: None, second: None, mok_manager: None, ..self })
    }
}

/// The image with the key in its place.
fn with_key(name: &str, image: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let at = place(image).ok_or_else(|| damaged(name, "has no place for a key, or several"))?;
    let mut image = image.to_vec();
    put(&mut image, at, key).ok_or_else(|| damaged(name, "has no room for the key"))?;
    Ok(image)
}

/// Where the place of the key is; `None`: there is not exactly one.
fn place(bytes: &[u8]) -> Option<usize> {
    let mut places = memmem::find_iter(bytes, PLACE);
    let at = places.next().filter(|_| places.next().is_none())?;
    let blanks = bytes.get(at..at.checked_add(ROOM)?)?.get(PLACE.len()..)?;
    blanks.iter().all(|byte| *byte == b' ').then_some(at)
}

fn put(bytes: &mut [u8], at: usize, key: &[u8]) -> Option<()> {
    let room = bytes.get_mut(at..)?.get_mut(..ROOM)?;
    room.fill(0);
    room.get_mut(..key.len())?.copy_from_slice(key);
    Some(())
}

/// The core image for a BIOS with the key in its place.
fn core_with_key(core: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    const NAME: &str = "core-key.img";
    let wrong = |why| damaged(NAME, why);
    let (mut head, text, stream) =
        taken_apart(core).ok_or_else(|| wrong("is no core image of GRUB for a BIOS"))?;
    let at = place(&text).ok_or_else(|| wrong("has no place for a key, or several"))?;
    let text = with_key(NAME, &text, key)?;
    let packed = lzma::repacked(stream, at, &text).ok_or_else(|| wrong("is torn"))?;
    if head.len() + packed.len() > LARGEST {
        return Err(wrong("is larger than a BIOS can load"));
    }
    tell_size(&mut head, packed.len()).ok_or_else(|| wrong("is torn"))?;
    Ok([head, packed].concat())
}

/// What comes before what is packed, that unpacked, and as it is.
fn taken_apart(core: &[u8]) -> Option<(Vec<u8>, Vec<u8>, &[u8])> {
    let (unpacker, _) = Unpacker::ref_from_prefix(core.get(DISKBOOT..)?).ok()?;
    let len = unpacker.unpacked.get();
    if unpacker.redundancy.get() != 0 || len > LARGEST_UNPACKED {
        return None;
    }
    let head = core.len().checked_sub(unpacker.packed.get() as usize)?;
    let (head, stream) =
        core.split_at_checked(head).filter(|(head, _)| head.len() > DISKBOOT + size_of::<Unpacker>())?;
    Some((head.to_vec(), lzma::unpacked(stream, len as usize)?, stream))
}

/// How much there is to load, and to unpack.
fn tell_size(head: &mut [u8], packed: usize) -> Option<()> {
    let sectors = (head.len() + packed).checked_sub(DISKBOOT)?.div_ceil(512);
    let (unpacker, _) = Unpacker::mut_from_prefix(head.get_mut(DISKBOOT..)?).ok()?;
    unpacker.packed = u32::try_from(packed).ok()?.into();
    head.get_mut(SECTORS..SECTORS + 2)?.copy_from_slice(&u16::try_from(sectors).ok()?.to_le_bytes());
    Some(())
}

fn damaged(name: &str, why: &str) -> Error {
    Error::new(Kind::Input, name, why)
        .with_hint("boot loader files are those of this vmimage: build them anew")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Scratch, accepts};

    const KEY: &[u8] = &[0x99; 528];

    /// What grub-mkimage makes of an image with these for a key and a configuration behind it.
    fn image(format: &str, key: &[u8]) -> Vec<u8> {
        let scratch = Scratch::new();
        let [key, configuration] = [("key", key), ("configuration", b"set check_signatures=enforce\n")]
            .map(|(name, bytes)| scratch.write(name, bytes));
        let image = scratch.write("image", b"");
        let key = format!("--pubkey={key}");
        let words = [
            "-O",
            format,
            "-o",
            &image,
            "-p",
            "/EFI/debian",
            "-c",
            &configuration,
            &key,
            "normal",
            "pgp",
            "gcry_rsa",
        ];
        accepts("grub-mkimage", &words);
        std::fs::read(image).unwrap()
    }

    fn placeholder() -> Vec<u8> {
        let mut place = PLACE.to_vec();
        place.resize(ROOM, b' ');
        place
    }

    /// Where they differ: the first and the last byte.
    fn difference(one: &[u8], other: &[u8]) -> (usize, usize) {
        assert_eq!(one.len(), other.len());
        let differs = |at: &usize| one[*at] != other[*at];
        ((0..one.len()).find(differs).unwrap(), (0..one.len()).rfind(differs).unwrap())
    }

    #[test]
    fn a_program_for_uefi_has_the_key_in_its_place() {
        let before = image("x86_64-efi", &placeholder());
        let after = with_key("grub-key.efi", &before, KEY).unwrap();
        let at = place(&before).unwrap();
        assert_eq!(difference(&before, &after), (at, at + ROOM - 1));
        assert_eq!(after[at..at + KEY.len()], *KEY);
        assert!(after[at + KEY.len()..at + ROOM].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_core_for_a_bios_is_packed_anew_with_the_key() {
        let before = image("i386-pc", &placeholder());
        let after = core_with_key(&before, KEY).unwrap();
        let ((head, text, _), (head_after, text_after, stream)) =
            (taken_apart(&before).unwrap(), taken_apart(&after).unwrap());
        let at = place(&text).unwrap();
        assert_eq!(difference(&text, &text_after), (at, at + ROOM - 1));
        assert_eq!(text_after[at..at + KEY.len()], *KEY);
        // Both sizes, and nothing else of what is not packed.
        let (first, last) = difference(&head, &head_after);
        assert!(first >= SECTORS && last < DISKBOOT + size_of::<Unpacker>(), "{first} {last}");
        let sectors = u16::from_le_bytes([after[SECTORS], after[SECTORS + 1]]);
        assert_eq!(usize::from(sectors), (after.len() - DISKBOOT).div_ceil(512));
        assert!(after.len().abs_diff(before.len()) < 700, "{} {}", before.len(), after.len());
        assert_eq!(head_after.len() + stream.len(), after.len());
    }

    #[test]
    fn what_has_no_room_for_a_key_is_refused() {
        let other = image("x86_64-efi", b"another key");
        assert!(with_key("a", &other, KEY).is_err());
        assert!(with_key("a", &[placeholder(), placeholder()].concat(), KEY).is_err());
        assert!(with_key("a", &placeholder()[..ROOM - 1], KEY).is_err());
        assert!(with_key("a", &placeholder(), &[1; ROOM + 1]).is_err());
        let core = image("i386-pc", &placeholder());
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut core = core.clone();
            change(&mut core);
            core_with_key(&core, KEY).is_err()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|core| core.truncate(600)));
        assert!(refused(&|core| core.truncate(core.len() - 3000)));
        // As much to unpack as there is not, more than any core has, and what is repaired.
        assert!(refused(&|core| core[DISKBOOT + 14] = 0x20));
        assert!(refused(&|core| core[DISKBOOT + 15] = 0x7f));
        assert!(refused(&|core| core[DISKBOOT + 16] = 1));
        assert!(refused(&|core| core[DISKBOOT + 8..DISKBOOT + 12].fill(0xff)));
        assert!(core_with_key(&image("i386-pc", b"another key"), KEY).is_err());
    }

    #[test]
    fn only_a_grub_with_room_for_a_key_takes_the_place_of_another() {
        let files = |names: &[(&str, &[u8])]| {
            let find = |name: &str| {
                Ok(names.iter().find(|(known, _)| *known == name).map(|(_, bytes)| Arc::from(*bytes)))
            };
            BootFiles::new("here", find).unwrap().unwrap()
        };
        let usual: [(&str, &[u8]); 5] = [
            ("vendor", b"debian"),
            ("shim.efi", b"s"),
            ("grub.efi", b"g"),
            ("boot.img", b"b"),
            ("core.img", b"c"),
        ];
        let error = files(&usual).with_key(KEY).unwrap_err();
        assert!(
            error.to_string().starts_with("here: has no GRUB with room for a key") && error.hint().is_some()
        );
        let (program, core) = (placeholder(), image("i386-pc", &placeholder()));
        let more: [(&str, &[u8]); 2] = [("grub-key.efi", &program), ("core-key.img", &core)];
        let both = files(&[&usual[..], &more].concat()).with_key(KEY).unwrap();
        assert!(both.shim.is_none() && both.grub.is_some_and(|grub| grub.starts_with(KEY)));
        let bios = both.bios.unwrap();
        assert!(
            &*bios.boot == b"b"
                && taken_apart(&bios.core).unwrap().1.windows(KEY.len()).any(|bytes| bytes == KEY)
        );
        let uefi = files(&[&usual[..], &more[..1]].concat()).with_key(KEY).unwrap();
        assert!(uefi.bios.is_none() && uefi.grub.is_some());
    }
}
