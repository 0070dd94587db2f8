//! What is wrong with the tables of a qcow2 file: what `qemu-img check` calls errors, not what it calls leaks.

use std::ops::Range;

use super::format::{COMPRESSED, COPIED, Header, L1_RESERVED, L2_RESERVED, OFFSET, REFCOUNT_TABLE_RESERVED};
use super::read::{Mapping, Reader, corrupt};
use crate::container::check::Findings;
use crate::error::Result;
use crate::read_at::ReadAt;

impl<F: ReadAt> Reader<F> {
    /// Reads every table.
    pub fn check(&self) -> Vec<String> {
        let mut findings = Findings::of(&self.file, self.cluster_size());
        self.check_metadata(&mut findings);
        for (index, entry) in (0..).zip(&self.l1) {
            if findings.is_full() {
                break;
            }
            self.check_l1(index, entry.get(), &mut findings);
        }
        findings.named("qcow2")
    }

    /// The header, the L1 table and the reference counts: nothing else may lie there.
    fn check_metadata(&self, findings: &mut Findings) {
        let header = &self.header;
        let from = |start: u64, len: u64| start..start.saturating_add(len);
        findings.takes("the header", self.cluster_at(0));
        findings.takes("the L1 table", from(header.l1_table_offset.get(), 8 * self.l1.len() as u64));
        let start = header.refcount_table_offset.get();
        findings.takes("the refcount table", from(start, 8 * self.refcount_blocks()));
        for index in 0..self.refcount_blocks() {
            if findings.is_full() {
                break;
            }
            match self.refcount_block(index) {
                Ok(0) => {}
                Ok(block) => {
                    findings.takes(format_args!("refcount block {index}"), self.cluster_at(block));
                }
                Err(error) => findings.problem(error.message()),
            }
        }
    }

    fn check_l1(&self, index: u64, entry: u64, findings: &mut Findings) {
        if entry & L1_RESERVED != 0 {
            findings.problem(format!("L1 entry {index} has bits that mean nothing"));
        }
        match self.l2_table(index) {
            Ok(None) => {}
            Ok(Some(table)) => {
                // One that is read twice might be read without end.
                if self.check_place(&format!("L2 table {index}"), table, entry, findings) {
                    self.check_l2(index * self.l2_len(), table, findings);
                }
            }
            Err(error) => findings.problem(error.message()),
        }
    }

    /// The entries of a table, the first of which is that of the cluster `first`.
    fn check_l2(&self, first: u64, table: u64, findings: &mut Findings) {
        for cluster in first..first.saturating_add(self.l2_len()) {
            if findings.is_full() {
                break;
            }
            let entry = self.l2_entry(table, cluster);
            let checked = entry.and_then(|entry| self.check_cluster(cluster, entry, findings));
            if let Err(error) = checked {
                findings.problem(error.message());
            }
        }
    }

    fn check_cluster(&self, cluster: u64, entry: u64, findings: &mut Findings) -> Result<()> {
        if entry & COMPRESSED == 0 && entry & L2_RESERVED != 0 {
            findings.problem(format!("the L2 entry of cluster {cluster} has bits that mean nothing"));
        }
        let name = format!("cluster {cluster}");
        match self.decode(cluster, entry)? {
            Mapping::Packed { offset, len } => {
                if entry & COPIED != 0 || self.refcount(offset)? == 0 {
                    findings.problem(format!("{name} is compressed, and its reference count is not"));
                }
                // The last sector may reach behind the end of the file.
                let end = offset.saturating_add(len).min(self.file.size()).max(offset + 1);
                findings.shares(name, offset..end);
            }
            // One that reads as zero may have a place in the file.
            Mapping::Absent | Mapping::Plain(_) | Mapping::Zero if entry & OFFSET != 0 => {
                self.check_place(&name, entry & OFFSET, entry, findings);
            }
            Mapping::Absent | Mapping::Plain(_) | Mapping::Zero => {}
        }
        Ok(())
    }

    /// That `name` lies alone in the cluster at `offset`, as its entry and the reference count say; whether nothing
    /// else is there.
    fn check_place(&self, name: &str, offset: u64, entry: u64, findings: &mut Findings) -> bool {
        match self.refcount(offset) {
            // A crash has left counts that are too low; QEMU counts anew.
            _ if self.header.incompatible_features.get() & Header::DIRTY != 0 => {}
            Ok(count) if count > 0 && (count == 1) == (entry & COPIED != 0) => {}
            Ok(count) => {
                findings.problem(format!("the reference count of {name} is {count}, which is wrong"))
            }
            Err(error) => findings.problem(error.message()),
        }
        findings.takes(name, self.cluster_at(offset))
    }

    fn cluster_at(&self, offset: u64) -> Range<u64> {
        offset..offset.saturating_add(self.cluster_size())
    }

    /// Entries of the refcount table.
    fn refcount_blocks(&self) -> u64 {
        u64::from(self.header.refcount_table_clusters.get()) * self.l2_len()
    }

    /// Where a refcount block lies; 0: nowhere, all its counts are 0.
    fn refcount_block(&self, index: u64) -> Result<u64> {
        if index >= self.refcount_blocks() {
            return Ok(0);
        }
        let mut entry = [0; 8];
        self.file.read_at(self.header.refcount_table_offset.get().saturating_add(8 * index), &mut entry)?;
        match u64::from_be_bytes(entry) {
            entry if entry & REFCOUNT_TABLE_RESERVED != 0 => {
                Err(corrupt(format!("entry {index} of the refcount table has bits that mean nothing")))
            }
            block => Ok(block),
        }
    }

    /// How often the tables refer to the cluster around `offset`, as the file says.
    fn refcount(&self, offset: u64) -> Result<u64> {
        let bits = 1_u64 << self.header.refcount_order.get();
        let (cluster, per_block) = (offset / self.cluster_size(), self.cluster_size() * 8 / bits);
        let block = self.refcount_block(cluster / per_block)?;
        if block == 0 {
            return Ok(0);
        }
        // Big-endian; counts of less than a byte begin at its lower end.
        let at = cluster % per_block * bits;
        let mut count = [0; 8];
        let len = bits.div_ceil(8) as usize;
        if let Some(low) = count.len().checked_sub(len).and_then(|start| count.get_mut(start..)) {
            self.file.read_at(block + at / 8, low)?;
        }
        let mask = u64::MAX >> (64 - bits);
        Ok(u64::from_be_bytes(count) >> (at % 8) & mask)
    }
}
