//! `vmimage ps`: the machines that run, or all.

use std::process::ExitCode;

use serde::Serialize;

use crate::base::{Result, terminal};
use crate::machines::{Machine, MachineKind, State, now};

/// List the machines that run.
///
/// They are those of `vmimage run` with --name or --detach. One whose host or keeper died does not run, and is called dead.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// List those that do not run as well
    #[arg(short, long)]
    all: bool,
    /// Print names alone
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Print what is known of each as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage ps
  vmimage ps -a --json      all, for programs";

/// A machine, as programs are told of it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// `created`, `running`, `exited`, `dead`
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<MachineKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u64>,
    /// The exit code, in docker's numbers
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    ports: Vec<String>,
    /// Where it is kept
    folder: String,
    /// For people
    #[serde(skip)]
    standing: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let rows = Machine::all()?.into_iter().map(|machine| Row::of(&machine));
    let rows: Vec<_> = rows.filter(|row| args.all || row.state == "running").collect();
    if args.json {
        terminal::print_json(&rows)?;
    } else if args.quiet {
        rows.iter().try_for_each(|row| terminal::print_line(&row.name))?;
    } else {
        table(&rows).iter().try_for_each(terminal::print_line)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Row {
    fn of(machine: &Machine) -> Self {
        // In this order: one that ends meanwhile has said so before its lock is free.
        let is_running = machine.is_running();
        let record = machine.record();
        let state = record.as_ref().map_or(State::Dead, |record| record.state(is_running));
        let (name, standing) = show(&state);
        let record = record.ok();
        let end = match &state {
            State::Exited(end) => Some(end.clone()),
            _ => None,
        };
        Self {
            name: machine.name().to_string(),
            state: name,
            kind: record.as_ref().map(|record| record.kind),
            source: record.as_ref().map(|record| record.source.0.to_string_lossy().into_owned()),
            created: record.as_ref().map(|record| record.created),
            started: record.as_ref().and_then(|record| record.started),
            ended: end.as_ref().map(|end| end.at),
            status: end.as_ref().map(|end| end.status),
            error: end.and_then(|end| end.error),
            ports: record.map(|record| record.ports).unwrap_or_default(),
            folder: machine.folder().display().to_string(),
            standing,
        }
    }
}

/// For programs, and for people.
fn show(state: &State) -> (&'static str, String) {
    let since = |second: u64| span(now().saturating_sub(second));
    match state {
        State::Created => ("created", "Created".into()),
        State::Running(start) => ("running", format!("Up {}", since(*start))),
        State::Exited(end) => ("exited", format!("Exited ({}) {} ago", end.status, since(end.at))),
        State::Dead => ("dead", "Dead".into()),
    }
}

/// So many seconds, as one says it.
fn span(seconds: u64) -> String {
    let units = [(86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// In columns.
fn table(rows: &[Row]) -> Vec<String> {
    let head = ["NAME", "SOURCE", "STATUS", "PORTS"].map(str::to_owned);
    let row = |row: &Row| {
        let source = row.source.clone().unwrap_or_else(|| "?".into());
        [row.name.clone(), source, row.standing.clone(), row.ports.join(", ")]
    };
    let rows: Vec<_> = [head].into_iter().chain(rows.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}   "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::End;

    #[test]
    fn a_state_is_told_in_dockers_words() {
        let ago = |seconds| now() - seconds;
        let end = |status, at| State::Exited(End { at, status, error: None });
        for (state, name, standing) in [
            (State::Created, "created", "Created"),
            (State::Running(ago(3 * 3600 + 5)), "running", "Up 3 hours"),
            (end(42, ago(60)), "exited", "Exited (42) 1 minute ago"),
            (State::Dead, "dead", "Dead"),
        ] {
            assert_eq!(show(&state), (name, standing.to_owned()));
        }
        assert_eq!([0, 1, 59, 86400 * 2].map(span), ["0 seconds", "1 second", "59 seconds", "2 days"]);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let row = |name: &str, source: &str| Row {
            name: name.into(),
            source: Some(source.into()),
            state: "dead",
            kind: None,
            created: None,
            started: None,
            ended: None,
            status: None,
            error: None,
            ports: Vec::new(),
            folder: String::new(),
            standing: "Dead".into(),
        };
        assert_eq!(
            table(&[row("web", "/disks/web.qcow2"), row("database", "a")]),
            [
                "NAME       SOURCE             STATUS   PORTS",
                "web        /disks/web.qcow2   Dead",
                "database   a                  Dead",
            ]
        );
    }
}
