//! Builds boot loader files and the guest's programs into the binary, where they are given.
//!
//! The frontend image's build gives them (Dockerfile.frontend); a plain `cargo build` makes a program
//! without, which says so when they are wanted.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Folder of boot loader files, by the names of exporter's `BootFiles`.
const BOOT_FILES: &str = "VMIMAGE_BUILTIN_BOOT_FILES";
/// The folder of the guest's programs.
const GUEST: &str = "VMIMAGE_BUILTIN_GUEST";
/// What the code calls them, and their files.
const PROGRAMS: [(&str, &str); 2] = [("GROW", "vmimage-grow"), ("INIT", "vmimage-init")];

fn main() {
    let boot = given(BOOT_FILES).map(|folder| files(&folder)).unwrap_or_default();
    let guest = given(GUEST);
    let mut code = String::from("pub(crate) const BOOT_FILES: &[(&str, &[u8])] = &[\n");
    for path in boot {
        let name =
            path.file_name().and_then(|name| name.to_str()).expect("boot loader files have plain names");
        let _ = writeln!(code, "    ({name:?}, include_bytes!({path:?})),");
    }
    code.push_str("];\n");
    for (name, file) in PROGRAMS {
        let path = guest.as_ref().map(|folder| folder.join(file));
        let program = path.map_or("None".to_owned(), |path| format!("Some(include_bytes!({path:?}))"));
        let _ = writeln!(code, "pub(crate) const {name}: Option<&[u8]> = {program};");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("builtin.rs");
    std::fs::write(out, code).expect("cargo's own folder can be written");
}

fn given(variable: &str) -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed={variable}");
    let path = std::env::var_os(variable).map(PathBuf::from)?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(path.canonicalize().unwrap_or_else(|error| panic!("{variable}: {}: {error}", path.display())))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.sort();
    files
}
