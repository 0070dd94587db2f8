//! From a tree to a plan: try a size, and know the next one worth a try if it is too small.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::alloc::Allocation;
use super::census::Census;
use super::csum::Crc32c;
use super::format::{BLOCK_SIZE, GroupDescriptor, Superblock};
use super::geometry::Geometry;
use super::groups::Usage;
use super::inode::Blocks;
use super::keep::{self, Kept};
use super::placement::{self, Placement};
use super::{BLOCKS_MAX, Options, check_size, extents};
use crate::error::Result;
use crate::fs::{Contents, no_space};
use crate::tree::{Time, Tree};

/// Blocks for each inode that a file system has at least room for: 16 KiB, as mke2fs has it.
const BLOCKS_PER_INODE: u32 = 4;
/// Inodes that stay free even if the tree has more than the size asks for: this many, and an eighth.
const SPARE_INODES: u32 = 64;

/// A tree that ext4 can hold, counted but not yet put anywhere.
pub struct Draft {
    tree: Arc<Tree>,
    options: Options,
    census: Arc<Census>,
    /// Where all is if it is to be where an earlier build had it.
    kept: Option<Kept>,
}

/// A planned file system.
pub struct Planned {
    plan: Arc<Ext4Plan>,
    size: u64,
    kept: Option<Stayed>,
}

/// How much is where the earlier build had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stayed {
    /// Inodes that have the number and all blocks that they had.
    pub inodes: usize,
    /// Of how many.
    pub of: usize,
}

/// All decisions about a file system; [`super::render`] turns them into bytes.
pub(super) struct Ext4Plan {
    pub(super) tree: Arc<Tree>,
    pub(super) census: Arc<Census>,
    pub(super) geometry: Arc<Geometry>,
    pub(super) allocation: Arc<Allocation>,
    /// The numbers of the inodes in use.
    inodes: Vec<Range<u32>>,
    pub(super) descriptors: Vec<GroupDescriptor>,
    /// What checksums begin with.
    pub(super) checksum: Crc32c,
    pub(super) hash_seed: [u32; 4],
    pub(super) options: Options,
}

impl Draft {
    /// Count `tree`. The size in `options` does not matter yet.
    ///
    /// # Errors
    /// `Input` names the path that ext4 cannot hold, or the option that is wrong.
    pub fn new(tree: &Arc<Tree>, options: &Options) -> Result<Self> {
        options.check()?;
        let census = Arc::new(Census::new(tree, hash_seed(options))?);
        Ok(Self { tree: Arc::clone(tree), options: options.clone(), census, kept: None })
    }

    /// Let inodes and blocks be where an earlier build had them, if the file system gets its size. For few blocks to differ,
    /// UUID and hash seed have to be those of the placement as well.
    ///
    /// # Errors
    /// Why that cannot be: then this draft is what it was.
    pub fn keep(&mut self, previous: &Placement) -> Result<(), String> {
        self.kept = Some(keep::keep(&self.tree, &self.census, previous)?);
        Ok(())
    }

    /// The size in bytes in which all is where an earlier build had it.
    pub fn kept_size(&self) -> Option<u64> {
        self.kept.as_ref().map(Kept::size)
    }

    /// The smallest size in bytes that is enough.
    ///
    /// # Errors
    /// `NoSpace` if no size below 16 TiB is.
    pub fn minimum_size(&self) -> Result<u64> {
        self.smallest_from(1)
    }

    /// The file system in `size` bytes, a multiple of 4096 below 16 TiB.
    ///
    /// # Errors
    /// `NoSpace` says the smallest larger size that would do.
    pub fn plan(&self, size: u64) -> Result<Contents> {
        self.lay_out(size).map(|planned| planned.contents())
    }

    /// The same, as what else can be had of it. One that is kept has the size that it had, if that is not more.
    ///
    /// # Errors
    /// As for [`Draft::plan`].
    pub fn lay_out(&self, size: u64) -> Result<Planned> {
        check_size(size)?;
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.size() <= size) {
            let plan = Ext4Plan::new(self, &kept.census, &kept.geometry, &kept.allocation);
            return Ok(Planned { plan: Arc::new(plan), size: kept.size(), kept: Some(kept.stayed) });
        }
        let blocks = (size / BLOCK_SIZE as u64) as u32;
        match self.allocate(blocks) {
            Ok((geometry, allocation)) => {
                let plan = Ext4Plan::new(self, &self.census, &Arc::new(geometry), &Arc::new(allocation));
                Ok(Planned { plan: Arc::new(plan), size, kept: None })
            }
            Err(_) => Err(no_space("ext4", self.smallest_from(blocks)?, size)),
        }
    }

    /// The smallest size in bytes from `blocks` blocks on that is enough.
    fn smallest_from(&self, blocks: u32) -> Result<u64> {
        let in_bytes = |blocks: u64| blocks.saturating_mul(BLOCK_SIZE as u64);
        let mut at = blocks;
        loop {
            match self.allocate(at) {
                Ok(_) => return Ok(in_bytes(u64::from(at))),
                Err(next) => {
                    at = u32::try_from(next)
                        .map_err(|_| no_space("ext4", in_bytes(next), in_bytes(u64::from(BLOCKS_MAX))))?;
                }
            }
        }
    }

    fn allocate(&self, blocks: u32) -> Result<(Geometry, Allocation), u64> {
        let geometry = Geometry::new(blocks, self.inodes(blocks)).map_err(|too_small| too_small.try_next)?;
        // A block more gives at most a block more of room (but for inode tables, which shrink by up to
        // a block each when there is a group more), so nothing below the next try can do.
        let allocation = Allocation::new(&self.tree, &self.census, &geometry)
            .map_err(|missing| geometry.next_blocks.max(u64::from(geometry.blocks) + missing))?;
        Ok((geometry, allocation))
    }

    fn inodes(&self, blocks: u32) -> u32 {
        let used = self.census.last_ino().0;
        used.saturating_add(used / 8).saturating_add(SPARE_INODES).max(blocks / BLOCKS_PER_INODE)
    }
}

impl Planned {
    /// Where every byte of it comes from.
    pub fn contents(&self) -> Contents {
        extents::contents(Arc::clone(&self.plan), self.size)
    }

    /// Where all of it lies, for [`Placement::read`] of a later build.
    ///
    /// # Errors
    /// If it cannot be packed.
    pub fn placement(&self) -> Result<Vec<u8>> {
        placement::write(&self.plan)
    }

    /// How much is where the earlier build had it; `None` if nothing was to be.
    pub fn stayed(&self) -> Option<Stayed> {
        self.kept
    }
}

impl Ext4Plan {
    fn new(
        draft: &Draft,
        census: &Arc<Census>,
        geometry: &Arc<Geometry>,
        allocation: &Arc<Allocation>,
    ) -> Self {
        let mut plan = Self {
            tree: Arc::clone(&draft.tree),
            census: Arc::clone(census),
            geometry: Arc::clone(geometry),
            allocation: Arc::clone(allocation),
            inodes: census.used_inodes(),
            descriptors: Vec::new(),
            checksum: Crc32c::of_file_system(draft.options.uuid),
            hash_seed: hash_seed(&draft.options),
            options: draft.options.clone(),
        };
        plan.descriptors = plan.describe_groups();
        plan
    }

    /// Which blocks and inodes are in use.
    pub(super) fn usage(&self) -> Usage<'_> {
        Usage { geometry: &self.geometry, blocks: &self.allocation.used, inodes: &self.inodes }
    }

    /// The blocks of a node of the census.
    pub(super) fn blocks(&self, index: usize) -> Blocks {
        self.allocation.node(&self.tree, &self.census, &self.geometry, index)
    }

    fn describe_groups(&self) -> Vec<GroupDescriptor> {
        let mut directories = vec![0u32; self.geometry.groups() as usize];
        let census = &self.census;
        let of_tree = census.directories.iter().map(|directory| &census.nodes[directory.index as usize]);
        let inos = of_tree.map(|node| census.number(node.id)).chain(census.lost_found());
        for ino in inos {
            directories[((ino.0 - 1) / self.geometry.inodes_per_group) as usize] += 1;
        }
        let usage = self.usage();
        let groups = (0u32..).zip(directories);
        groups.map(|(group, directories)| usage.descriptor(group, directories, self.checksum)).collect()
    }

    /// The superblock; each copy has still to be sealed.
    pub(super) fn superblock(&self) -> Superblock {
        let Self { geometry, options, .. } = self;
        let journal = self.journal_inode();
        let reserved = u64::from(geometry.blocks) * u64::from(options.reserved_percent) / 100;
        let mut sb = Superblock::new();
        sb.s_inodes_count = U32::new(geometry.inodes());
        sb.s_blocks_count_lo = U32::new(geometry.blocks);
        sb.s_r_blocks_count_lo = U32::new(reserved as u32);
        sb.s_free_blocks_count_lo = U32::new(self.usage().free_blocks());
        sb.s_free_inodes_count = U32::new(self.usage().free_inodes());
        sb.s_inodes_per_group = U32::new(geometry.inodes_per_group);
        sb.s_reserved_gdt_blocks = U16::new(geometry.reserved_blocks as u16);
        sb.s_uuid = options.uuid.0;
        sb.s_volume_name[..options.label.len()].copy_from_slice(options.label.as_bytes());
        sb.s_hash_seed = self.hash_seed.map(U32::new);

        let (created, created_hi) = superblock_time(options.created);
        (sb.s_mkfs_time, sb.s_mkfs_time_hi) = (created, created_hi);
        (sb.s_wtime, sb.s_wtime_hi) = (created, created_hi);
        (sb.s_lastcheck, sb.s_lastcheck_hi) = (created, created_hi);

        let (map, size) = sb.s_jnl_blocks.split_at_mut(15);
        map.as_mut_bytes().copy_from_slice(&journal.i_block);
        size.copy_from_slice(&[journal.i_size_high, journal.i_size_lo]);
        sb
    }
}

/// Times of the superblock have 40 bits and none before 1970.
fn superblock_time(time: Time) -> (U32, u8) {
    let seconds = time.seconds.clamp(0, (1 << 40) - 1);
    (U32::new(seconds as u32), (seconds >> 32) as u8)
}

fn hash_seed(options: &Options) -> [u32; 4] {
    let (words, _) = options.hash_seed.0.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(words[word]))
}
