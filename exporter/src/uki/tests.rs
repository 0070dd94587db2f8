//! A stub of two sections, as a linker would make it.

use std::io::Read;
use std::num::NonZeroUsize;

use super::*;
use crate::container::{self, Compression, Format, Target};
use crate::engine::{RawImage, Run};
use crate::fs::Contents;
use crate::seed::Seed;
use crate::testing::Scratch;
use crate::tree::Content;

const HEADERS: usize = 0x400;
const TABLE: usize = 0x80 + 24 + 240;

/// Numbers of a header, little endian.
fn put(bytes: &mut [u8], at: usize, number: u32, len: usize) {
    bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn pe(machine: u32, names: [&str; 2]) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS + 0x400];
    bytes[..2].copy_from_slice(b"MZ");
    put(&mut bytes, 0x3c, 0x80, 4);
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    for (at, number, len) in [
        (0x84, machine, 2),
        (0x86, 2, 2),
        (0x94, 240, 2),
        (0x98, 0x20b, 2),
        (0x98 + 8, 0x2000, 4),
        (0x98 + 32, 0x1000, 4),
        (0x98 + 36, 0x200, 4),
        (0x98 + 56, 0x3000, 4),
        (0x98 + 60, HEADERS as u32, 4),
        (0x98 + 64, 0xdead, 4),
        (0x98 + 108, 16, 4),
    ] {
        put(&mut bytes, at, number, len);
    }
    for (index, name) in names.into_iter().enumerate() {
        let at = TABLE + 40 * index;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        let section = [0x1800, 0x1000 + 0x2000 * index as u32, 0x200, (HEADERS + 0x200 * index) as u32];
        section
            .into_iter()
            .enumerate()
            .for_each(|(word, number)| put(&mut bytes, at + 8 + 4 * word, number, 4));
    }
    bytes[HEADERS..].fill(0xcc);
    bytes
}

fn stub() -> Vec<u8> {
    pe(0x8664, [".text", ".sbat"])
}

fn kernel() -> Content {
    let mut kernel = pe(0x8664, [".text", ".data"]);
    put(&mut kernel, 0x98 + 56, 0x9000, 4);
    Content::Bytes(kernel.into())
}

/// A stub with words in its section of components, and the release of its systemd.
fn stub_of(release: u32, components: &str) -> Vec<u8> {
    let mut stub = stub();
    let sbat = HEADERS + 0x200;
    stub[sbat..].fill(0);
    stub[sbat..sbat + components.len()].copy_from_slice(components.as_bytes());
    let magic = format!("#### LoaderInfo: systemd-stub {release}.1 ####");
    stub[HEADERS..HEADERS + magic.len()].copy_from_slice(magic.as_bytes());
    // Nothing in it is written to and run.
    put(&mut stub, 0x98 + 70, 0x160, 2);
    stub
}

/// Names of sections with what each has, in their order.
fn found(program: &[u8]) -> Vec<(String, Vec<u8>)> {
    let count = number(program, 0x86) as usize & 0xffff;
    let section = |index| {
        let at = TABLE + 40 * index;
        let name = String::from_utf8_lossy(&program[at..at + 8]).trim_end_matches('\0').to_owned();
        let [len, raw, file] = [8, 16, 20].map(|word| number(program, at + word) as usize);
        (name, program[file..file + len.min(raw)].to_vec())
    };
    (0..count).map(section).collect()
}

fn sections() -> Vec<Section> {
    let initrd = [&b"first"[..], b"second"].map(|part| Contents::of_file(&Content::Bytes(part.into())));
    vec![
        Section::of_bytes(".cmdline", *b"quiet"),
        Section::of_parts(".initrd", initrd.into_iter().collect()),
        Section::of_kernel(&kernel(), "vmlinuz", Architecture::X86_64).unwrap(),
    ]
}

/// The bytes of a plan, written as every file is.
fn bytes(contents: &Contents) -> Vec<u8> {
    let scratch = Scratch::new();
    let path = scratch.file("a.efi");
    let id = Seed::new(b"test").uuid("file");
    let target = Target::new(path.clone(), Format::Uki, Compression::None, id);
    let image = RawImage { size: contents.size, extents: &*contents.extents };
    container::write(image, &[target], &Run::silent(NonZeroUsize::MIN)).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn sections_lie_behind_those_of_the_stub() {
    let uki = bytes(&plan(&stub(), "stub", Architecture::X86_64, sections()).unwrap());
    assert_eq!(number(&uki, 0x86) & 0xffff, 5);
    assert_eq!(uki[HEADERS..HEADERS + 0x400], stub()[HEADERS..]);
    let expected: [(&[u8], [u32; 4], &[u8]); 3] = [
        (b".cmdline", [5, 0x5000, 0x200, 0x800], b"quiet\0"),
        (b".initrd\0", [11, 0x6000, 0x200, 0xa00], b"firstsecond\0"),
        (b".linux\0\0", [0x9000, 0x7000, 0x800, 0xc00], b"MZ"),
    ];
    for (index, (name, numbers, data)) in expected.into_iter().enumerate() {
        let at = TABLE + 40 * (2 + index);
        assert_eq!(&uki[at..at + 8], name);
        let said: Vec<_> = (0..4).map(|word| number(&uki, at + 8 + 4 * word)).collect();
        assert_eq!(said, numbers, "{name:?}");
        let is_code = name.starts_with(b".linux");
        assert_eq!(number(&uki, at + 36), if is_code { 0x4000_0020 } else { 0x4000_0040 });
        let file = numbers[3] as usize;
        assert_eq!(&uki[file..file + data.len()], data);
    }
    assert_eq!(uki.len(), 0xc00 + 0x800);
    // Size of the image, of its data; and no checksum.
    assert_eq!((number(&uki, 0x98 + 56), number(&uki, 0x98 + 64)), (0x10000, 0));
    assert_eq!((number(&uki, 0x98 + 4), number(&uki, 0x98 + 8)), (0x9000, 0x2000 + 5 + 11));
}

/// The image of a machine, of files alone.
fn image(stub: &[u8], profiles: &[Profile]) -> Content {
    let image = UnifiedImage {
        kernel: (&kernel(), "/boot/vmlinuz"),
        uname: "6.12.1-amd64",
        initrd: Some(Content::Bytes((*b"initramfs").into())),
        release: b"ID=debian\n".to_vec(),
        cmdline: "root=UUID=x ro",
        profiles,
    };
    image.program(stub, "stub", Architecture::X86_64).unwrap()
}

const COMPONENTS: &str =
    "sbat,1,SBAT Version\nsystemd-stub,1,The systemd Developers,systemd,257,https://systemd.io/\n";

#[test]
fn an_image_is_a_file_whose_parts_are_where_its_table_says() {
    let image = image(&stub_of(257, COMPONENTS), &[]);
    let mut file = Vec::new();
    image.reader().unwrap().read_to_end(&mut file).unwrap();
    assert_eq!(file, bytes(&Contents::of_file(&image)));
    let found = found(&file);
    let names: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
    let own = [".osrel", ".cmdline", ".uname", ".initrd", ".sbat", ".linux"];
    assert_eq!(names, [&[".text", ".oldsbat"][..], &own].concat());
    let of = |wanted: &str| &found.iter().find(|(name, _)| name == wanted).unwrap().1;
    for (name, data) in [
        (".osrel", &b"ID=debian\n"[..]),
        (".cmdline", b"root=UUID=x ro"),
        (".uname", b"6.12.1-amd64"),
        (".initrd", b"initramfs"),
    ] {
        assert_eq!(of(name), data, "{name}");
    }
    let components = String::from_utf8(of(".sbat").clone()).unwrap();
    let names: Vec<_> = components.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, ["sbat", "systemd-stub", "uki", "\0"]);
    // The kernel has to write to what it runs, so the whole does.
    assert_eq!(number(&file, 0x98 + 70) & 0xffff, 0x60);
}

#[test]
fn a_profile_is_behind_what_all_have_and_only_where_the_stub_knows_it() {
    let rescue = Profile { id: "rescue", title: "rescue", cmdline: "root=UUID=x ro single".into() };
    let names = |release: u32| {
        let mut file = Vec::new();
        let image = image(&stub_of(release, COMPONENTS), std::slice::from_ref(&rescue));
        image.reader().unwrap().read_to_end(&mut file).unwrap();
        let found = found(&file);
        let behind = found.iter().skip_while(|(name, _)| name != ".linux").skip(1);
        behind.map(|(name, data)| format!("{name} {}", String::from_utf8_lossy(data))).collect::<Vec<_>>()
    };
    assert_eq!(
        names(257),
        [
            ".profile ID=normal\n",
            ".profile ID=rescue\nTITLE=\"rescue\"\n",
            ".osrel ID=debian\nIMAGE_ID=\"debian-rescue\"\n",
            ".cmdline root=UUID=x ro single"
        ]
    );
    assert_eq!(names(256), [""; 0]);
}

#[test]
fn an_addon_has_words_and_says_what_it_is() {
    let stub = stub_of(257, "");
    let addon = addon(&stub, "addon", Architecture::X86_64, "console=ttyS0").unwrap();
    let mut file = Vec::new();
    addon.reader().unwrap().read_to_end(&mut file).unwrap();
    let found = found(&file);
    assert_eq!(found[2], (".cmdline".to_owned(), b"console=ttyS0".to_vec()));
    assert!(String::from_utf8_lossy(&found[3].1).contains("\nuki-addon,1,"));
    assert!(!is_uki(&file));
}

/// As those of systemd 252 have one: behind the sections, where no signature would be of it.
#[test]
fn a_table_of_symbols_is_left_out() {
    let (mut stub, plain) = (stub(), stub());
    put(&mut stub, 0x8c, plain.len() as u32, 4);
    put(&mut stub, 0x90, 3, 4);
    stub.extend([0x55; 3 * 18 + 4]);
    let of = |stub: &[u8]| bytes(&plan(stub, "stub", Architecture::X86_64, sections()).unwrap());
    let (with, mut without) = (of(&stub), of(&plain));
    assert_eq!(with.len(), without.len());
    // All that differs is that the header says so.
    put(&mut without, 0x96, 0x8, 2);
    assert_eq!(with, without);
}

#[test]
fn what_is_no_stub_is_refused() {
    let with = |at: usize, value: u32, len: usize| {
        let mut stub = stub();
        put(&mut stub, at, value, len);
        stub
    };
    for (stub, why) in [
        (b"\x7fELF".to_vec(), "is no program for UEFI"),
        (with(0x3c, 0xffff_fff0, 4), "is no program for UEFI"),
        (with(0x98, 0x10b, 2), "is no program for UEFI"),
        (stub()[..0x200].to_vec(), "is cut off"),
        (with(0x86, 0xffff, 2), "is cut off"),
        (pe(0xaa64, [".text", ".sbat"]), "is no program for UEFI on x86_64"),
        (pe(0x8664, [".text", ".linux"]), "has a section .linux already"),
        (with(0x98 + 112 + 8 * 4 + 4, 0x600, 4), "is signed"),
        (with(0x98 + 32, 0x1001, 4), "says of its sections"),
        (with(0x98 + 60, 0x200, 4), "has no room for 3 sections more"),
        (with(TABLE + 20, 0x220, 4), "has no room for 3 sections more"),
    ] {
        let error = plan(&stub, "stub", Architecture::X86_64, sections()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("stub: {why}")) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_kernel_that_firmware_cannot_start_is_refused() {
    for kernel in [&b"\x7fELF and the rest"[..], b"MZ", &pe(0xaa64, [".text", ".data"])] {
        let error =
            Section::<Contents>::of_kernel(&Content::Bytes(kernel.into()), "bzImage", Architecture::X86_64);
        let error = error.map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "bzImage: is no program for UEFI on x86_64, which a uki starts");
    }
}

#[test]
fn what_is_too_large_for_a_program_is_refused() {
    let huge = Contents { size: 5 << 30, extents: Box::new(Vec::new()) };
    let sections = vec![Section::of_parts(".initrd", vec![huge])];
    let error = plan(&stub(), "stub", Architecture::X86_64, sections).unwrap_err();
    assert!(error.to_string().starts_with("stub: would have more than 4 GiB"), "{error}");
}
