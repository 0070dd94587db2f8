//! Which clusters of a new file are in use, and for what.

use zerocopy::byteorder::big_endian::U64;

use crate::engine::RawImage;

pub(super) const CLUSTER_BITS: u32 = 16;
pub(super) const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of an L2 table, and of a cluster of any table of 64-bit entries.
const ENTRIES: u64 = CLUSTER / 8;
/// Entries of a refcount block, 16 bits each.
pub(super) const COUNTS: u64 = CLUSTER / 2;

/// Where the tables lie, in clusters; in front they are large enough for whatever the image may need.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) l1_entries: u64,
    pub(super) l1: u64,
    pub(super) refcount_table: u64,
    pub(super) refcount_blocks: u64,
    end: u64,
}

impl Tables {
    pub(super) fn in_front(image: RawImage<'_>) -> Self {
        let guest_clusters = image.size.div_ceil(CLUSTER);
        let spanned = image.extents.iter().filter(|extent| extent.len > 0);
        let spanned: u64 =
            spanned.map(|extent| extent.end().div_ceil(CLUSTER) - extent.offset / CLUSTER).sum();
        let data = spanned.min(guest_clusters);
        Self::at(1, image.size, data + data.min(l1_entries(image.size)))
    }

    /// From cluster `l1` on, of a disk of `size` bytes, with `more` clusters behind them.
    pub(super) fn at(l1: u64, size: u64, more: u64) -> Self {
        let l1_entries = l1_entries(size);
        let refcount_table = l1 + l1_entries.div_ceil(ENTRIES).max(1);
        // The blocks count themselves too: grow them until they count everything.
        let (mut blocks, mut table) = (1, 1);
        loop {
            let all = refcount_table + table + blocks + more;
            let needed = (all.div_ceil(COUNTS), blocks.div_ceil(ENTRIES));
            if needed <= (blocks, table) {
                break;
            }
            (blocks, table) = (needed.0.max(blocks), needed.1.max(table));
        }
        let refcount_blocks = refcount_table + table;
        Self { l1_entries, l1, refcount_table, refcount_blocks, end: refcount_blocks + blocks }
    }
}

/// Entries of the L1 table of a disk of `size` bytes.
pub(super) fn l1_entries(size: u64) -> u64 {
    size.div_ceil(CLUSTER).div_ceil(ENTRIES)
}

/// The clusters of the file that are in use so far.
pub(super) struct Clusters {
    /// Reference counts from cluster 0 on; its length is the next free cluster.
    pub(super) counts: Vec<u16>,
    /// Where the next compressed cluster of the guest may start: behind the last one.
    packed_end: u64,
    /// L2 tables that are not empty, by their place in the L1 table, ascending.
    pub(super) l2: Vec<(u64, Vec<U64>)>,
    /// Up to which byte of the disk the base was compared.
    pub(super) compared: u64,
}

impl Clusters {
    /// With nothing but the header.
    pub(super) fn new() -> Self {
        Self { counts: vec![1], packed_end: 0, l2: Vec::new(), compared: 0 }
    }

    /// Take the places of the tables, which begin at the first free one.
    pub(super) fn reserve(&mut self, tables: &Tables) {
        self.counts.resize(tables.refcount_blocks as usize, 1);
        self.counts.resize(tables.end as usize, 0);
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.counts.len() as u64 * CLUSTER
    }

    pub(super) fn allocate_plain(&mut self) -> u64 {
        let offset = self.next_offset();
        self.counts.push(1);
        offset
    }

    /// A place for `len` bytes, each of whose clusters counts one reference more.
    pub(super) fn allocate_packed(&mut self, len: u64) -> u64 {
        let room = self.packed_end.next_multiple_of(CLUSTER) - self.packed_end;
        let can_grow = self.packed_end + room == self.next_offset();
        if len > room && !can_grow {
            self.packed_end = self.next_offset();
        }
        let start = self.packed_end;
        self.packed_end += len;
        while self.next_offset() < self.packed_end {
            self.counts.push(0);
        }
        let touched = (start / CLUSTER) as usize..=((self.packed_end - 1) / CLUSTER) as usize;
        self.counts[touched].iter_mut().for_each(|count| *count += 1);
        start
    }

    pub(super) fn map(&mut self, guest_cluster: u64, entry: u64) {
        let table = guest_cluster / ENTRIES;
        if self.l2.last().is_none_or(|(last, _)| *last != table) {
            self.l2.push((table, vec![U64::ZERO; ENTRIES as usize]));
        }
        if let Some((_, entries)) = self.l2.last_mut() {
            entries[(guest_cluster % ENTRIES) as usize] = entry.into();
        }
    }
}
