//! What `-o`, `--format` and `--compression` can ask for.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use exporter::container::{Base, Compression, Format};

use crate::base::make::is_stdout;
use crate::base::{Error, Result};
use crate::engine::destination::{Destination, extensions, is_named_as_file};

/// The artifacts that are made where no path was asked for: one for each format, in this folder.
pub(super) fn usual_paths(formats: &[Format]) -> Vec<PathBuf> {
    let formats = if formats.is_empty() { &[Format::Qcow2][..] } else { formats };
    formats.iter().map(|format| PathBuf::from(format!("disk{}", format.suffix()))).collect()
}

/// The format of each path: the one that was asked for, or else the one its extension stands for.
pub(super) fn formats(paths: &[PathBuf], asked: &[Format]) -> Result<Vec<Format>> {
    if !asked.is_empty() && asked.len() != paths.len() {
        let message = format!("--format: {} given for {} artifacts", asked.len(), paths.len());
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
        [] => paths.iter().map(|path| by_extension(path)).collect(),
        asked => Ok(asked.to_vec()),
    }
}

fn by_extension(path: &Path) -> Result<Format> {
    Format::from_path(path).ok_or_else(|| {
        let shown = path.display();
        if is_stdout(path) {
            let message = "-o -: stdout has no extension that tells the format";
            return Error::user(message).with_hint("pass --format");
        }
        if let Some(format) = is_named_as_file(path) {
            let folder = path.with_extension("");
            return Error::user(format!("{shown}: {format} is a folder, which has no extension"))
                .with_hint(format!("name the folder: --format {format} -o {}", folder.display()));
        }
        let extensions = extensions().join(", ");
        Error::user(format!("{shown}: its extension tells no format"))
            .with_hint(format!("give it one of {extensions}, or pass --format"))
    })
}

/// That all that has a name can be written.
pub(super) fn check(paths: &[PathBuf], formats: &[Format]) -> Result<()> {
    let mut named = paths.iter().zip(formats).filter(|(path, _)| !is_stdout(path));
    named.try_for_each(|(path, &format)| Destination::new(path, format).map(drop))
}

/// The help of `--base`.
pub(super) const BASE_HELP: &str =
    "Write a qcow2 that has what differs from this disk alone, a qcow2 or raw, and is read with it below";

/// The disk that the one of `paths` is written over.
pub(super) fn base(asked: Option<&Path>, paths: &[PathBuf], formats: &[Format]) -> Result<Option<Base>> {
    let Some(asked) = asked else { return Ok(None) };
    match (paths, formats) {
        ([path], [Format::Qcow2]) if !is_stdout(path) => Ok(Some(Base::open(asked, path)?)),
        _ => Err(Error::user("--base: is for one qcow2, and that is not what is made")
            .with_hint("make that alone, -o NAME.qcow2, and the others in a command of their own")),
    }
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
    let extensions = extensions().join(", ");
    let folders = Format::ALL.iter().filter(|format| format.is_folder()).map(|format| format.name());
    let folders = folders.collect::<Vec<_>>().join(", ");
    format!(
        "The disk to make; its extension picks the format ({extensions}); with --format {folders} it is a folder; - is \
         stdout. Repeat it to make several in one pass [default: disk.qcow2]"
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
