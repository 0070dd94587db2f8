//! Judged by cryptsetup, which reads header and key slots, and decrypts the content in user space.

use std::os::unix::fs::FileExt;

use super::*;
use crate::fs::{ext4, swap};
use crate::testing::{Scratch, accepts, flatten, tool, write_sparse};
use crate::tree::Time;
use crate::tree::testing::tree;

const ARGON2ID: Kdf = Kdf::Argon2id { time: 4, memory: 1024 };
const PBKDF2: Kdf = Kdf::Pbkdf2 { iterations: 1000 };
const UUID: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");

fn options(kdf: Kdf, sector_size: u32) -> Options {
    Options { uuid: UUID, label: "vault".into(), sector_size, kdf }
}

/// A volume in a file, and the file with its passphrase.
struct Made {
    scratch: Scratch,
    image: String,
    key: String,
}

impl Made {
    fn new(options: &Options, content: Contents, used: Option<Vec<Range<u64>>>) -> Self {
        let scratch = Scratch::new();
        let key = scratch.write("key", b"correct horse");
        let contents = Volume::new(options, &[b"correct horse"]).unwrap().contents(content, used);
        let image = scratch.file("image");
        write_sparse(&image, contents.size, &*contents.extents);
        Self { image: image.to_str().unwrap().to_owned(), scratch, key }
    }

    fn opens(&self, key: &str) -> (bool, String) {
        tool("cryptsetup", &["open", "--test-passphrase", "--key-file", key, &self.image])
    }

    /// The content as cryptsetup decrypts it.
    fn decrypted(&self) -> Vec<u8> {
        let header = self.scratch.file("header");
        let asked = ["reencrypt", "--decrypt", "--force-offline-reencrypt", "--batch-mode"];
        let files = ["--key-file", &self.key, "--header", header.to_str().unwrap(), &self.image];
        accepts("cryptsetup", &[&asked[..], &files].concat());
        std::fs::read(&self.image).unwrap()
    }
}

fn bytes(len: usize) -> Contents {
    Contents::of_bytes((0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>())
}

#[test]
fn cryptsetup_opens_both_kinds_of_key_slots_by_the_passphrase_alone() {
    for (kdf, shown) in [(ARGON2ID, "argon2id"), (PBKDF2, "pbkdf2")] {
        let made = Made::new(&options(kdf, 4096), bytes(4096), None);
        let said = accepts("cryptsetup", &["luksDump", &made.image]);
        for part in [&UUID.to_string(), "vault", "aes-xts-plain64", "sector: 4096 [bytes]", shown] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let (ok, said) = made.opens(&made.key);
        assert!(ok, "{said}");
        let other = made.scratch.write("other", b"correct hors");
        let (ok, said) = made.opens(&other);
        assert!(!ok && said.contains("No key available with this passphrase"), "{said}");
    }
}

#[test]
fn each_passphrase_opens_the_same_volume_by_a_key_slot_of_its_own() {
    let keys: [&[u8]; 3] = [b"correct horse", b"\x00 a key file\n", b"battery staple"];
    for kdf in [ARGON2ID, PBKDF2] {
        let volume = Volume::new(&options(kdf, 4096), &keys).unwrap();
        let plain = bytes(8192);
        let expected = flatten(8192, &*bytes(8192).extents);
        let contents = volume.contents(plain, None);
        let scratch = Scratch::new();
        let image = scratch.file("image");
        write_sparse(&image, contents.size, &*contents.extents);
        let image = image.to_str().unwrap().to_owned();
        let made = Made { key: scratch.write("key", keys[2]), image, scratch };
        for (slot, key) in keys.iter().enumerate() {
            let file = made.scratch.write("one", key);
            assert!(made.opens(&file).0, "{kdf:?} {slot}");
            let slot = slot.to_string();
            let asked = ["open", "--test-passphrase", "--key-slot", &slot, "--key-file", &file, &made.image];
            accepts("cryptsetup", &asked);
        }
        let other = made.scratch.write("other", b"battery stapl");
        assert!(!made.opens(&other).0);
        // cryptsetup re-encrypts by one key slot alone.
        for slot in ["0", "1"] {
            accepts(
                "cryptsetup",
                &["luksKillSlot", "--batch-mode", "--key-file", &made.key, &made.image, slot],
            );
        }
        assert!(!made.opens(&made.scratch.write("one", keys[0])).0, "its key slot is gone");
        assert!(made.decrypted()[..8192] == expected[..]);
    }
}

/// As who binds it to a server or a TPM does.
#[test]
fn a_machine_adds_a_key_slot_with_a_token_to_it() {
    let made = Made::new(&options(PBKDF2, 4096), bytes(4096), None);
    let new = made.scratch.write("new", b"of a server");
    let token = made.scratch.write("token", br#"{"type":"clevis","keyslots":["1"],"jwe":{}}"#);
    let slow = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let add = ["luksAddKey", "--batch-mode", "--key-file", &made.key, &made.image, &new];
    accepts("cryptsetup", &[&add[..], &slow].concat());
    accepts("cryptsetup", &["token", "import", "--token-id", "0", "--json-file", &token, &made.image]);
    assert!(made.opens(&new).0 && made.opens(&made.key).0);
    let said = accepts("cryptsetup", &["luksDump", &made.image]);
    assert!(said.contains("0: clevis"), "{said}");
}

#[test]
fn a_header_that_was_altered_in_both_copies_is_refused() {
    let made = Made::new(&options(PBKDF2, 4096), bytes(4096), None);
    let file = std::fs::File::options().write(true).open(&made.image).unwrap();
    for copy in [0, 16 << 10] {
        // In the salt, which nothing else looks at.
        file.write_all_at(b"\xff\x00", copy + 110).unwrap();
    }
    let (ok, said) = made.opens(&made.key);
    assert!(!ok, "{said}");
}

#[test]
fn a_key_slot_without_one_of_its_stripes_opens_nothing() {
    let made = Made::new(&options(PBKDF2, 4096), bytes(4096), None);
    let file = std::fs::File::options().write(true).open(&made.image).unwrap();
    file.write_all_at(&[0; 512], header::KEY_SLOTS + 100 * 512).unwrap();
    let (ok, said) = made.opens(&made.key);
    assert!(!ok, "{said}");
}

#[test]
fn cryptsetup_decrypts_what_was_encrypted_whatever_the_sectors() {
    for sector_size in [512, 4096] {
        let size = (2 << 20) + 12_288;
        let extents = vec![
            Extent::bytes(5, *b"begin"),
            Extent::bytes((1 << 20) - 100, vec![7; 5000]),
            Extent::bytes(size - 3, *b"end"),
        ];
        let expected = flatten(size, &extents);
        let made =
            Made::new(&options(PBKDF2, sector_size), Contents { size, extents: Box::new(extents) }, None);
        let decrypted = made.decrypted();
        assert!(decrypted[..size as usize] == expected[..], "sectors of {sector_size}");
    }
}

#[test]
fn an_ext4_is_whole_though_what_it_does_not_use_was_never_written() {
    let files = tree(&[("/etc/hostname", "vault"), ("/srv/file", &"x".repeat(3 << 20)), ("/a", "-> /srv")]);
    let options_of_ext4 = ext4::Options {
        label: "root".into(),
        uuid: UUID,
        hash_seed: UUID,
        size: 0,
        created: Time::default(),
        reserved_percent: 5,
    };
    let size = 64 << 20;
    let draft = ext4::Draft::new(&Arc::new(files), &options_of_ext4).unwrap();
    let plain = draft.plan(size).unwrap();
    let used = plain.extents.used().unwrap();
    let expected = flatten(size, &*plain.extents);
    // Of two with one UUID cryptsetup changes one at a time.
    let options = Options { uuid: Uuid([0x22; 16]), ..options(PBKDF2, 4096) };
    let made = Made::new(&options, plain, None);
    let written =
        std::fs::metadata(&made.image).map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512);
    assert!(written.unwrap() < 24 << 20, "free blocks are holes");
    let decrypted = made.decrypted();
    for range in used {
        let range = range.start as usize..range.end as usize;
        assert!(decrypted[range.clone()] == expected[range.clone()], "{range:?}");
    }
    let image = made.scratch.write("plain", &decrypted[..size as usize]);
    accepts("e2fsck", &["-fn", &image]);
    let said = accepts("debugfs", &["-R", "cat /etc/hostname", &image]);
    assert!(said.contains("vault"), "{said}");
}

#[test]
fn of_swap_the_header_is_enough() {
    let plain = swap::plan(32 << 20, &swap::Options { label: "swap".into(), uuid: UUID }).unwrap();
    let volume = Volume::new(&options(PBKDF2, 4096), &[b"x"]).unwrap();
    let header = 0..4096;
    let contents = volume.contents(plain, Some(vec![header]));
    let written: u64 = contents.extents.iter().map(|extent| extent.len).sum();
    assert_eq!((contents.size, written), (DATA_OFFSET + (32 << 20), (32 << 10) + 258_048 + 4096));
}

#[test]
fn what_cannot_be_a_volume_is_refused() {
    let said = |options: &Options, passphrase: &[u8]| {
        Volume::new(options, &[passphrase]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let right = options(PBKDF2, 4096);
    assert_eq!(said(&right, b"x"), "");
    assert!(said(&right, b"").contains("at least one byte"));
    for (count, is_right) in [(0, false), (1, true), (KEY_SLOTS_MAX, true), (KEY_SLOTS_MAX + 1, false)] {
        let passphrases: Vec<&[u8]> = vec![&b"x"[..]; count];
        assert_eq!(Volume::new(&right, &passphrases).is_ok(), is_right, "{count} passphrases");
    }
    assert!(said(&options(PBKDF2, 1024), b"x").contains("and not 1024"));
    assert!(said(&Options { label: "x".repeat(48), ..right.clone() }, b"x").contains("longer than 47 bytes"));
    for kdf in [Kdf::Pbkdf2 { iterations: 999 }, Kdf::Argon2id { time: 3, memory: 1024 }] {
        assert!(said(&options(kdf, 4096), b"x").contains("outside of what cryptsetup takes"));
    }
}

#[test]
fn two_volumes_of_the_same_have_nothing_in_common() {
    let whole = || {
        let volume = Volume::new(&options(PBKDF2, 4096), &[b"x"]).unwrap();
        let contents = volume.contents(bytes(8192), None);
        flatten(contents.size, &*contents.extents)
    };
    let (one, other) = (whole(), whole());
    let data = DATA_OFFSET as usize;
    assert_ne!(one[data..], other[data..]);
    assert_ne!(one[header::KEY_SLOTS as usize..][..512], other[header::KEY_SLOTS as usize..][..512]);
}
