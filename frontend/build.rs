//! Builds boot loader files and the guest's programs into the binary, where they are given.
//!
//! The frontend image's build gives them (Dockerfile.frontend); a plain `cargo build` makes a program
//! without, which says so when they are wanted.

use std::path::{Path, PathBuf};

/// Folder of boot loader files, by the names of exporter's `BootFiles`.
const BOOT_FILES: &str = "VMIMAGE_BUILTIN_BOOT_FILES";
/// Folder of the guest's programs, each named after what it is and the architecture: `vmimage-grow-amd64`.
const GUEST: &str = "VMIMAGE_BUILTIN_GUEST";

fn main() {
    let code = table("BOOT_FILES", BOOT_FILES) + &table("GUEST", GUEST);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("builtin.rs");
    std::fs::write(out, code).expect("cargo's own folder can be written");
}

/// A constant of the names and contents of the files in the folder that a variable names.
fn table(name: &str, variable: &str) -> String {
    let files = given(variable).map(|folder| files(&folder)).unwrap_or_default();
    let rows = files.iter().map(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("the files have plain names");
        format!("    ({name:?}, include_bytes!({path:?})),\n")
    });
    format!("const {name}: &[(&str, &[u8])] = &[\n{}];\n", rows.collect::<String>())
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
