//! The kernel of an image's machine: of another image, by a build whose own files are next to nothing, so that an engine has it
//! in its cache for all that come later.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use exporter::spec::{Architecture, TextFormat};

use super::build::{self, Build};
use crate::base::{Error, Result};
use crate::cli::run::microvm::Microvm;
use crate::engine::Choice;

/// What `--kernel` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::run) enum Kernel {
    /// This file.
    File(PathBuf),
    /// That of an image.
    Image(String),
    /// The image's own.
    Keep,
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "should be file:PATH, image:REF or keep".to_owned();
        match text.split_once(':') {
            None if text == "keep" => Ok(Self::Keep),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("image", name)) if TextFormat::Image.check(name).is_ok() => {
                Ok(Self::Image(name.to_owned()))
            }
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Kernel {
    /// As builds take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Image(name) => write!(f, "image:{name}"),
            Self::Keep => f.write_str("keep"),
        }
    }
}

const DOCKERFILE: &str = "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\n";

/// A microVM with the kernel of this image, and nothing that it could run.
///
/// # Errors
/// If the build fails.
pub(super) fn build(
    donor: &str,
    architecture: Architecture,
    engine: Choice,
    workspace: &Path,
) -> Result<Microvm> {
    let (context, output) = (workspace.join("context"), workspace.join("kernel"));
    write_context(&context, architecture)
        .map_err(|error| Error::user(format!("{}: cannot be written", context.display())).because(error))?;
    build::run(Build {
        context: context.as_os_str(),
        output: &output,
        engine,
        platform: Some(format!("linux/{}", architecture.oci_name())),
        kernel: Some(Kernel::Image(donor.to_owned()).to_string()),
        network: None,
        is_told: false,
    })
    .map_err(|error| error.with_hint("take another kernel: --kernel image:REF or --kernel file:PATH"))?;
    Microvm::read(&output)
}

fn write_context(context: &Path, architecture: Architecture) -> std::io::Result<()> {
    fs::create_dir(context)?;
    fs::write(context.join("Dockerfile"), DOCKERFILE)?;
    let program = context.join("program");
    fs::write(&program, stand_in(architecture))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

/// A program as far as its head goes (elf(5)): it is in no machine that runs.
fn stand_in(architecture: Architecture) -> [u8; 64] {
    const EM_X86_64: u8 = 62;
    const EM_AARCH64: u8 = 183;
    let mut head = [0; 64];
    // 64 bits, little-endian, version 1; a program.
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[16] = 2;
    head[18] = match architecture {
        Architecture::X86_64 => EM_X86_64,
        Architecture::Aarch64 => EM_AARCH64,
    };
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_files_images_or_the_images_own() {
        for text in
            ["file:bzImage", "file:/boot/vmlinuz", "image:debian:12", "image:host:5000/a@sha256:0", "keep"]
        {
            match text.parse::<Kernel>() {
                Ok(kernel) => assert_eq!(kernel.to_string(), text),
                Err(error) => assert!(text.contains('@'), "{text}: {error}"),
            }
        }
        for text in ["", "distro", "6.1", "file:", "image:", "image:a b", "bzImage"] {
            assert!(text.parse::<Kernel>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_build_of_a_kernel_has_a_program_for_each_architecture() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let folder = tempfile::tempdir().unwrap();
            let context = folder.path().join("context");
            write_context(&context, architecture).unwrap();
            let program = fs::read(context.join("program")).unwrap();
            assert!(architecture.runs(&program));
            assert_eq!(fs::metadata(context.join("program")).unwrap().permissions().mode() & 0o777, 0o755);
            assert_eq!(fs::read_to_string(context.join("Dockerfile")).unwrap(), DOCKERFILE);
        }
    }
}
