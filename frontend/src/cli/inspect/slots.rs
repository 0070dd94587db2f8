//! The slots of a machine with two roots, and what its boot loader would do with them.

use exporter::boot::{choice, slots};
use exporter::disk::{Placed, kinds};
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::ReadAt;
use exporter::spec::layout::EMPTY_SLOT;
use serde::Serialize;

/// What a copy of the environment block says of them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Slots {
    /// The slots in the order in which they are tried.
    pub(super) order: String,
    /// The last slot that was good.
    pub(super) good: String,
    pub(super) slots: Vec<Slot>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Slot {
    pub(super) name: &'static str,
    /// The number of its partition.
    pub(super) partition: u32,
    /// In the words of `vmimage-boot status`.
    pub(super) state: &'static str,
    /// How many starts were not followed by a good boot.
    pub(super) tries: u32,
}

impl Slots {
    /// `None` if there are no two roots, or no copy can be believed.
    pub(super) fn read<V: ReadAt + ?Sized>(
        esp: &V,
        partitions: &[Placed],
        budget: &DiskBudget,
    ) -> exporter::Result<Option<Self>> {
        let is_slot = |partition: &&Placed| partition.kind.guid().is_some_and(kinds::is_root);
        let roots: Vec<_> = partitions.iter().filter(is_slot).collect();
        if roots.len() != slots::NAMES.len() {
            return Ok(None);
        }
        for copy in choice::COPIES {
            let path = format!("{}/{copy}", choice::FOLDER);
            let block = fat::read_file(esp, path.trim_start_matches('/'), choice::BLOCK_SIZE, budget)?;
            if let Some(variables) = block.and_then(|block| choice::Variables::read(&block)) {
                return Ok(Some(Self::new(&roots, &variables)));
            }
        }
        Ok(None)
    }

    fn new(roots: &[&Placed], variables: &choice::Variables) -> Self {
        let slots = slots::NAMES.into_iter().zip(roots).map(|(name, root)| {
            let tries = variables.get(&format!("{name}_TRY")).parse().unwrap_or_default();
            let state = match (variables.get(&format!("{name}_OK")), tries) {
                _ if root.name == EMPTY_SLOT => "empty",
                ("1", 0) => "good",
                ("1", _) => "trying",
                _ => "bad",
            };
            Slot { name, partition: root.number, state, tries }
        });
        let [order, good] = ["ORDER", "good"].map(|name| variables.get(name).to_owned());
        Self { order, good, slots: slots.collect() }
    }
}
