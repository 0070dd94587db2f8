//! Builds after builds: what is the same stays where it was, and whatever a placement says, the file system is right.

use std::sync::Arc;

use exporter::fs::ext4::{Draft, Options, Placement, Planned};
use exporter::tree::{InodeId, InodeKind, Time, Tree};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Image, MIB, dir, empty_tree, file, options, pattern};
use crate::tree_digest;
use crate::trees::random::{Step, build, config, steps};

const SIZE: u64 = 64 * MIB;

/// The file system of `tree` in `size` bytes, after the placement of an earlier build.
fn planned(tree: &Tree, size: u64, previous: Option<&[u8]>) -> Planned {
    let previous = previous.map(|packed| Placement::read(packed).unwrap());
    let names = previous.as_ref().map(|previous| (previous.uuid(), previous.hash_seed()));
    let asked = options(size);
    let (uuid, hash_seed) = names.unwrap_or((asked.uuid, asked.hash_seed));
    // Each build has its own time.
    let created = Time { seconds: 1_700_000_000 + i64::from(previous.is_some()), nanoseconds: 0 };
    let options = Options { uuid, hash_seed, created, ..asked };
    let mut draft = Draft::new(&Arc::new(tree.clone()), &options).unwrap();
    if let Some(previous) = &previous {
        // Else all is as without one.
        let _ = draft.keep(previous);
    }
    draft.lay_out(size).unwrap()
}

/// The image, clean and with all of `tree` in it.
fn image(planned: &Planned, tree: &Tree) -> Image {
    let image = Image::written("ext4", &planned.contents());
    image.assert_clean();
    assert_eq!(tree_digest::of_image(&image), tree_digest::of_tree(tree));
    image
}

/// How many blocks of so many bytes differ.
fn differing(one: &Image, other: &Image, block: usize) -> usize {
    let [one, other] = [one, other].map(|image| std::fs::read(image.path()).unwrap());
    assert_eq!(one.len(), other.len());
    one.chunks(block).zip(other.chunks(block)).filter(|(one, other)| one != other).count()
}

/// Two thousand files in forty directories, one of them an app with a program; 24 MB.
fn system() -> Tree {
    let mut tree = empty_tree();
    for number in 0..40 {
        let folder = dir(&mut tree, Tree::ROOT, format!("dir{number:02}").as_bytes());
        for file_number in 0..50 {
            let len = (number * 977 + file_number * 1543) % 24_000;
            let content = pattern(len, (number * 50 + file_number) as u64);
            file(&mut tree, folder, format!("file{file_number}").as_bytes(), content);
        }
    }
    let app = dir(&mut tree, Tree::ROOT, b"app");
    file(&mut tree, app, b"server", pattern(300_000, 1));
    file(&mut tree, app, b"settings", pattern(5000, 2));
    tree
}

/// Give a file another content, at another time.
fn write(tree: &mut Tree, path: &str, content: Vec<u8>) {
    let id = tree.resolve(path).unwrap();
    let inode = tree.inode_mut(id);
    inode.meta.mtime.seconds += 1000;
    inode.kind = InodeKind::File(exporter::tree::Content::Bytes(content.into()));
}

fn folder(tree: &Tree, path: &str) -> InodeId {
    tree.resolve(path).unwrap()
}

fn take(tree: &mut Tree, directory: &str, name: &str) -> InodeId {
    let directory = folder(tree, directory);
    let InodeKind::Directory(entries) = &mut tree.inode_mut(directory).kind else { panic!("a directory") };
    entries.remove(name.as_bytes()).unwrap()
}

type Edit = (&'static str, fn(&mut Tree));

const EDITS: [Edit; 7] = [
    ("another content", |tree| write(tree, "/app/server", pattern(300_000, 77))),
    ("a file that has grown", |tree| write(tree, "/app/server", pattern(309_000, 77))),
    ("a file that has shrunk", |tree| write(tree, "/app/server", pattern(200_000, 77))),
    ("one file more", |tree| {
        let at = folder(tree, "/dir00");
        file(tree, at, b"0 first of all", pattern(9000, 5));
    }),
    ("one file less", |tree| {
        take(tree, "/dir00", "file7");
    }),
    ("another name", |tree| {
        let id = take(tree, "/dir03", "file9");
        let at = folder(tree, "/dir03");
        tree.link(at, b"another", id);
    }),
    ("a directory more", |tree| {
        let at = dir(tree, Tree::ROOT, b"a new one");
        file(tree, at, b"file", pattern(100, 1));
    }),
];

#[test]
fn a_small_edit_changes_few_blocks() {
    let tree = system();
    let first = planned(&tree, SIZE, None);
    let placement = first.placement().unwrap();
    let before = image(&first, &tree);
    let mut swept = Vec::new();
    for (what, edit) in EDITS {
        let mut tree = tree.clone();
        edit(&mut tree);
        let next = planned(&tree, SIZE, Some(&placement));
        let stayed = next.stayed().unwrap();
        assert!(stayed.of - stayed.inodes <= 2, "{what}: {stayed:?}");
        let after = image(&next, &tree);
        let large = differing(&before, &after, 65_536);
        let small = differing(&before, &after, 4096);
        println!("{what}: {large} blocks of 64 KiB, {small} of 4 KiB");
        assert!(large * 50 <= (SIZE / 65_536) as usize, "{what}: {large} of 64 KiB differ");
        assert!(small <= 76 + 24, "{what}: {small} of 4 KiB differ, of which the file has 76");
        swept.push(differing(&before, &image(&planned(&tree, SIZE, None), &tree), 65_536));
    }
    // What it is for: without the placement most of 24 MB moves.
    assert!(swept.iter().filter(|large| **large > 200).count() >= 3, "{swept:?}");
}

#[test]
fn the_same_tree_after_itself_is_the_same_file_system() {
    let tree = system();
    let first = planned(&tree, SIZE, None);
    let placement = first.placement().unwrap();
    let mut draft = Draft::new(&Arc::new(tree.clone()), &options(SIZE)).unwrap();
    draft.keep(&Placement::read(&placement).unwrap()).unwrap();
    // There is room for a larger one.
    let next = draft.lay_out(SIZE + 5 * MIB).unwrap();
    assert_eq!(next.contents().size, SIZE);
    let (before, after) = (image(&first, &tree), image(&next, &tree));
    assert_eq!(differing(&before, &after, 4096), 0);
    assert_eq!(next.placement().unwrap(), placement);
    assert_eq!(next.stayed().map(|stayed| stayed.of - stayed.inodes), Some(0));
    // And where there is less, all is as without one.
    let smaller = draft.lay_out(SIZE - 5 * MIB).unwrap();
    assert_eq!((smaller.contents().size, smaller.stayed()), (SIZE - 5 * MIB, None));
    image(&smaller, &tree);
}

#[test]
fn a_file_system_that_all_no_longer_fits_is_not_kept() {
    let mut tree = system();
    let placement = planned(&tree, SIZE, None).placement().unwrap();
    file(&mut tree, Tree::ROOT, b"large", pattern(45 * MIB as usize, 3));
    let mut draft = Draft::new(&Arc::new(tree), &options(0)).unwrap();
    let why = draft.keep(&Placement::read(&placement).unwrap()).unwrap_err();
    assert!(why.contains("no longer fits"), "{why}");
    assert_eq!(draft.kept_size(), None);
}

#[test]
fn a_placement_is_small_and_of_the_same_bytes_each_time() {
    let mut tree = empty_tree();
    for number in 0..100 {
        let folder = dir(&mut tree, Tree::ROOT, format!("{number}").as_bytes());
        for name in 0..500 {
            file(&mut tree, folder, format!("a file of the system {name}").as_bytes(), [1]);
        }
    }
    let plan = planned(&tree, 512 * MIB, None);
    let packed = plan.placement().unwrap();
    println!("{} bytes for 50,000 files", packed.len());
    assert!(packed.len() <= 1 << 20, "{}", packed.len());
    assert_eq!(plan.placement().unwrap(), packed);
}

/// What is changed from one generation to the next.
#[derive(Clone, Debug)]
struct Change {
    /// Where in the steps, and how many of them go.
    at: usize,
    gone: usize,
    new: Vec<Step>,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let some = steps().prop_map(|mut steps| {
        steps.truncate(8);
        steps
    });
    vec((any::<usize>(), 0..6usize, some).prop_map(|(at, gone, new)| Change { at, gone, new }), 5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..config() })]

    #[test]
    fn generations_of_random_trees_come_back(mut steps in steps(), changes in changes()) {
        let mut placement: Option<Vec<u8>> = None;
        for Change { at, gone, new } in changes {
            let host = tempfile::tempdir().unwrap();
            let tree = build(steps.clone(), host.path());
            let plan = planned(&tree, SIZE, placement.as_deref());
            image(&plan, &tree);
            placement = Some(plan.placement().unwrap());
            let at = at % (steps.len() + 1);
            let end = (at + gone).min(steps.len());
            steps.splice(at..end, new);
        }
    }
}

/// A small tree with all that a placement tells of, and the unpacked placement of it.
fn small() -> (Tree, Vec<u8>) {
    let mut tree = empty_tree();
    let folder = dir(&mut tree, Tree::ROOT, b"folder");
    for number in 0..20 {
        file(&mut tree, folder, format!("{number}").as_bytes(), pattern(number * 3000, number as u64));
    }
    let long = file(&mut tree, folder, b"attributes", [1]);
    let xattrs = &mut tree.inode_mut(long).meta.xattrs;
    xattrs.insert((*b"user.long").into(), vec![7; 900].into());
    tree.insert(
        folder,
        b"link",
        exporter::tree::Inode {
            meta: crate::support::meta(0o777),
            kind: InodeKind::Symlink(vec![b'a'; 100].into()),
        },
    );
    let plan = planned(&tree, 16 * MIB, None);
    (tree, zstd::decode_all(&plan.placement().unwrap()[MAGIC.len()..]).unwrap())
}

const MAGIC: &[u8] = b"vmiplace";
const HEADER: usize = 56;
/// Where in the header numbers are.
const FORMAT: usize = 32;
const BLOCKS: usize = 36;
const INODES: usize = 40;
const RECORDS: usize = 44;
const RUNS: usize = 48;
const TREE_BLOCKS: usize = 52;
const RECORD: usize = 24;

fn pack(plain: &[u8]) -> Vec<u8> {
    [MAGIC, &zstd::encode_all(plain, 3).unwrap()].concat()
}

/// Whatever a placement says: it is refused, or what is made is right. Whether it was read.
fn survives(tree: &Tree, plain: &[u8]) -> bool {
    let Ok(placement) = Placement::read(&pack(plain)) else { return false };
    let mut draft = Draft::new(&Arc::new(tree.clone()), &options(0)).unwrap();
    let size = match draft.keep(&placement) {
        Ok(()) => draft.kept_size().unwrap().min(64 * MIB),
        Err(_) => 16 * MIB,
    };
    image(&draft.lay_out(size).unwrap(), tree);
    true
}

#[test]
fn lies_of_a_placement_are_refused_or_harmless() {
    let (tree, plain) = small();
    let word = |at: usize| u32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
    let records = word(RECORDS) as usize;
    let runs = HEADER + records * RECORD;
    let with = |at: usize, value: u32| {
        let mut plain = plain.clone();
        plain[at..at + 4].copy_from_slice(&value.to_le_bytes());
        plain
    };
    assert!(survives(&tree, &plain));
    for (what, plain, is_read) in [
        ("format", with(FORMAT, 2), false),
        ("no blocks", with(BLOCKS, 0), true),
        ("all blocks", with(BLOCKS, u32::MAX), true),
        ("no inodes", with(INODES, 0), true),
        ("odd inodes", with(INODES, 17), true),
        ("all inodes", with(INODES, u32::MAX), true),
        ("more records", with(RECORDS, word(RECORDS) + 1), false),
        ("endless records", with(RECORDS, u32::MAX), false),
        ("endless runs", with(RUNS, u32::MAX), false),
        ("endless blocks", with(TREE_BLOCKS, u32::MAX), false),
        ("a number twice", with(HEADER + 2 * RECORD + 8, 0), true),
        ("a reserved number", with(HEADER + RECORD + 8, 5), true),
        ("a number far beyond", with(HEADER + 3 * RECORD + 8, u32::MAX / 2), true),
        ("attributes in the superblock", with(HEADER + 3 * RECORD + 12, 1), true),
        ("attributes at the end of all", with(HEADER + 3 * RECORD + 12, u32::MAX), false),
        ("all runs of one", with(HEADER + 3 * RECORD + 16, word(RUNS)), false),
        ("a run in the metadata", with(runs + 4, 2), true),
        ("runs on each other", with(runs + 12 + 4, 0_u32.wrapping_sub(1)), true),
        ("a run beyond the end", with(runs + 12 + 4, 1 << 30), true),
        ("a run without blocks", with(runs + 8, 0), false),
        ("a run of too many", with(runs + 8, 40_000), false),
        ("a run beyond all numbers", with(runs, u32::MAX), false),
    ] {
        assert_eq!(survives(&tree, &plain), is_read, "{what}");
    }
    for cut in [0, 1, HEADER, plain.len() - 1] {
        assert!(!survives(&tree, &plain[..cut]), "{cut}");
    }
    for garbage in [&b""[..], b"vmiplac", b"vmiplace", b"no zstd at all"] {
        assert!(Placement::read(garbage).is_err());
    }
}

#[test]
fn what_is_claimed_twice_has_one_owner() {
    let (tree, mut plain) = small();
    let records = u32::from_le_bytes(plain[RECORDS..RUNS].try_into().unwrap()) as usize;
    // Every run begins where the first one does.
    let runs = HEADER + records * RECORD;
    let count = u32::from_le_bytes(plain[RUNS..TREE_BLOCKS].try_into().unwrap()) as usize;
    for run in 1..count {
        let before = u32::from_le_bytes(plain[runs + (run - 1) * 12 + 8..][..4].try_into().unwrap());
        plain[runs + run * 12 + 4..][..4].copy_from_slice(&0_u32.wrapping_sub(before).to_le_bytes());
    }
    let packed = pack(&plain);
    let mut draft = Draft::new(&Arc::new(tree.clone()), &options(0)).unwrap();
    draft.keep(&Placement::read(&packed).unwrap()).unwrap();
    let plan = draft.lay_out(16 * MIB).unwrap();
    let stayed = plan.stayed().unwrap();
    assert!(stayed.inodes < stayed.of - 15, "{stayed:?}");
    image(&plan, &tree);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..config() })]

    #[test]
    fn no_bytes_of_a_placement_break_a_file_system(changed in vec((any::<usize>(), any::<u8>()), 1..12)) {
        let (tree, mut plain) = small();
        for (at, byte) in changed {
            // The geometry is no larger than a test has time for.
            let at = HEADER + at % (plain.len() - HEADER);
            plain[at] = byte;
        }
        survives(&tree, &plain);
    }
}

/// What it costs in time: `make bench BENCH='--only stable'`.
#[test]
#[ignore = "long: make matrix"]
fn an_edit_in_half_a_gigabyte_is_two_percent_of_it_at_most() {
    let mut tree = empty_tree();
    for number in 0..400 {
        let folder = dir(&mut tree, Tree::ROOT, format!("dir{number:03}").as_bytes());
        for file_number in 0..50 {
            let len = (number * 9973 + file_number * 15_431) % 52_000;
            let content = pattern(len, (number * 50 + file_number) as u64);
            file(&mut tree, folder, format!("file{file_number}").as_bytes(), content);
        }
    }
    // In front of all others: without a placement they move.
    file(&mut tree, Tree::ROOT, b"app", pattern(8 << 20, 1));
    let size = 800 * MIB;
    let laid_out = |tree: &Tree, previous: Option<&[u8]>| {
        let plan = planned(tree, size, previous);
        let image = Image::written("ext4", &plan.contents());
        (plan, image)
    };
    let (first, before) = laid_out(&tree, None);
    let placement = first.placement().unwrap();
    write(&mut tree, "/app", pattern((8 << 20) + 5000, 2));
    let (_, swept) = laid_out(&tree, None);
    let (_, kept) = laid_out(&tree, Some(&placement));
    let count = |image: &Image| differing(&before, image, 65_536);
    let (swept, kept) = (count(&swept), count(&kept));
    let all = size / 65_536;
    assert!(
        kept as u64 * 50 <= all && kept < swept,
        "of {all} blocks {swept} differ, with a placement {kept}"
    );
}
