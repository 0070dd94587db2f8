//! The program of a microVM: that it is there, can be run, and by whom, is looked at before a byte is written.

use super::bootable;
use crate::error::{Error, Kind, Result};
use crate::machine;
use crate::spec::{Container, Spec};
use crate::tree::Tree;

/// What the machine runs.
///
/// # Errors
/// If there is nothing, or it would not start.
pub(super) fn require<'a>(root: &Tree, spec: &'a Spec) -> Result<&'a Container> {
    let container = spec.container.as_ref().filter(|container| container.command().next().is_some());
    let container = container.ok_or_else(|| {
        let message = "is not said, nor is CMD: a microVM would run nothing";
        Error::new(Kind::NotFound, "ENTRYPOINT", message)
            .with_hint("name the program in the Dockerfile: ENTRYPOINT [\"/app\"]")
    })?;
    let path = machine::require_start(root, container)?;
    bootable::require_program(root, &path, spec.architecture)?;
    Ok(container)
}
