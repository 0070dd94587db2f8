//! Measurements, medians, Markdown and goals.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::measure::{FileSize, Usage};

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// What was to be made of what.
    pub(crate) case: String,
    /// Who made it.
    pub(crate) who: String,
    /// Whether it only warmed up.
    pub(crate) warm_up: bool,
    #[serde(flatten)]
    pub(crate) usage: Usage,
    #[serde(flatten)]
    pub(crate) size: FileSize,
}

/// The medians of one contender in one case, each taken by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medians {
    pub(crate) seconds: f64,
    /// The least seconds: what other load on the machine added the least to.
    pub(crate) best: f64,
    pub(crate) cpu_seconds: f64,
    /// Bytes; so are the next three.
    pub(crate) peak: f64,
    pub(crate) written: f64,
    pub(crate) length: f64,
    pub(crate) allocated: f64,
}

/// A figure that should not be above a limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) limit: f64,
}

/// All that was measured so far.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    records: Vec<Record>,
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn record(&mut self, record: Record) {
        eprintln!("bench: {}, {}: {:.2} s", record.case, record.who, record.usage.seconds);
        self.records.push(record);
    }

    /// The medians of what was counted; `None` if nothing was.
    pub(crate) fn medians(&self, case: &str, who: &str) -> Option<Medians> {
        let counted = || self.records.iter().filter(|r| !r.warm_up && r.case == case && r.who == who);
        counted().next()?;
        let over = |value: fn(&Record) -> f64| median(counted().map(value).collect());
        Some(Medians {
            seconds: over(|record| record.usage.seconds),
            best: counted().map(|record| record.usage.seconds).fold(f64::INFINITY, f64::min),
            cpu_seconds: over(|record| record.usage.cpu_seconds),
            peak: over(|record| record.usage.peak as f64),
            written: over(|record| record.usage.written as f64),
            length: over(|record| record.size.length as f64),
            allocated: over(|record| record.size.allocated as f64),
        })
    }

    /// Who was counted in `case`, in the order they ran.
    pub(crate) fn contenders(&self, case: &str) -> Vec<&str> {
        let mut all = Vec::new();
        for record in self.records.iter().filter(|record| !record.warm_up && record.case == case) {
            if !all.contains(&record.who.as_str()) {
                all.push(&record.who);
            }
        }
        all
    }

    pub(crate) fn expect(&mut self, what: String, value: f64, limit: f64) {
        self.goals.push(Goal { what, value, limit });
    }

    pub(crate) fn print_goals(&self) {
        if self.goals.is_empty() {
            return;
        }
        let mut table = Table::new(&["goal", "is", "at most", ""]);
        for Goal { what, value, limit } in &self.goals {
            let verdict = if value <= limit { "met" } else { "MISSED" };
            table.row([what.clone(), format!("{value:.2}"), format!("{limit}"), verdict.into()]);
        }
        let met = self.goals.iter().filter(|goal| goal.value <= goal.limit).count();
        println!("## Goals\n\n{table}\n{met} of {} goals met", self.goals.len());
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_string_pretty(self)?)?)
    }
}

/// The middle of `values`, which are not none; of an even number, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Bytes in MiB, as memory is told.
pub(crate) fn mib(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

/// Bytes in MB, as files are told.
pub(crate) fn mb(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// A Markdown table; its first column is text, the others are numbers.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }
}

/// What each contender took in each of the cases, which are all of one kind, beside `ours`.
pub(crate) fn contest<'a>(
    report: &Report,
    kind: &str,
    ours: &str,
    cases: impl IntoIterator<Item = &'a String>,
) -> Table {
    let mut table = Table::new(&[
        kind,
        "by",
        "seconds",
        "ours / it",
        "best s",
        "ours / it",
        "cpu s",
        "peak MiB",
        "written MB",
        "MB",
        "on disk MB",
    ]);
    for case in cases {
        let Some(own) = report.medians(case, ours) else { continue };
        for who in report.contenders(case) {
            let Some(it) = report.medians(case, who) else { continue };
            table.row([
                case.clone(),
                who.to_owned(),
                format!("{:.2}", it.seconds),
                format!("{:.2}", own.seconds / it.seconds),
                format!("{:.2}", it.best),
                format!("{:.2}", own.best / it.best),
                format!("{:.2}", it.cpu_seconds),
                mib(it.peak),
                mb(it.written),
                mb(it.length),
                mb(it.allocated),
            ]);
        }
    }
    table
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.0[0].len()).map(width).collect();
        for (line, row) in self.0.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if line == 0 {
                let rules = widths.iter().enumerate().map(|(column, &width)| match column {
                    0 => format!("|{}", "-".repeat(width + 2)),
                    _ => format!("|{}:", "-".repeat(width + 1)),
                });
                writeln!(f, "{}|", rules.collect::<String>())?;
            }
        }
        Ok(())
    }
}
