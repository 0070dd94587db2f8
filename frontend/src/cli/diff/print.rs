//! The report as a table.

use std::fmt;

use exporter::delta::Counts;
use exporter::error::show_size;
use exporter::terminal::line;

use super::Report;

/// Displays a report.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { old, new, block_size, parts, gone, total } = self.0;
        writeln!(f, "{} -> {}, blocks of {}\n", line(old), line(new), show_size(*block_size as u64))?;
        let name = |name: &str| line(name).to_string();
        let mut rows: Vec<_> = parts.iter().map(|part| (name(&part.name), part.counts)).collect();
        if rows.len() > 1 {
            rows.push(("total".to_owned(), *total));
        }
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let head = ["blocks", "zero", "differ", "elsewhere", "new", "moves"].map(str::to_owned);
        write_row(f, width, "", &head)?;
        rows.iter().try_for_each(|(name, counts)| write_row(f, width, name, &cells(counts)))?;
        gone.iter().try_for_each(|number| writeln!(f, "partition {number} is in {} alone", line(old)))
    }
}

fn cells(counts: &Counts) -> [String; 6] {
    let Counts { blocks, zero, differ, elsewhere, new, moves } = *counts;
    let [blocks, zero, differ, elsewhere, new] =
        [blocks, zero, differ, elsewhere, new].map(|n| n.to_string());
    [blocks, zero, differ, elsewhere, new, show_size(moves)]
}

fn write_row(f: &mut fmt::Formatter<'_>, width: usize, name: &str, cells: &[String; 6]) -> fmt::Result {
    write!(f, "  {name:<width$}")?;
    cells.iter().try_for_each(|cell| write!(f, " {cell:>10}"))?;
    writeln!(f)
}
