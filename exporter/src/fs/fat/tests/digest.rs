//! The digest of a volume is that of its tree, whatever the type, and sees every difference.

use super::*;
use crate::tree::Detail;

/// Of the tree as FAT has it: every entry but the root at one time, nothing else known.
fn of_tree(mut tree: Tree, modified: Time) -> [u8; 32] {
    let ids: Vec<_> = tree.walk().map(|(_, _, id)| id).collect();
    ids.into_iter().for_each(|id| tree.inode_mut(id).meta.mtime = modified);
    tree.digest(Detail { holes: false, hashes: true }).unwrap()
}

#[test]
fn it_is_the_same_for_every_type() {
    let tree = esp(100_000);
    for modified in [315_532_800, 951_782_398, 951_868_800, 1_709_210_096, 4_354_819_198] {
        let modified = Time { seconds: modified, nanoseconds: 0 };
        let expected = of_tree(tree.clone(), modified);
        for (kind, size) in
            [(FatType::Fat12, 4 * MIB), (FatType::Fat16, 32 * MIB), (FatType::Fat32, 64 * MIB)]
        {
            let options = Options { kind: Some(kind), modified, ..options(size) };
            assert_eq!(
                tree_digest(&image(&tree, &options)[..], &budget()).unwrap(),
                expected,
                "{kind:?} {modified:?}"
            );
        }
    }
}

#[test]
fn it_sees_every_difference() {
    let options = options(32 * MIB);
    let digest = |tree: &Tree, options: &Options| tree_digest(&image(tree, options)[..], &budget()).unwrap();
    let (tree, mut renamed, mut longer, mut another) = (esp(5000), esp(5000), esp(5001), esp(5000));
    file(&mut renamed, Tree::ROOT, "more", b"");
    file(&mut longer, Tree::ROOT, "empty file.with a long name ★", b"");
    directory(&mut another, Tree::ROOT, "empty file.with a long name ★");
    let later = Options {
        modified: Time { seconds: options.modified.seconds + 2, nanoseconds: 0 },
        ..options.clone()
    };
    let mut flipped = image(&tree, &options);
    let at = flipped.windows(10).position(|window| window == b"configfile").unwrap();
    flipped[at] ^= 1;
    let digests = [
        digest(&tree, &options),
        digest(&renamed, &options),
        digest(&longer, &options),
        digest(&another, &options),
        digest(&tree, &later),
        tree_digest(&flipped[..], &budget()).unwrap(),
    ];
    let different: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
}

#[test]
fn a_file_without_an_end_is_an_error() {
    let tree = esp(100_000);
    let mut bytes = image(&tree, &Options { kind: Some(FatType::Fat16), ..options(32 * MIB) });
    // All of the first allocation table but its two reserved entries: no cluster has a next one.
    let reserved = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let sectors = usize::from(u16::from_le_bytes([bytes[22], bytes[23]]));
    bytes[reserved + 4..reserved + sectors * 512].fill(0);
    assert_eq!(
        tree_digest(&bytes[..], &budget()).unwrap_err().to_string(),
        "FAT volume: a file ends before its last byte"
    );
}
