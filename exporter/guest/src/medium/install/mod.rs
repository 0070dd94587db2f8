//! The installer: the disk of the medium is written on a disk of the machine, which starts no machine until all of it is there.
//!
//! ```text
//! install.toml ─▶ which disk? ─▶ mark its first sector
//!                  │ none fits, or data: refused, or asked    │
//! medium, web server, registry ─blocks, each checked─▶ all but the first ▶ read back ▶ name, keys, network
//!                                                              │
//!                   reboot ◀ entry of the firmware ◀ backup of the table ▶ the first block, its first sector last
//! ```
//!
//! What was begun and not ended is taken again as it is: what is right stays.

mod choice;
mod closing;
mod config;
mod data;
mod disks;
mod fill;
mod firmware;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod image;
mod index;
mod ioctls;
mod mark;
mod person;
mod progress;
mod seed;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use super::console::Consoles;
use super::manifest::{self, Manifest};
use super::words::Words;
use super::{After, Medium, open};
use crate::init::words::Words as Kernels;
use crate::update::source::{Source, open_remote};
use crate::update::sums;
use choice::{Candidate, Choice};
use closing::Closing;
use config::{Config, sources};
use data::Contents;
use disks::{Disk, Places};
use fill::Filling;
use image::Image;
use index::Index;
use person::Person;
use progress::{Progress, size};
use target::Target;

/// Install. What it has to say it says on the consoles.
///
/// # Errors
/// Why the machine is not installed: one line, and a hint.
pub(crate) fn run(medium: &mut Medium, words: &Words, consoles: &Consoles) -> Result<After, String> {
    let config = Config::of(sources::read(medium, words)?)?;
    let installer = Installer { config: &config, person: consoles, places: Places::default() };
    let on = medium.disk.clone();
    match &config.source {
        None => installer.install(&medium.manifest, on.as_deref(), &mut *medium.files)?,
        Some(from) => {
            if !words.installs_from_afar() {
                open::require_network(words, &Kernels::read())?;
            }
            let mut source = open_remote(from)?;
            let manifest = read_manifest(&mut *source, config.source_digest.as_deref());
            let manifest = manifest.map_err(|reason| format!("{from}: {reason}"))?;
            installer.install(&manifest, on.as_deref(), &mut *source)?;
        }
    }
    Ok(config.after())
}

/// What a source says of itself, if it is what was asked for.
fn read_manifest(source: &mut dyn Source, digest: Option<&str>) -> Result<Manifest, String> {
    let missing = "has no medium.json\nhint: it is the folder that --format netboot has written";
    let text = source.small(manifest::NAME, manifest::MAX_LEN)?.ok_or(missing)?;
    if let Some(expected) = digest.and_then(sums::parse) {
        sums::check(manifest::NAME, &text, &expected)?;
    }
    Manifest::parse(&text)
}

/// Who installs.
struct Installer<'a> {
    config: &'a Config,
    person: &'a dyn Person,
    places: Places,
}

impl Installer<'_> {
    fn install(
        &self,
        manifest: &Manifest,
        medium: Option<&Path>,
        source: &mut dyn Source,
    ) -> Result<(), String> {
        require_architecture(manifest)?;
        seed::check(self.config, manifest.target.as_ref())?;
        let image = Image::of(manifest)?;
        let choice = Choice { config: self.config, image: &image, medium, person: self.person };
        let candidate = choice.choose(disks::list(&self.places))?;
        let index = Index::read(&image, source)?;
        let first = fill::first(&image, &index, source)?;
        let closing = Closing::of(&first, image.sector, candidate.disk.bytes)?;
        let disk = &candidate.disk;
        self.person.say(&format!(
            "{}, {}, is installed on {}",
            manifest.name,
            size(image.bytes),
            candidate.show()
        ));
        let done = self.write(&image, &index, &candidate, first, source);
        let done = done.and_then(|()| self.finish(disk, &closing, manifest));
        if done.is_err() {
            let path = disk.path.display();
            self.person
                .say(&format!("{path} is not complete: it starts no machine, and is taken again as it is"));
        }
        done?;
        self.register(&closing, manifest);
        self.person.say(&format!("{} is installed on {}", manifest.name, disk.path.display()));
        Ok(())
    }

    /// All but the first block.
    fn write(
        &self,
        image: &Image,
        index: &Index<'_>,
        candidate: &Candidate,
        first: Vec<u8>,
        source: &mut dyn Source,
    ) -> Result<(), String> {
        let mut target = target(&candidate.disk)?;
        let goes_on = candidate.contents == Contents::Unfinished;
        write(image, index, &mut target, goes_on, first, source, self.person)
    }

    /// What the machine is called and who may log in, and the first block.
    fn finish(&self, disk: &Disk, closing: &Closing, manifest: &Manifest) -> Result<(), String> {
        for note in seed::seed(self.config, &disk.path, closing, manifest.target.as_ref())? {
            self.person.say(&note);
        }
        close(&mut target(disk)?, closing)?;
        Ok(())
    }

    /// A firmware that does not take it finds the system by the path that every firmware looks for.
    fn register(&self, closing: &Closing, manifest: &Manifest) {
        let Some(target) = manifest.target.as_ref().filter(|_| self.config.boot_entry) else { return };
        let (Some(esp), Some(loader)) = (target.esp, &target.loader) else { return };
        let label = target.label.as_deref().unwrap_or(&manifest.name);
        let done = closing.partition(esp).and_then(|esp| firmware::register(label, &esp, loader));
        match done {
            Ok(Some(note)) => self.person.say(&note),
            Ok(None) => {}
            Err(why) => self.person.say(&format!("the firmware was not told of the system: {why}")),
        }
    }
}

/// The disk, of which the kernel knows no partitions any more when it is written.
fn target(disk: &Disk) -> Result<Target, String> {
    let name = disk.path.display().to_string();
    let device =
        target::Disk::open(&disk.path).map_err(|error| format!("{name}: cannot be written to: {error}"))?;
    Ok(Target { name, len: disk.bytes, device: Box::new(device) })
}

/// All but the first block, read back from the disk.
fn write(
    image: &Image,
    index: &Index<'_>,
    target: &mut Target,
    goes_on: bool,
    first: Vec<u8>,
    source: &mut dyn Source,
    person: &dyn Person,
) -> Result<(), String> {
    mark::put(target)?;
    target.device.read_table().map_err(|error| format!("{}: is used: {error}", target.name))?;
    let mut progress = Progress::new(person, "writing", image.bytes);
    let held = Filling { image, index, target, goes_on }.fill(first, source, &mut progress)?;
    progress.end();
    let mut progress = Progress::new(person, "reading back", image.bytes);
    verify::verify(image, index, target, &held, source, &mut progress)?;
    progress.end();
    Ok(())
}

/// What makes it a disk that starts, read back.
fn close(target: &mut Target, closing: &Closing) -> Result<(), String> {
    closing.write(target)?;
    target.forget()?;
    closing.check(target)?;
    // Where the kernel does not take them now, it knows the new partitions at the next boot.
    let _ = target.device.read_table();
    Ok(())
}

/// As the medium's builder and systemd call it.
fn require_architecture(manifest: &Manifest) -> Result<(), String> {
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86-64" };
    match manifest.architecture.is_empty() || manifest.architecture == own {
        true => Ok(()),
        false => {
            let other = &manifest.architecture;
            Err(format!("{} is a system for {other}, and this machine is {own}", manifest.name))
        }
    }
}
