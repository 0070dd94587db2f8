//! The slots of a machine with two roots, and what its boot loader would do with them.

use exporter::boot::entries::{Counter, Entry};
use exporter::boot::{choice, slots};
use exporter::disk::{Placed, kinds};
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::ReadAt;
use exporter::spec::layout::EMPTY_SLOT;
use serde::Serialize;

/// What a copy of the environment block says of them, or the entries of systemd-boot.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Slots {
    /// The slots in the order in which they are tried.
    pub(super) order: String,
    /// The last slot that was good; empty: none was.
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
    /// By a copy of the environment block. `None` if there are no two roots, or no copy can be believed.
    pub(super) fn read<V: ReadAt + ?Sized>(
        esp: &V,
        partitions: &[Placed],
        budget: &DiskBudget,
    ) -> exporter::Result<Option<Self>> {
        let Some(roots) = roots(partitions) else { return Ok(None) };
        for copy in choice::COPIES {
            let path = format!("{}/{copy}", choice::FOLDER);
            let block = fat::read_file(esp, path.trim_start_matches('/'), choice::BLOCK_SIZE, budget)?;
            if let Some(variables) = block.and_then(|block| choice::Variables::read(&block)) {
                return Ok(Some(Self::of_variables(&roots, &variables)));
            }
        }
        Ok(None)
    }

    /// By entries of systemd-boot in the order in which they are tried: of several of a slot the first counts. `None` if there
    /// are no two roots.
    pub(super) fn of_entries(entries: &[Entry], partitions: &[Placed]) -> Option<Self> {
        let roots = roots(partitions)?;
        let mut order = Vec::new();
        for slot in entries.iter().filter_map(|entry| entry.slot) {
            if !order.contains(&slot) {
                order.push(slot);
            }
        }
        let was_good = |entry: &&Entry| entry.slot.is_some() && entry.counter.is_none();
        let good = entries.iter().find(was_good).and_then(|entry| entry.slot);
        let first = |name: &str| entries.iter().find(|entry| entry.slot == Some(name));
        let slots = slots(&roots, |name| first(name).map_or(("bad", 0), trial));
        Some(Self { order: order.join(" "), good: good.unwrap_or_default().to_owned(), slots })
    }

    /// The name of the slot that is the partition of this number.
    pub(super) fn on(&self, number: u32) -> Option<&'static str> {
        self.slots.iter().find(|slot| slot.partition == number).map(|slot| slot.name)
    }

    fn of_variables(roots: &[&Placed], variables: &choice::Variables) -> Self {
        let slots = slots(roots, |name| {
            let tries = variables.get(&format!("{name}_TRY")).parse().unwrap_or_default();
            let state = match (variables.get(&format!("{name}_OK")), tries) {
                ("1", 0) => "good",
                ("1", _) => "trying",
                _ => "bad",
            };
            (state, tries)
        });
        let [order, good] = ["ORDER", "good"].map(|name| variables.get(name).to_owned());
        Self { order, good, slots }
    }
}

/// The partitions of both slots.
fn roots(partitions: &[Placed]) -> Option<Vec<&Placed>> {
    let is_slot = |partition: &&Placed| partition.kind.guid().is_some_and(kinds::is_root);
    let roots: Vec<_> = partitions.iter().filter(is_slot).collect();
    (roots.len() == slots::NAMES.len()).then_some(roots)
}

/// Both, by what is said of the slot of a name: its state, and how many tries it has used up.
fn slots(roots: &[&Placed], said: impl Fn(&str) -> (&'static str, u32)) -> Vec<Slot> {
    let slot = |(name, root): (_, &&Placed)| {
        let (state, tries) = said(name);
        let state = if root.name == EMPTY_SLOT { "empty" } else { state };
        Slot { name, partition: root.number, state, tries }
    };
    slots::NAMES.into_iter().zip(roots).map(slot).collect()
}

fn trial(entry: &Entry) -> (&'static str, u32) {
    match entry.counter {
        None => ("good", 0),
        Some(Counter { left: 0, done }) => ("bad", done),
        Some(Counter { done, .. }) => ("trying", done),
    }
}

#[cfg(test)]
mod tests {
    use exporter::disk::{PartitionId, PartitionKind};
    use exporter::seed::Uuid;

    use super::*;

    fn partitions(labels: &[&str]) -> Vec<Placed> {
        let place = |(number, label): (u32, &&str)| Placed {
            number,
            start: 0,
            size: 0,
            kind: PartitionKind::Guid(kinds::ROOT_X86_64),
            id: PartitionId::from(Uuid([0; 16])),
            attributes: 0,
            name: (*label).to_owned(),
        };
        (3..).zip(labels).map(place).collect()
    }

    /// The order, the last good one, and each with its state and its tries, by entries of these names and versions.
    fn said(entries: &[(&str, u32)], labels: &[&str]) -> Option<String> {
        let read = |(name, version): &(&str, u32)| {
            let options = slots::NAMES.map(|name| format!("rauc.slot={name}")).join(" ");
            Entry::read(name, &format!("version {version}\noptions {options}\n"))
        };
        let mut entries: Vec<_> = entries.iter().filter_map(read).collect();
        entries.sort_by(Entry::compare);
        let Slots { order, good, slots } = Slots::of_entries(&entries, &partitions(labels))?;
        let slots = slots.iter().map(|slot| format!(" {}{}{}", slot.partition, slot.state, slot.tries));
        Some(format!("{order},{good}{}", slots.collect::<String>()))
    }

    #[test]
    fn entries_say_which_slot_is_tried_first_and_which_are_good() {
        let both = ["root-a", "root-b"];
        let (first, good) = (("kiosk-A+3-0.conf", 1), ("kiosk-A.conf", 1));
        for (entries, labels, expected) in [
            (&[first][..], ["root-a", EMPTY_SLOT], "A, 3trying0 4empty0"),
            (&[good], ["root-a", EMPTY_SLOT], "A,A 3good0 4empty0"),
            (&[good, ("kiosk-B+2-1.conf", 2)], both, "B A,A 3good0 4trying1"),
            (&[good, ("kiosk-B+0-3.conf", 2)], both, "A B,A 3good0 4bad3"),
            (&[good, ("kiosk-B.conf", 2)], both, "B A,B 3good0 4good0"),
            // A name was changed when the plug was pulled.
            (&[first, good], both, "A,A 3trying0 4bad0"),
            // Of another system.
            (&[good, ("debian-6.1.conf", 9), ("kiosk-B+99999999999.conf", 9)], both, "A,A 3good0 4bad0"),
        ] {
            assert_eq!(said(entries, &labels).as_deref(), Some(expected), "{entries:?}");
        }
        assert_eq!(said(&[good], &["root-a"]), None);
    }

    #[test]
    fn a_slot_may_have_a_thousand_entries() {
        let names: Vec<_> = (0..1000).map(|number| format!("kiosk{number}-B+1-{number}.conf")).collect();
        let entries: Vec<_> = (0..).zip(&names).map(|(version, name)| (name.as_str(), version)).collect();
        assert_eq!(said(&entries, &["root-a", "root-b"]).unwrap(), "B, 3bad0 4trying999");
    }
}
