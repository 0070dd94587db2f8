//! What `-o`, `--format` and `--compression` can ask for.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use exporter::container::{Compression, Format};

use crate::base::make::is_stdout;
use crate::base::{Error, Result};
use crate::engine::destination::endings;

/// The disks that are made where no path was asked for: one for each format, in this folder.
pub(super) fn usual_paths(formats: &[Format]) -> Vec<PathBuf> {
    let formats = if formats.is_empty() { &[Format::Qcow2][..] } else { formats };
    let path = |format: &Format| Some(PathBuf::from(format!("disk.{}", format.extensions().first()?)));
    formats.iter().filter_map(path).collect()
}

/// The format of each path: the one that was asked for, or else the one its ending stands for.
pub(super) fn formats(paths: &[PathBuf], asked: &[Format]) -> Result<Vec<Format>> {
    if !asked.is_empty() && asked.len() != paths.len() {
        let message = format!("--format: {} given for {} files", asked.len(), paths.len());
        return Err(Error::user(message).with_hint("give one for each -o, in the same order, or none"));
    }
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].contains(path) {
            return Err(Error::user(format!("{}: is named twice", path.display())));
        }
    }
    if paths.len() > 1 && paths.iter().any(|path| is_stdout(path)) {
        return Err(Error::user("-o -: stdout takes one disk, and no other -o beside it"));
    }
    match asked {
        [] => paths.iter().map(|path| by_ending(path)).collect(),
        asked => Ok(asked.to_vec()),
    }
}

fn by_ending(path: &Path) -> Result<Format> {
    let endings = || format!("end it in one of {}, or pass --format", endings().join(", "));
    Format::from_path(path).ok_or_else(|| match is_stdout(path) {
        true => Error::user("-o -: stdout has no ending that tells the format").with_hint("pass --format"),
        false => Error::user(format!("{}: its ending tells no format", path.display())).with_hint(endings()),
    })
}

/// Where the disk goes to stdout, nothing else can.
pub(super) fn refuse_json(is_asked: bool) -> Result<()> {
    match is_asked {
        true => Err(Error::user("--json: stdout is taken by the disk").with_hint("name a file with -o")),
        false => Ok(()),
    }
}

/// The help of `-o`.
pub(super) fn output_help() -> String {
    let endings = endings().join(", ");
    format!(
        "The disk to make; its ending picks the format ({endings}); - is stdout. Repeat it to make several in one \
         pass [default: disk.qcow2]"
    )
}

pub(super) fn format_parser() -> impl TypedValueParser<Value = Format> {
    choice(Format::ALL.iter().map(|format| format.name()))
}

pub(super) fn compression_parser() -> impl TypedValueParser<Value = Compression> {
    choice(Compression::ALL.iter().map(|compression| compression.name()))
}

/// One of `names`, as its type reads it.
fn choice<T>(names: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Debug> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).map(|name| name.parse().expect("clap let only known names in"))
}
