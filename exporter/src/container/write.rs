//! What is wanted of an image, made in one pass: files and folders under their names, or one file into a pipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frames::{self, Around};
use super::place::{Lasting, Pipe, Place};
use super::{
    Appliance, Base, Compression, Folder, Format, Medium, Microvm, Output, Update, blocks, containerdisk,
    gce, medium, microvm, ovf, placement, qcow2, rauc, raw, sparse, update, vdi, vhd, vhdx, vmdk,
};
use crate::codec::Coding;
use crate::engine::{self, RawImage, Run, Sink};
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Uuid;

/// A file or a folder that is wanted.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where; of a pipe, its name in messages.
    pub path: PathBuf,
    /// In which format.
    pub format: Format,
    /// Compressed how.
    pub compression: Compression,
    /// The identity of the disk file, for formats that have one.
    pub id: Uuid,
    /// The machine it is for, for formats that tell.
    pub appliance: Appliance,
    /// The update that comes of the image, if one does.
    pub update: Option<Update>,
    /// The disk that it is written over, as a qcow2 with what differs from that alone.
    pub base: Option<Base>,
    /// Where the files of its root lie, if that is an ext4 and a format says it.
    pub placement: Option<Arc<[u8]>>,
    /// What lies beside the root of a microVM, if that is one.
    pub microvm: Option<Arc<Microvm>>,
    /// What lies around the disk on a medium, if one is asked for.
    pub medium: Option<Arc<Medium>>,
    /// Whether it is written as a [`sparse`] stream of itself, to be unpacked elsewhere. Not for formats that read
    /// again what they have written.
    pub sparse: bool,
}

/// What a target is written to; complete, it gets its name.
enum Unnamed {
    File(Box<dyn Lasting>),
    Folder(Folder),
}

impl Target {
    /// The bytes of a disk and nothing else: whole, and for no machine.
    pub fn new(path: PathBuf, format: Format, compression: Compression, id: Uuid) -> Self {
        let appliance = Appliance::default();
        let (update, base, placement, microvm, medium) = (None, None, None, None, None);
        let sparse = false;
        Self { path, format, compression, id, appliance, update, base, placement, microvm, medium, sparse }
    }

    /// The file, or the stream of it; or the folder.
    fn create(&self) -> Result<Unnamed> {
        if self.format.is_folder() {
            return Folder::create(&self.path, self.format).map(Unnamed::Folder);
        }
        let output = Output::create(&self.path)?;
        Ok(Unnamed::File(if self.sparse { Box::new(sparse::Writer::new(output)?) } else { Box::new(output) }))
    }

    /// Where it lies.
    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
    }
}

impl Unnamed {
    fn complete(self) -> Result<()> {
        match self {
            Self::File(file) => file.complete(),
            Self::Folder(folder) => folder.persist(),
        }
    }

    fn to(&self) -> To<'_> {
        match self {
            Self::File(place) => To::Place(&**place),
            Self::Folder(folder) => To::Folder(folder),
        }
    }
}

/// Where a sink writes.
#[derive(Clone, Copy)]
enum To<'a> {
    Place(&'a dyn Place),
    Folder(&'a Folder),
}

/// Make every target of `image` in one pass.
///
/// # Errors
/// [`Kind::Unsupported`] for a compression that a format lacks; whatever the extents' files and the file
/// systems have to say. On an error no target appears that is not complete.
pub fn write(image: RawImage<'_>, targets: &[Target], run: &Run<'_>) -> Result<()> {
    let made = targets.iter().map(Target::create).collect::<Result<Vec<_>>>()?;
    let sinks: Vec<_> = targets
        .iter()
        .zip(&made)
        .map(|(target, made)| sink(image, target, made.to(), run))
        .collect::<Result<_>>()?;
    engine::run(image, &sinks.iter().map(Box::as_ref).collect::<Vec<_>>(), run)?;
    sinks.iter().try_for_each(|sink| sink.finish())?;
    drop(sinks);
    made.into_iter().try_for_each(Unnamed::complete)
}

/// Make one disk file of `image` and send it into a pipe, from front to end.
///
/// # Errors
/// As [`write()`], and [`Kind::Unsupported`] for a format whose writer has to go back.
pub fn stream(
    image: RawImage<'_>,
    target: &Target,
    to: &mut (dyn Write + Send),
    run: &Run<'_>,
) -> Result<()> {
    if !target.format.streams() {
        let message = format!("{} cannot be written to a pipe", target.format);
        let what = if target.format.is_folder() { "folder" } else { "file" };
        let can: Vec<_> =
            Format::ALL.iter().filter(|format| format.streams()).map(|format| format.name()).collect();
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint(format!("name a {what}, or ask for one of {}", can.join(", "))));
    }
    let pipe = Pipe::new(to);
    let sink = sink(image, target, To::Place(&pipe), run)?;
    engine::run(image, &[&*sink], run)?;
    sink.finish()?;
    drop(sink);
    pipe.finish()
}

fn sink<'a>(
    image: RawImage<'_>,
    target: &'a Target,
    to: To<'a>,
    run: &'a Run<'a>,
) -> Result<Box<dyn Sink + 'a>> {
    check_target(image, target)?;
    let Target { format, compression, id, ref appliance, .. } = *target;
    let place = match (format, to) {
        (Format::Ovf, To::Folder(folder)) => {
            return Ok(Box::new(ovf::FolderWriter::new(image.size, id, appliance, folder)?));
        }
        (Format::Update, To::Folder(folder)) => {
            let update = target.update.as_ref().ok_or_else(|| no_update(target))?;
            return Ok(Box::new(update::FolderWriter::new(image.size, update, folder, run)?));
        }
        (Format::Microvm, To::Folder(folder)) => {
            let microvm = target.microvm.as_deref().ok_or_else(|| no_microvm(target))?;
            return Ok(Box::new(microvm::FolderWriter::new(image, compression, microvm, folder)?));
        }
        (Format::Netboot, To::Folder(folder)) => {
            let netboot = target.medium.as_ref().and_then(|medium| medium.netboot.as_ref());
            let netboot = netboot.ok_or_else(|| no_medium(target))?;
            return Ok(Box::new(medium::FolderWriter::new(image.size, netboot, folder, run)?));
        }
        (_, To::Folder(_)) => return Err(misplaced(target)),
        (_, To::Place(place)) => place,
    };
    Ok(match format {
        Format::Raw | Format::Uki => Box::new(raw::Writer::new(image.size, place)),
        Format::Qcow2 => Box::new(match &target.base {
            None => qcow2::Writer::new(image, compression, place)?,
            Some(base) => qcow2::Writer::over(base.clone(), image.size, compression, place)?,
        }),
        Format::Vdi => Box::new(blocks::Writer::new(vdi::tables(image.size, id)?, place)),
        Format::Vhd => Box::new(vhd::Writer::new(image.size, id, place)?),
        Format::VhdDynamic => Box::new(vhd::dynamic::Writer::new(image.size, id, place)?),
        Format::Vhdx => Box::new(blocks::Writer::new(vhdx::tables(image.size, id)?, place)),
        Format::Vmdk => Box::new(vmdk::Writer::new(image.size, id, place)?),
        Format::Ova => Box::new(ovf::ArchiveWriter::new(image.size, id, appliance, place)?),
        Format::Iso => {
            let disc = target.medium.as_ref().and_then(|medium| medium.disc.as_ref());
            let disc = disc.ok_or_else(|| no_medium(target))?;
            Box::new(medium::DiscWriter::new(image.size, disc, run, place)?)
        }
        Format::Ovf | Format::Update | Format::Microvm | Format::Netboot => return Err(misplaced(target)),
        Format::RawZst => {
            Box::new(frames::Writer::new(image.size, Coding::CheckedZstd, Around::default(), place)?)
        }
        Format::RawGz => Box::new(frames::Writer::new(image.size, Coding::Gzip, Around::default(), place)?),
        Format::Gce => Box::new(gce::writer(image.size, place)?),
        Format::Placement => {
            let shown = target.path.display().to_string();
            Box::new(placement::Writer::new(target.placement.as_deref(), &shown, place)?)
        }
        Format::ContainerDisk => Box::new(containerdisk::Writer::new(image, compression, appliance, place)?),
        Format::Rauc => {
            let update = target.update.as_ref().ok_or_else(|| no_update(target))?;
            let bundle = update.bundle.as_ref().ok_or_else(|| no_signer(target))?;
            Box::new(rauc::Writer::new(image.size, update, bundle, target.folder(), place)?)
        }
    })
}

/// What no format can be made of, or not so.
fn check_target(image: RawImage<'_>, target: &Target) -> Result<()> {
    let Target { format, compression, .. } = *target;
    if !format.compressions().contains(&compression) {
        let message = match compression {
            Compression::None => format!("a {format} disk is always compressed"),
            _ => format!("a {format} disk cannot be compressed with {compression}"),
        };
        let can: Vec<_> = format.compressions().iter().map(|known| known.name()).collect();
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint(format!("leave the compression out, or ask for {}", can.join(", "))));
    }
    if target.base.is_some() && format != Format::Qcow2 {
        let message = format!("a {format} disk has no base");
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message)
            .with_hint("ask for qcow2, or for a whole disk"));
    }
    let unit = format.size_unit();
    if !image.size.is_multiple_of(unit) {
        let message = format!("a {format} disk is a multiple of {} large", show_size(unit));
        return Err(Error::new(Kind::Unsupported, target.path.display().to_string(), message).with_hint(
            format!("make the disk {} bytes large", image.size.saturating_add(unit) / unit * unit),
        ));
    }
    Ok(())
}

fn no_update(target: &Target) -> Error {
    let message = "an update comes of the build of a machine with two slots, and this is none";
    Error::new(Kind::Unsupported, target.path.display().to_string(), message)
        .with_hint("ask for another format")
}

fn no_microvm(target: &Target) -> Error {
    let message = "a microvm comes of a build with profile = \"microvm\", and this is none";
    Error::new(Kind::Unsupported, target.path.display().to_string(), message)
        .with_hint("ask for another format")
}

fn no_medium(target: &Target) -> Error {
    let message = format!("{} comes of the build of a machine, and this is none", target.format);
    Error::new(Kind::Unsupported, target.path.display().to_string(), message)
        .with_hint("ask for another format")
}

fn no_signer(target: &Target) -> Error {
    Error::new(
        Kind::Input,
        target.path.display().to_string(),
        "a bundle is signed, and nobody signs this one",
    )
    .with_hint("name a certificate and a key in vmimage.toml: [rauc]")
}

/// Of a folder that goes to a file, or the other way round.
fn misplaced(target: &Target) -> Error {
    let what = if target.format.is_folder() { "a folder" } else { "a file" };
    Error::new(Kind::Unsupported, target.path.display().to_string(), format!("{} is {what}", target.format))
}
