//! Images of kernels: for which machine they are, what is packed in them, and what they were built to do.
//!
//! ```text
//! bzImage      header │ … │ payload (packed) ─┐
//! Image.gz, zboot         payload (packed) ─┐ ├▶ vmlinux, an ELF file of x86_64
//! vmlinux, Image ───────────────────────────┴─┴▶ Image, as arm64 starts it
//!                                                  └▶ release, entry for PVH, configuration
//! ```
//!
//! What is unpacked passes through in pieces: a kernel may be of any size that kernels have.
//!
//! Read are bzImages (boot.rst of the kernel's documentation, protocol 2.08 or later) and ELF files of x86_64; Images of arm64
//! (booting.rst), packed by gzip or within a program for EFI (`CONFIG_EFI_ZBOOT`). Packed by gzip, xz, zstd or LZ4; not by LZMA, LZO or
//! bzip2, which no distribution of ours takes.

mod arm64;
mod bzimage;
mod config;
mod drivers;
pub(crate) mod elf;
mod keep;
mod scan;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod unpack;

use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

pub use config::{Config, Setting};
pub use drivers::option_of;

use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::tree::Content;
use scan::Scan;

/// What is read of an image to tell what it is: its headers, and of a bzImage the text with its release.
const HEAD: u64 = 64 << 10;
/// What helps where a file is none of the kernels that are read.
const FORMS: &str = "give a bzImage (vmlinuz) or a vmlinux of x86_64, or an Image of arm64, as the kernel's own build makes them";

/// The image of a kernel.
#[derive(Clone, Debug)]
pub struct KernelImage {
    place: String,
    content: Content,
    form: Form,
    architecture: Architecture,
    release: String,
    /// What was found when it was read to its end.
    scan: OnceLock<Scan>,
}

/// How an image is made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// The kernel itself: an ELF file, or an Image of arm64.
    Plain,
    /// Packed, at these bytes of the image.
    Packed(Range<u64>),
}

/// What is packed in an image, and what it tells.
#[derive(Debug)]
pub struct Vmlinux<'image> {
    image: &'image KernelImage,
    /// Its bytes.
    pub len: u64,
    /// Where a monitor enters it by PVH (`XEN_ELFNOTE_PHYS32_ENTRY`), if it has been built for that.
    pub pvh: Option<u64>,
    /// What it has been built with, where it tells that (`CONFIG_IKCONFIG`).
    pub config: Config,
}

impl KernelImage {
    /// The image in a file, which `place` names in messages: `/boot/vmlinuz-6.1.0`, `bzImage`.
    ///
    /// # Errors
    /// If the file is no kernel, or none of a form that is read.
    pub fn read(content: &Content, place: &str) -> Result<Self> {
        let head = head(content).map_err(|error| Error::io(place, "cannot read the file", error))?;
        let len = content.len();
        let recognised = match &*head {
            [0x1f, 0x8b, ..] => Some(Recognised::packed(Architecture::Aarch64, 0..len)),
            head if head.starts_with(b"\x7fELF") => elf::architecture(head).map(Recognised::plain),
            head => match (bzimage::read(head, len), arm64::read(head, len)) {
                (Ok(Some(found)), _) | (Ok(None), Ok(Some(found))) => Some(found),
                (Ok(None), Ok(None)) => None,
                (Err(why), _) | (_, Err(why)) => {
                    return Err(
                        Error::new(Kind::Corrupt, place, why).with_hint("copy or build the kernel again")
                    );
                }
            },
        };
        let Some(Recognised { form, architecture, release }) = recognised else {
            return Err(Error::new(Kind::Input, place, "is no kernel").with_hint(FORMS));
        };
        let mut image = Self {
            place: place.into(),
            content: content.clone(),
            form,
            architecture,
            release: String::new(),
            scan: OnceLock::new(),
        };
        image.release = match release {
            Some(release) => release,
            None => image.told_release()?,
        };
        Ok(image)
    }

    /// Its release, as `uname -r` shows it.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The machines that it is for.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The file, as messages name it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether the file is the kernel itself, not packed in anything.
    pub fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Whether firmware starts the file as it is: a program unpacks the kernel, which is not just packed.
    pub fn unpacks_itself(&self) -> bool {
        matches!(&self.form, Form::Packed(range) if range.start > 0)
    }

    /// What is packed in it, read to its end: an ELF file of x86_64, an Image of arm64.
    ///
    /// # Errors
    /// If it cannot be unpacked, or is something else.
    pub fn vmlinux(&self) -> Result<Vmlinux<'_>> {
        let &Scan { len, pvh, ref config, .. } = self.scan()?;
        Ok(Vmlinux { image: self, len, pvh, config: config.clone() })
    }

    /// The release that the kernel says at its start.
    fn told_release(&self) -> Result<String> {
        self.scan()?.release.clone().ok_or_else(|| {
            let message = "is no kernel: it never says \"Linux version\"";
            Error::new(Kind::Input, &self.place, message).with_hint(FORMS)
        })
    }

    /// Once: to unpack a kernel takes a second.
    fn scan(&self) -> Result<&Scan> {
        match self.scan.get() {
            Some(scan) => Ok(scan),
            None => {
                let scan = self.whole(self.unpacked()?)?;
                Ok(self.scan.get_or_init(|| scan))
            }
        }
    }

    /// What is found in the kernel itself, if it is a whole one.
    fn whole(&self, unpacked: impl Read) -> Result<Scan> {
        let scan = scan::scan(unpacked).map_err(|error| self.broken(error))?;
        let is_whole = match self.architecture {
            Architecture::X86_64 => elf::architecture(&scan.head) == Some(Architecture::X86_64),
            Architecture::Aarch64 => arm64::is_image(&scan.head),
        };
        if !is_whole {
            let message = format!("has no kernel of {} packed in it", self.architecture.name());
            return Err(Error::new(Kind::Corrupt, &self.place, message).with_hint(FORMS));
        }
        Ok(scan)
    }

    /// The bytes of the kernel itself, at most as many as there may be.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn unpacked(&self) -> Result<Box<dyn Read + '_>> {
        let mut reader = self.content.reader()?;
        let Form::Packed(range) = &self.form else {
            return Ok(Box::new(unpack::Limited::new(reader, limits::VMLINUX)));
        };
        std::io::copy(&mut reader.by_ref().take(range.start), &mut std::io::sink())
            .map_err(|error| self.broken(error))?;
        let payload = reader.take(range.end - range.start);
        unpack::unpacked(Box::new(payload), limits::VMLINUX).map_err(|error| self.broken(error))
    }

    fn broken(&self, error: std::io::Error) -> Error {
        let message = format!("the kernel in it cannot be unpacked: {error}");
        let broken = Error::new(Kind::Corrupt, &self.place, message);
        match error.kind() {
            std::io::ErrorKind::Unsupported => broken.with_hint(
                "build it with CONFIG_KERNEL_ZSTD, CONFIG_KERNEL_GZIP, CONFIG_KERNEL_XZ or CONFIG_KERNEL_LZ4",
            ),
            _ => broken.with_hint("copy or build the kernel again"),
        }
    }
}

impl Vmlinux<'_> {
    /// Its bytes, from the first to the last.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn reader(&self) -> Result<Box<dyn Read + '_>> {
        self.image.unpacked()
    }
}

/// What the head of an image tells.
struct Recognised {
    form: Form,
    architecture: Architecture,
    release: Option<String>,
}

impl Recognised {
    fn plain(architecture: Architecture) -> Self {
        Self { form: Form::Plain, architecture, release: None }
    }

    fn packed(architecture: Architecture, range: Range<u64>) -> Self {
        Self { form: Form::Packed(range), architecture, release: None }
    }
}

fn head(content: &Content) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    content.reader().map_err(std::io::Error::other)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// A release at the start of a text: a name of a folder of modules.
fn release(text: &[u8]) -> Option<String> {
    const LONGEST: usize = 64;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' ' | b'\n'))?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    let is_release = (1..=LONGEST).contains(&word.len())
        && word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    is_release.then(|| word.to_owned())
}
