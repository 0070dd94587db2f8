//! The layout of a tree that is to differ little from that of an earlier build.
//!
//! What has the same path keeps its inode number and, as far as it needs them, its blocks, whatever is in them; all else
//! goes into what is free, each time where it fits best. An earlier build may say anything: what cannot be, or is claimed
//! twice, is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::alloc::{Allocation, OwnFiles, Places, content_blocks, disk_order, needs_xattr_block};
use super::census::Census;
use super::extent_tree::{ROOT_ENTRIES, Run, block_count};
use super::format::{BLOCK_SIZE, BLOCKS_PER_GROUP, EXTENT_BLOCKS_MAX, INODES_PER_BLOCK, Ino};
use super::geometry::Geometry;
use super::inode::Blocks;
use super::placement::{self, FilePlace, Placement};
use super::plan::Stayed;
use super::ranges;
use crate::tree::Tree;

/// A layout that keeps to an earlier one.
pub(super) struct Kept {
    pub(super) census: Arc<Census>,
    pub(super) geometry: Arc<Geometry>,
    pub(super) allocation: Arc<Allocation>,
    pub(super) stayed: Stayed,
}

impl Kept {
    /// Bytes of the file system.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.geometry.blocks) * BLOCK_SIZE as u64
    }
}

/// Lay `tree` out as `previous` was; an error is why that cannot be.
pub(super) fn keep(tree: &Tree, census: &Census, previous: &Placement) -> Result<Kept, String> {
    let geometry = geometry(previous)?;
    let own = OwnFiles::new(census, &geometry).ok_or_else(full)?;
    let found: Vec<_> = placement::paths(tree, census).iter().map(|path| previous.find(path)).collect();
    let census = census.renumbered(&numbers(census, &found, &geometry)?);

    let wanted = |index| Wanted {
        blocks: content_blocks(tree, &census, index),
        has_xattrs: needs_xattr_block(tree.inode(census.nodes[index].id)),
    };
    let claim = |(index, file): (usize, &Option<&FilePlace>)| {
        file.map(|file| wanted(index).claim(previous, file)).unwrap_or_default()
    };
    let mut places: Vec<Blocks> = found.iter().enumerate().map(claim).collect();
    let taken =
        ranges::merged(std::iter::once(0..own.end).chain(geometry.fixed_in(own.end..geometry.blocks)));
    let mut free = FreeSpace::new(geometry.blocks, refuse_overlaps(&mut places, taken, geometry.blocks));
    let mut stayed = 0;
    for index in disk_order(tree, &census) {
        let has_stayed = wanted(index).complete(&mut places[index], &mut free).ok_or_else(full)?;
        let ino = census.number(census.nodes[index].id);
        stayed += usize::from(has_stayed && found[index].is_some_and(|file| file.ino == ino));
    }
    let allocation = Allocation { own, places: Places::Kept(places), used: free.complement(geometry.blocks) };
    Ok(Kept {
        stayed: Stayed { inodes: stayed, of: census.nodes.len() },
        census: Arc::new(census),
        geometry: Arc::new(geometry),
        allocation: Arc::new(allocation),
    })
}

fn full() -> String {
    "all of it no longer fits the file system that it was".to_owned()
}

/// The geometry of the earlier build.
fn geometry(previous: &Placement) -> Result<Geometry, String> {
    let &Placement { blocks, inodes_per_group, .. } = previous;
    let none = || format!("no file system has {blocks} blocks and {inodes_per_group} inodes in each group");
    let inodes = blocks.div_ceil(BLOCKS_PER_GROUP).checked_mul(inodes_per_group);
    let inodes = inodes.filter(|_| (INODES_PER_BLOCK..=BLOCKS_PER_GROUP).contains(&inodes_per_group));
    let geometry = Geometry::new(blocks, inodes.ok_or_else(none)?).map_err(|_| none())?;
    let is_same = geometry.blocks == blocks && geometry.inodes_per_group == inodes_per_group;
    if is_same { Ok(geometry) } else { Err(none()) }
}

/// A number for each node: the one that it had, or else the lowest that is free.
fn numbers(census: &Census, found: &[Option<&FilePlace>], geometry: &Geometry) -> Result<Vec<Ino>, String> {
    let first = census.first_ino();
    let below_root = || (0..).zip(found).skip(1);
    let claims = below_root().filter_map(|(node, file)| Some((file.as_ref()?.ino.0, node)));
    let mut claims: Vec<(u32, usize)> =
        claims.filter(|(ino, _)| (first..=geometry.inodes()).contains(ino)).collect();
    claims.sort_unstable();
    claims.dedup_by_key(|(ino, _)| *ino);
    let mut numbers = vec![Ino(0); found.len()];
    numbers[0] = Ino::ROOT;
    for (ino, node) in &claims {
        numbers[*node] = Ino(*ino);
    }
    let mut taken = claims.iter().map(|(ino, _)| *ino).peekable();
    let mut next = first;
    for number in numbers.iter_mut().filter(|number| number.0 == 0) {
        while taken.next_if_eq(&next).is_some() {
            next += 1;
        }
        if next > geometry.inodes() {
            return Err("it has too few inodes for what is there now".to_owned());
        }
        *number = Ino(next);
        next += 1;
    }
    Ok(numbers)
}

/// The blocks that a node needs.
struct Wanted {
    /// Of its content, as ranges of the file.
    blocks: Vec<Range<u64>>,
    has_xattrs: bool,
}

impl Wanted {
    /// What it still needs of the blocks that it had.
    fn claim(&self, previous: &Placement, file: &FilePlace) -> Blocks {
        let mut blocks = Blocks::default();
        let mut wanted = self.blocks.iter().peekable();
        for run in previous.runs(file) {
            let end = u64::from(run.logical) + u64::from(run.len);
            while let Some(range) = wanted.peek().filter(|range| range.start < end) {
                let start = range.start.max(run.logical.into());
                let both = start..range.end.min(end).max(start);
                blocks.tree.runs.extend((both.start < both.end).then(|| Run {
                    logical: both.start as u32,
                    physical: run.physical + (both.start as u32 - run.logical),
                    len: (both.end - both.start) as u32,
                }));
                if range.end > end {
                    break;
                }
                wanted.next();
            }
        }
        let is_whole = self.missing(&blocks.tree.runs).is_empty();
        if !is_whole && blocks.tree.runs.len() >= ROOT_ENTRIES {
            // What grows again and again would come into more and more pieces.
            blocks.tree.runs.clear();
        }
        let tree_blocks = block_count(blocks.tree.runs.len());
        blocks.tree.blocks = previous.tree_blocks(file).take(tree_blocks).collect();
        blocks.xattrs = if self.has_xattrs { file.xattrs } else { 0 };
        blocks
    }

    /// The ranges that are in none of `runs`, which are in these ranges.
    fn missing(&self, runs: &[Run]) -> Vec<Range<u64>> {
        let mut runs = runs.iter().peekable();
        let mut missing = Vec::new();
        for range in &self.blocks {
            let mut at = range.start;
            while let Some(run) = runs.next_if(|run| u64::from(run.logical) < range.end) {
                missing.push(at..run.logical.into());
                at = u64::from(run.logical) + u64::from(run.len);
            }
            missing.push(at..range.end);
        }
        missing.retain(|range| !range.is_empty());
        missing
    }

    /// Give `blocks` what is missing, out of what is `free`; whether nothing is. `None` if there is too little.
    fn complete(&self, blocks: &mut Blocks, free: &mut FreeSpace) -> Option<bool> {
        let mut has_stayed = true;
        for range in self.missing(&blocks.tree.runs) {
            has_stayed = false;
            let mut logical = range.start;
            while logical < range.end {
                let found = free.take((range.end - logical).min(EXTENT_BLOCKS_MAX.into()) as u32)?;
                let len = found.end - found.start;
                blocks.tree.runs.push(Run { logical: logical as u32, physical: found.start, len });
                logical += u64::from(len);
            }
        }
        blocks.tree.runs.sort_unstable_by_key(|run| run.logical);
        while blocks.tree.blocks.len() < block_count(blocks.tree.runs.len()) {
            has_stayed = false;
            blocks.tree.blocks.push(free.take(1)?.start);
        }
        if self.has_xattrs && blocks.xattrs == 0 {
            has_stayed = false;
            blocks.xattrs = free.take(1)?.start;
        }
        Some(has_stayed)
    }
}

/// Take away all blocks of each node that claims one that is not there or is taken already, by `taken` or a node whose
/// claim lies before it. What is taken then.
fn refuse_overlaps(places: &mut [Blocks], taken: Vec<Range<u32>>, end: u32) -> Vec<Range<u32>> {
    let of_node = |(node, blocks)| claimed(blocks).map(move |range| (range, node));
    let mut claims: Vec<_> =
        places.iter().zip(0usize..).map(|(blocks, node)| (node, blocks)).flat_map(of_node).collect();
    claims.sort_unstable_by_key(|(range, node)| (range.start, *node));
    let mut reached = 0;
    for (range, node) in claims {
        let is_free = range.start >= reached && range.end <= end && ranges::count(&taken, range.clone()) == 0;
        if is_free {
            reached = range.end;
        } else {
            places[node] = Blocks::default();
        }
    }
    let mut all: Vec<_> = taken.into_iter().chain(places.iter().flat_map(claimed)).collect();
    all.sort_unstable_by_key(|range| range.start);
    ranges::merged(all)
}

/// All blocks of a node. None ends beyond 32 bits.
fn claimed(blocks: &Blocks) -> impl Iterator<Item = Range<u32>> + '_ {
    let runs = blocks.tree.runs.iter().map(|run| run.physical..run.physical + run.len);
    let single = blocks.tree.blocks.iter().copied().chain(Some(blocks.xattrs).filter(|block| *block != 0));
    runs.chain(single.map(|block| block..block + 1))
}

/// What is free, by place and by length.
struct FreeSpace {
    by_start: BTreeMap<u32, u32>,
    by_len: BTreeSet<(u32, u32)>,
}

impl FreeSpace {
    /// All of `blocks` blocks but what is `taken`.
    fn new(blocks: u32, taken: Vec<Range<u32>>) -> Self {
        let (mut free, mut at) = (Self { by_start: BTreeMap::new(), by_len: BTreeSet::new() }, 0);
        for range in taken.into_iter().chain(std::iter::once(blocks..blocks)) {
            free.add(at..range.start);
            at = range.end;
        }
        free
    }

    fn add(&mut self, range: Range<u32>) {
        if !range.is_empty() {
            self.by_start.insert(range.start, range.end);
            self.by_len.insert((range.end - range.start, range.start));
        }
    }

    /// Up to `len` blocks in a row: the begin of the shortest range that has so many, else all of the longest there is.
    fn take(&mut self, len: u32) -> Option<Range<u32>> {
        let fits = self.by_len.range((len, 0)..).next().copied();
        let (found, start) = fits.or_else(|| self.by_len.last().copied())?;
        self.by_len.remove(&(found, start));
        self.by_start.remove(&start);
        let taken = start..start + found.min(len);
        self.add(taken.end..start + found);
        Some(taken)
    }

    /// What is not free of `blocks` blocks.
    fn complement(&self, blocks: u32) -> Vec<Range<u32>> {
        let ends = std::iter::once(0).chain(self.by_start.values().copied());
        let starts = self.by_start.keys().copied().chain(std::iter::once(blocks));
        ranges::merged(ends.zip(starts).map(|(end, start)| end..start))
    }
}
