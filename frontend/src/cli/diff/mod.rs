//! `vmimage diff`: how much of a new disk or update an old one has already.

mod print;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;

use exporter::delta::{self, Blocks, Counts, Known};
use exporter::spec::Size;
use serde::Serialize;

use crate::base::{Error, Result, terminal};
use side::{Part, Side};

/// Count the blocks in which a new disk differs from an old one, and the bytes that an update would move.
///
/// OLD and NEW are disks in any format, files without a partition table, or folders of updates, of which the index alone is
/// read. Partitions of two disks are held against each other by their numbers; one by itself is DISK:NUMBER or DISK:LABEL.
/// What OLD has anywhere need not be moved, nor what is zero.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Compare blocks
    #[arg(long, required = true)]
    blocks: bool,
    /// What is there already
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What is to come
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Bytes of a block, a power of two up to 1M; updates have 64K
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = block_size)]
    block_size: usize,
    /// Print it as JSON, sizes in bytes
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage diff --blocks old/update new/update       what a machine fetches of an update
  vmimage diff --blocks old.qcow2 new.qcow2         all partitions
  vmimage diff --blocks old.qcow2:2 new/update      one partition, by its number or its label
  vmimage diff --blocks old.raw new.raw --block-size 4K --json | jq .total.moves";

/// Counts, and says what was counted.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let [old, new] = [&args.old, &args.new].map(|name| Side::open(name, args.block_size));
    let report = Report::count(args, &Pairs::new(old?, new?)?)?;
    match args.json {
        true => terminal::print_json(&report)?,
        false => terminal::print(&print::Text(&report).to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is compared with what.
struct Pairs {
    old: String,
    new: String,
    /// A part of the new side, and the one that it is held against.
    pairs: Vec<(Option<Part>, Part)>,
    /// What the old side has and the new one has not.
    gone: Vec<Part>,
}

impl Pairs {
    fn new(old: Side, new: Side) -> Result<Self> {
        let (mut pairs, mut gone) = (Vec::new(), Vec::new());
        match (old.parts.len(), new.parts.len()) {
            (1, 1) => pairs.extend(old.parts.into_iter().zip(new.parts).map(|(old, new)| cut(old, new))),
            _ if old.has_table && new.has_table => {
                let mut left = old.parts;
                for part in new.parts {
                    let at = left.iter().position(|old| old.partition == part.partition);
                    pairs.push((at.map(|at| left.remove(at)), part));
                }
                gone = left;
            }
            _ => {
                let (many, one) = if old.parts.len() > 1 { (&old, &new) } else { (&new, &old) };
                return Err(many.is_more_than(one));
            }
        }
        Ok(Self { old: old.shown, new: new.shown, pairs, gone })
    }
}

/// An update says nothing of what its partition has behind the file system.
fn cut(mut old: Part, mut new: Part) -> (Option<Part>, Part) {
    match (old.blocks.is_update(), new.blocks.is_update()) {
        (true, false) => new.blocks = new.blocks.cut(old.blocks.size()),
        (false, true) => old.blocks = old.blocks.cut(new.blocks.size()),
        (true, true) | (false, false) => {}
    }
    (Some(old), new)
}

/// What was counted.
#[derive(Debug, Serialize)]
struct Report {
    old: String,
    new: String,
    block_size: usize,
    parts: Vec<Counted>,
    /// Partitions that only the old side has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<u32>,
    total: Counts,
}

/// A part of the new side.
#[derive(Debug, Serialize)]
struct Counted {
    name: String,
    /// Its number, if it is one of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    #[serde(flatten)]
    counts: Counts,
}

impl Report {
    fn count(args: &Args, Pairs { old, new, pairs, gone }: &Pairs) -> Result<Self> {
        let of_old = |error| in_side(old, error);
        let mut known = Known::default();
        let olds = pairs.iter().filter_map(|(old, _)| old.as_ref()).chain(gone);
        olds.map(|part| &part.blocks).try_for_each(|blocks| known.add(blocks)).map_err(of_old)?;
        let mut total = Counts::default();
        let mut parts = Vec::new();
        for (before, part) in pairs {
            let before: Option<&Blocks> = before.as_ref().map(|before| &before.blocks);
            let counts =
                delta::count(before, &part.blocks, &mut known).map_err(|error| in_side(new, error))?;
            total += counts;
            parts.push(Counted { name: part.name.clone(), partition: part.partition, counts });
        }
        let gone = gone.iter().filter_map(|part| part.partition).collect();
        Ok(Self { old: old.clone(), new: new.clone(), block_size: args.block_size, parts, gone, total })
    }
}

fn in_side(shown: &str, error: exporter::Error) -> Error {
    let hint = error.hint().cloned();
    let told = Error::user(format!("{shown}: {error}"));
    match hint {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

/// `64K`, as sizes are written everywhere.
fn block_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().and_then(|Size(bytes)| usize::try_from(bytes).ok());
    let size = size.filter(|size| size.is_power_of_two() && delta::BLOCK_SIZES.contains(size));
    size.ok_or_else(|| "write a power of two from 512 to 1M, such as 64K".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_power_of_two() {
        for (text, bytes) in [("64K", 64 << 10), ("4K", 4096), ("512", 512), ("1M", 1 << 20)] {
            assert_eq!(block_size(text), Ok(bytes));
        }
        for text in ["", "0", "256", "3K", "2M", "auto", "big"] {
            assert!(block_size(text).is_err(), "{text}");
        }
    }
}
