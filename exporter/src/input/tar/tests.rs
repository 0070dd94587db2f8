use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::pax::tests::record;
use super::*;
use crate::testing::{Scratch, accepts};
use crate::tree::{Section, Time};

/// All members of a tar.
fn members(bytes: &[u8]) -> Result<(Vec<Member>, End), Fault> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let mut reader = Section::whole(file).unwrap().reader();
    let mut members = Members::new(&mut reader);
    let mut all = Vec::new();
    loop {
        match members.next()? {
            Next::Member(member) => all.push(*member),
            Next::End(end) => return Ok((all, end)),
        }
    }
}

/// What GNU tar makes of the directory.
fn pack(scratch: &Scratch, args: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(["-C", scratch.path().to_str().unwrap(), "-c"]).args(args).output();
    let output = output.expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn message(bytes: &[u8]) -> String {
    members(bytes).unwrap_err().at("x.tar").to_string()
}

/// A header with its checksum.
fn header(name: &str, typeflag: u8, size: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = typeflag;
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn pieces(path: &Path, args: &[&str], scratch: &Scratch) -> (u64, Vec<(u64, u64)>, Vec<u8>) {
    let tar = pack(scratch, &[args, &[path.to_str().unwrap()]].concat());
    let (members, _) = members(&tar).unwrap();
    assert_eq!(members[0].path, path.to_str().unwrap().as_bytes());
    let What::File(data) = &members[0].what else { panic!("no file") };
    let pieces = data.pieces.as_deref().unwrap();
    let mut bytes = vec![0; data.len as usize];
    for piece in pieces {
        let stored = &tar[piece.offset as usize..][..piece.len as usize];
        bytes[piece.start as usize..][..piece.len as usize].copy_from_slice(stored);
    }
    (data.len, pieces.iter().map(|piece| (piece.start, piece.len)).collect(), bytes)
}

#[test]
fn sparse_files_of_all_versions_are_the_same() {
    let scratch = Scratch::new();
    let mut expected = vec![0; 3_000_000];
    // Enough pieces for extension blocks.
    for piece in 0..40 {
        expected[piece * 65_536 + 8192..][..4096].fill(piece as u8 + 1);
    }
    let name = scratch.write("holes", &expected);
    accepts("fallocate", &["--dig-holes", &name]);
    let whole: Vec<_> = (0..40).map(|piece| (piece * 65_536 + 8192, 4096)).collect();
    for args in [
        &["--format=gnu", "--sparse"][..],
        &["--format=pax", "--sparse-version=0.0", "--sparse"],
        &["--format=pax", "--sparse-version=0.1", "--sparse"],
        &["--format=pax", "--sparse-version=1.0", "--sparse"],
    ] {
        let (len, pieces, bytes) = pieces(Path::new("holes"), args, &scratch);
        assert_eq!((len, pieces), (3_000_000, whole.clone()), "{args:?}");
        assert!(bytes == expected, "{args:?}");
    }
}

#[test]
fn long_names_and_large_numbers_come_in_every_format() {
    let scratch = Scratch::new();
    let name = format!("{}/{}", "d".repeat(180), "n".repeat(200));
    std::fs::create_dir(scratch.file(&"d".repeat(180))).unwrap();
    scratch.write(&name, b"text");
    std::os::unix::fs::symlink("t".repeat(300), scratch.file("link")).unwrap();
    for (format, owner, time, nanoseconds) in
        [("gnu", 4_000_000_000, -77, 0), ("pax", 4_000_000_000, -77, 250_000_000)]
    {
        let owner_option = format!("--owner=:{owner}");
        let format_option = format!("--format={format}");
        let args = [&format_option, &owner_option, "--mtime=@-76.75", "--sort=name", "link", &name]
            .map(|arg| arg as &str);
        let (members, end) = members(&pack(&scratch, &args)).unwrap();
        let paths: Vec<_> = members.iter().map(|member| String::from_utf8_lossy(&member.path)).collect();
        assert_eq!(paths, ["link", &name]);
        assert!(matches!(&members[0].what, What::Symlink(target) if *target == "t".repeat(300).into_bytes()));
        for Member { meta, .. } in &members {
            assert_eq!((meta.uid, meta.mtime.seconds), (owner, time), "{format}");
            assert_eq!(meta.mtime, Time { seconds: time, nanoseconds }, "{format}");
        }
        assert_eq!(end, End::Marked);
    }
}

#[test]
fn paths_are_cleaned_or_refused() {
    let path = |name| members(&header(name, b'5', 0)).unwrap().0[0].path.clone();
    for (name, clean) in [("./", ""), ("/", ""), ("/etc//x/./y/", "etc/x/y"), ("./a", "a")] {
        assert_eq!(path(name), clean.as_bytes());
    }
    for name in ["../a", "a/../../b", "a/.."] {
        assert_eq!(message(&header(name, b'5', 0)), format!("x.tar: /{name}: a path with '..' is refused"));
    }
    let mut link = header("link", b'1', 0);
    link[157..160].copy_from_slice(b"../");
    seal(&mut link);
    assert_eq!(message(&link), "x.tar: /../: a path with '..' is refused");
}

#[test]
fn what_is_broken_or_unknown_is_refused() {
    let file = header("a", b'0', 5);
    let mut flipped = file.clone();
    flipped[0] = b'b';
    assert_eq!(message(&flipped), "x.tar: no tar header at offset 0");
    assert_eq!(message(&file[..300]), "x.tar: the archive is truncated");
    assert_eq!(message(&header("v", b'M', 0)), "x.tar: /v: part of an incremental or split archive");
    assert_eq!(message(&header("q", b'q', 0)), "x.tar: /q: members of type 'q' are not known");
    assert_eq!(message(&header("x", b'x', 2 << 20)), "x.tar: an extended header has more than 1 MiB");
    let mut number = file;
    number[124] = b'9';
    seal(&mut number);
    assert_eq!(message(&number), "x.tar: /a: the size is no number of a tar header");
}

/// A header of another type in front of a member, with its content.
fn extended(typeflag: u8, content: &[u8]) -> Vec<u8> {
    let mut blocks = [&header("x", typeflag, content.len())[..], content].concat();
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    blocks
}

#[test]
fn what_comes_in_front_of_a_member_is_limited_in_all() {
    let attributes = |number: usize| record(&format!("SCHILY.xattr.user.{number}"), &[b'v'; 60_000]);
    let many =
        |typeflag| (0..40).flat_map(|number| extended(typeflag, &attributes(number))).collect::<Vec<_>>();
    let pieces = extended(b'x', &record("GNU.sparse.offset", b"0").repeat(40_000));
    let names = extended(b'L', &vec![b'n'; 1 << 20]);
    for headers in
        [many(b'x'), many(b'g'), pieces.repeat(3), names.repeat(2), extended(b'x', b"").repeat(4096)]
    {
        let said = message(&[headers, header("a", b'0', 0)].concat());
        let limit = "more than 2097152 bytes in front of one member, which is the limit";
        assert!(said.starts_with("x.tar: at offset ") && said.ends_with(limit), "{said}");
    }
    // As Go takes it.
    let largest = extended(b'x', &record("comment", &vec![b'c'; (1 << 20) - 32]));
    assert_eq!(members(&[largest, header("a", b'0', 0)].concat()).unwrap().0.len(), 1);
}

#[test]
fn attributes_of_an_inode_are_limited_wherever_they_come_from() {
    let attribute = |number: u8| record(&format!("SCHILY.xattr.user.{number}"), &[b'v'; 40_000]);
    let (one, other) = (attribute(1), attribute(2));
    let said = "x.tar: /a: 80044 bytes of extended attributes, Linux takes 65536";
    for headers in [
        extended(b'x', &[&one[..], &other].concat()),
        extended(b'g', &[&one[..], &other].concat()),
        [extended(b'g', &one), extended(b'x', &other)].concat(),
        [extended(b'g', &one), header("before", b'0', 0), extended(b'g', &other)].concat(),
    ] {
        assert_eq!(message(&[headers, header("a", b'0', 0)].concat()), said);
    }
    let replaced = extended(b'x', &one.repeat(3));
    assert_eq!(members(&[replaced, header("a", b'0', 0)].concat()).unwrap().0[0].meta.xattrs.len(), 1);
}

#[test]
fn the_pieces_of_a_sparse_file_are_those_of_one_member() {
    let pieces = extended(b'g', &record("GNU.sparse.offset", b"0").repeat(40_000));
    let tar = [pieces, header("a", b'0', 0)].concat().repeat(20);
    // The first one has no end of its last piece; what counts is that none has those of others.
    assert_eq!(message(&tar), "x.tar: /a: a sparse file without its size");
    let tar = [extended(b'g', &record("GNU.sparse.size", b"9")), header("a", b'0', 0), header("b", b'0', 0)];
    assert!(
        members(&tar.concat())
            .unwrap()
            .0
            .iter()
            .all(|member| { matches!(&member.what, What::File(data) if data.pieces.is_none()) })
    );
}

#[test]
fn paths_and_targets_are_as_long_as_linux_takes_them() {
    let named = |typeflag, name: &[u8], kind| [extended(typeflag, name), header("a", kind, 0)].concat();
    let deep = "a/".repeat(100_000);
    let walk = "a/../".repeat(200_000);
    for (tar, place) in [
        (named(b'L', deep.as_bytes(), b'5'), deep.as_str()),
        (named(b'x', &record("path", deep.as_bytes()), b'0'), &deep),
        (named(b'K', walk.as_bytes(), b'2'), "a"),
        (named(b'x', &record("linkpath", walk.as_bytes()), b'2'), "a"),
        (named(b'K', deep.as_bytes(), b'1'), "a"),
        // Even where it means nothing: it would be kept for all that follow.
        (named(b'g', &record("linkpath", walk.as_bytes()), b'0'), "a"),
    ] {
        let said = message(&tar);
        let place = if place.len() > 200 { format!("{}…", &place[..200]) } else { place.to_owned() };
        assert!(said.starts_with(&format!("x.tar: /{place}: a path of ")), "{said}");
        assert!(said.ends_with(" bytes, Linux takes 4095"), "{said}");
    }
    let longest = "a/".repeat(2047) + "b";
    assert_eq!(members(&named(b'L', longest.as_bytes(), b'5')).unwrap().0[0].path, longest.as_bytes());
    assert!(members(&named(b'K', longest.as_bytes(), b'2')).is_ok());
}

#[test]
fn an_old_name_with_a_slash_is_a_directory_and_links_have_no_content() {
    // The size of a link is that of its file in some old archives.
    let tar = [header("d/", 0, 0), header("l", b'1', 512), header("f", b'0', 0)].concat();
    let (members, end) = members(&tar).unwrap();
    assert!(matches!(members[0].what, What::Directory));
    assert_eq!(members[2].path, b"f");
    assert_eq!(end, End::Unmarked);
}

#[test]
fn any_bytes_are_members_or_a_fault() {
    use proptest::prelude::*;
    let mut tar = header("a", b'0', 700);
    tar.extend([0; 1024]);
    let records = [("major", b"1"), ("minor", b"0"), ("realsize", b"9")];
    let records = records.map(|(name, value)| record(&format!("GNU.sparse.{name}"), value)).concat();
    tar.extend(header("x", b'x', records.len()));
    tar.extend(&records);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    tar.extend(header("sparse", b'0', 515));
    tar.extend(b"1\n0\n3\n");
    tar.resize(tar.len().next_multiple_of(BLOCK) + BLOCK, 7);
    assert_eq!(members(&tar).unwrap().0.len(), 2);
    let changes = prop::collection::vec((0..tar.len(), any::<u8>()), 1..8);
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(changes in changes)| {
        let mut tar = tar.clone();
        for (at, byte) in changes {
            tar[at] = byte;
            let start = at / BLOCK * BLOCK;
            seal(&mut tar[start..start + BLOCK]);
        }
        let _ = members(&tar);
    });
}
