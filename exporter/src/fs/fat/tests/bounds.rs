//! Volumes around the bounds of every FAT type at every cluster size, with both sizes of sectors.

use super::super::geometry::{Geometry, Shape};
use super::*;
use crate::testing::write_sparse;

/// The number of which `said` tells behind `label`, or before it.
fn number(said: &str, label: &str) -> u64 {
    let line = said.lines().find(|line| line.contains(label)).unwrap_or_else(|| panic!("{label}: {said}"));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (before, behind) = line.split_once(label).unwrap();
    let behind = behind.split_whitespace().next().map(digits).unwrap_or_default();
    if label.ends_with(':') { behind.parse() } else { digits(before).parse() }.unwrap()
}

/// A volume of `size` bytes is what fsck.fat and minfo take for the type it says it is.
fn assert_accepted(tree: &Tree, options: &Options) {
    let scratch = Scratch::new();
    let path = scratch.file("fat");
    let layout = plan(tree, options).unwrap();
    write_sparse(&path, layout.size, &*layout.extents);
    let path = path.to_str().unwrap();

    let fsck = accepts("fsck.fat", &["-n", "-v", path]);
    let minfo = accepts("minfo", &["-i", path, "::"]);
    let (_, kind) = minfo.split_once("disk type=\"").unwrap();
    let clusters = number(&fsck, " data clusters");
    let possible = match &kind[..5] {
        "FAT12" => 1..4085,
        "FAT16" => 4085..65_525,
        "FAT32" => 65_525..0x0fff_fff5,
        other => panic!("{other}"),
    };
    assert!(possible.contains(&clusters), "{options:?}: {clusters} clusters, {}", &kind[..5]);
    assert!(options.kind.is_none_or(|asked| asked.name() == &kind[..5]), "{options:?}: {minfo}");
    assert_eq!(number(&minfo, "sector size:"), u64::from(options.sector_size));
    assert_eq!(number(&minfo, "hidden sectors:"), options.hidden_sectors);
}

/// The largest size in bytes, up to `limit`, at which a shape is possible.
fn largest(shape: Shape, limit: u64) -> Option<u64> {
    let possible = |sectors: u64| Geometry::new(shape, sectors * shape.sector_size, 0).is_some();
    let (mut low, mut high) = (shape.size_for(0, 0) / shape.sector_size, limit / shape.sector_size);
    if !possible(low) || possible(high) {
        return None;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if possible(middle) { low = middle } else { high = middle }
    }
    Some(low * shape.sector_size)
}

/// Sizes around which the type or the cluster size changes, with the sectors they are of.
fn bounds(kinds: &[FatType], limit: u64) -> Vec<(FatType, u32, u64)> {
    let mut bounds = Vec::new();
    for &kind in kinds {
        for sector_size in [512, 4096] {
            for shape in Shape::all(Some(kind), sector_size) {
                let ends = [Some(shape.size_for(0, 0)), largest(shape, 1 << 41)];
                bounds.extend(ends.into_iter().flatten().map(|size| (kind, sector_size, size)));
            }
        }
    }
    bounds.retain(|&(_, _, size)| size < limit);
    bounds
}

/// Every volume within `sectors` of a bound that can be: with the type asked for, and with any. Their
/// number.
fn sweep(kinds: &[FatType], limit: u64, sectors: i64) -> usize {
    let tree = esp(5000);
    let mut accepted = 0;
    for (kind, sector_size, bound) in bounds(kinds, limit) {
        for step in -sectors..=sectors {
            let Some(size) = bound.checked_add_signed(step * i64::from(sector_size)) else { continue };
            for kind in [Some(kind), None] {
                let options = Options { kind, sector_size, ..options(size) };
                // A shape may end where a better one has begun long before, or before the next begins.
                if plan(&tree, &options).is_ok() {
                    assert_accepted(&tree, &options);
                    accepted += 1;
                }
            }
        }
    }
    accepted
}

#[test]
fn small_volumes_are_of_their_type_at_every_bound() {
    let accepted = sweep(&[FatType::Fat12, FatType::Fat16], 70 * MIB, 1);
    assert!(accepted > 90, "{accepted}");
}

#[test]
fn fat32_never_has_too_few_clusters() {
    let accepted = sweep(&[FatType::Fat32], 300 * MIB, 1);
    assert!(accepted > 20, "{accepted}");
}

#[test]
#[ignore = "long: make matrix"]
fn volumes_are_of_their_type_at_every_bound() {
    let accepted = sweep(&[FatType::Fat12, FatType::Fat16, FatType::Fat32], 40 << 30, 20);
    assert!(accepted > 2000, "{accepted}");
}
