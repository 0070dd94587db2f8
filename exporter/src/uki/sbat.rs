//! What a program says of its components, so that a boot loader can refuse those that are known to be broken: lines of
//! `component,generation,vendor,package,version,URL`.
//!
//! Source: SBAT.md of shim; the lines of an image's own kind are those of ukify(1).

use std::io::Read;

use super::section::head;
use super::stub::Stub;
use crate::error::{Error, Result};
use crate::tree::Content;

/// The section's name.
pub(super) const SECTION: &str = ".sbat";
/// The first line, which says how the others are written.
const VERSION: &str = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";
/// More than any program says of itself.
const MAX: u64 = 64 << 10;

/// What kind of image it is.
const UKI: &str = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/";
const ADDON: &str =
    "uki-addon,1,UKI Addon,addon,1,https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html";

/// The lines of a unified kernel image that is made of `stub` and of the kernel, and of nobody else's programs: each as it
/// says them, then those of the image.
///
/// # Errors
/// If the kernel cannot be read.
pub(super) fn of_image(stub: &[u8], kernel: (&Content, &str)) -> Result<Vec<u8>> {
    Ok(text(&[own(stub, &Content::Bytes(stub.into()), "the stub")?, of_kernel(kernel)?], UKI))
}

/// The lines of an addon.
///
/// # Errors
/// None, as the stub is in memory.
pub(super) fn of_addon(stub: &[u8]) -> Result<Vec<u8>> {
    Ok(text(&[own(stub, &Content::Bytes(stub.into()), "the stub")?], ADDON))
}

fn of_kernel((kernel, place): (&Content, &str)) -> Result<String> {
    own(&head(kernel, place)?, kernel, place)
}

/// What a program says, with the first bytes of it; nothing if it says nothing.
fn own(head: &[u8], program: &Content, place: &str) -> Result<String> {
    let Some(range) = Stub::parse(head).ok().and_then(|program| program.file_range(SECTION)) else {
        return Ok(String::new());
    };
    let mut reader = program.reader()?;
    let mut bytes = Vec::new();
    let read = std::io::copy(&mut (&mut reader).take(range.start), &mut std::io::sink());
    let read = read.and_then(|_| reader.take((range.end - range.start).min(MAX)).read_to_end(&mut bytes));
    read.map_err(|error| Error::io(place, "cannot be read", error))?;
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Each line once, with the one that all have in front.
fn text(said: &[String], own: &str) -> Vec<u8> {
    let mut lines: Vec<&str> = vec![VERSION];
    let components = said.iter().flat_map(|text| text.lines()).chain([own]);
    for line in components.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("sbat,")) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut text = lines.join("\n").into_bytes();
    text.extend(b"\n\0");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_is_named_once_and_the_version_first() {
        let stub =
            format!("{VERSION}\nsystemd-stub,1,The systemd Developers,systemd,257,https://systemd.io/\n");
        let kernel = "sbat,1,x\nlinux,1,The Linux Developers,linux,6.12,https://kernel.org\n\n".to_owned();
        let text = text(&[stub.clone(), kernel, stub], UKI);
        let text = String::from_utf8(text).unwrap();
        let names: Vec<_> = text.lines().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(names, ["sbat", "systemd-stub", "linux", "uki", "\0"]);
        assert!(text.ends_with("\n\0"));
    }
}
