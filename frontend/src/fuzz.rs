//! Ways in for `make fuzz`: readers of hostile input that nobody else calls from outside. An error is a refusal, as
//! it is told; where something accepted does not keep its promises, they panic.

use std::path::Path;

use exporter::spec::TextFormat;

use crate::ask::config::{Config, Configuration, Entries, Entry};
use crate::ask::{Asked, Attribute};
use crate::engine::dockerfile::{Target, Variables, predefined};

pub use crate::gateway::fuzz::Script;
pub use crate::source::registry::fuzz::Registry;

/// An image that no Dockerfile names.
const OTHER: &str = "example.invalid/other:1";

/// Runs the frontend against a daemon that answers this.
///
/// # Errors
/// How the build ended, if not well.
pub fn solve(script: Script) -> Result<(), String> {
    crate::gateway::fuzz::run(script, crate::solve::solve)
}

/// Reads a `vmimage.toml`, with all its paths in the build context.
///
/// # Errors
/// What is wrong with it.
pub fn config(text: &str) -> Result<(), String> {
    let config = Config::parse("vmimage.toml", text).map_err(|problems| problems.to_string())?;
    let paths = config.texts().into_iter().map(str::to_owned).chain(config.mounts().concat());
    let entries: Entries = paths.map(|path| (path, Entry::File)).collect();
    let _ = Config::check_paths("vmimage.toml", text, &entries).map_err(|problems| problems.to_string());
    let json = serde_json::to_value(&config).map_err(|error| error.to_string())?;
    let same = serde_json::from_value::<Config>(json).map_err(|error| error.to_string());
    let same = same.map(|others| Config { wishes: config.wishes.clone(), ..others });
    assert_eq!(same.as_ref(), Ok(&config), "it comes back");
    Configuration { config, ..Configuration::default() }.ask(&mut Asked::default());
    Ok(())
}

/// Reads the value of an `--output`, and `NAME=VALUE` of every attribute in it.
///
/// # Errors
/// What is wrong with it.
pub fn attributes(text: &str) -> Result<(), String> {
    let pairs = text.split(['\n', ',']).filter_map(|pair| pair.split_once('='));
    let known = pairs.filter_map(|(name, value)| Some((Attribute::by_name(name)?, value)));
    let wishes = known.map(|(attribute, value)| attribute.wish(value)).collect::<Result<Vec<_>, _>>();
    if let Ok(wishes) = &wishes {
        let mut asked = Asked::default();
        asked.ask(wishes);
        // What becomes a part of file names and scripts later has no other form than the one it was asked in.
        assert_eq!(TextFormat::FileName.check(&asked.spec.name), Ok(()));
    }
    crate::shim::accept(text).and(wishes.map(drop))
}

/// Finds the base image of a Dockerfile's last stage, and puts another one there.
///
/// # Errors
/// Why there is none.
pub fn dockerfile(text: &str) -> Result<(), String> {
    let (given, predefined) = (Variables::new(), predefined(None));
    let find = |text: &str| Target::find(text, None, &given, &predefined).map_err(|error| error.to_string());
    let Some(base) = find(text)?.base else { return Ok(()) };
    let replaced = find(&base.replaced(text, OTHER))?;
    assert_eq!(replaced.base.map(|base| base.name).as_deref(), Some(OTHER), "the image is replaced");
    Ok(())
}

/// What `vmimage inspect` says of a disk that is whole.
///
/// # Errors
/// What is wrong with the disk.
pub fn inspect(file: &Path) -> Result<String, String> {
    crate::cli::inspect::whole(file)
}

/// Sends a request to the DHCP servers of `vmimage serve pxe`.
///
/// # Errors
/// If none of them answers.
pub fn serve_dhcp(message: &[u8]) -> Result<(), String> {
    crate::cli::serve::pxe::fuzz::dhcp(message)
}

/// Sends a request to the TFTP server of `vmimage serve pxe`.
///
/// # Errors
/// If it asks for no file.
pub fn serve_tftp(message: &[u8]) -> Result<(), String> {
    crate::cli::serve::pxe::fuzz::tftp(message)
}
