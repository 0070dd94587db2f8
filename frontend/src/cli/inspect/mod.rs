//! `vmimage inspect`: what is on a disk, without mounting it. No byte of the disk is trusted.

mod bios;
mod file_system;
mod linux;
mod print;
mod window;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exporter::disk::gpt::{self, Partition, Table};
use exporter::disk::kinds;
use exporter::read_at::{ReadAt, Shared};
use exporter::spec::Architecture;
use exporter::{container, fs::fat};
use serde::Serialize;

use super::image::Image;
use super::{Error, Result};
use file_system::FileSystem;
use linux::Linux;
use window::Window;

/// Show what is on a disk: partitions, file systems, boot loader, kernel, distribution.
///
/// Reads the disk by itself, in every format that can be built: no root, nothing is mounted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, in any format: told by what is in the file, not by its name
    file: PathBuf,
    /// Print it as JSON, sizes in bytes
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage inspect web.qcow2
  vmimage inspect web.qcow2 --json | jq -r .linux.command_line
  vmimage inspect web.qcow2 --json | jq -r .partitions[].file_system.tree_digest
                                     the same for the same files, in whatever format

Exit code 1 if the disk is damaged; what can be read is shown all the same.";

/// Shows the disk; what is broken on it comes last and makes the command fail.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // It takes as long as reading all of the disk, so only programs get it.
    let report = Report::read(&args.file, args.json)?;
    match args.json {
        true => super::print_json(&report)?,
        false => print!("{}", print::Text(&report)),
    }
    match &report.problems[..] {
        [] => Ok(ExitCode::SUCCESS),
        problems => Err(Error::user(format!("{}: {}", args.file.display(), problems.join("; ")))),
    }
}

/// What can start a disk, told by its boot loaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Starts {
    /// The machine it is for.
    pub(crate) architecture: Architecture,
    /// Whether UEFI finds a loader; else only a BIOS does.
    pub(crate) by_uefi: bool,
}

impl Starts {
    /// `None` if there is no boot loader to tell by.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let (_, disk) = container::open(file).ok()?;
        let table = gpt::read(&*disk).ok()?.table;
        let esp = table.partitions.iter().find(|partition| partition.kind == kinds::ESP);
        let files = esp.and_then(|esp| fat::read(&Window::of_partition(&disk, &table, esp)).ok());
        let files = files.map_or_else(Vec::new, |esp| esp.files);
        let has = |name: &str| files.iter().any(|file| file.eq_ignore_ascii_case(name));
        // Both may be there; a disk that starts on a PC is then run as one.
        let by_uefi = [
            ("EFI/BOOT/BOOTX64.EFI", Architecture::X86_64),
            ("EFI/BOOT/BOOTAA64.EFI", Architecture::Aarch64),
        ];
        let by_uefi = by_uefi.into_iter().find(|(loader, _)| has(loader));
        match by_uefi {
            Some((_, architecture)) => Some(Self { architecture, by_uefi: true }),
            None => bios::boot_loader(&*disk, &table)
                .map(|_| Self { architecture: Architecture::X86_64, by_uefi: false }),
        }
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    #[serde(flatten)]
    image: Image,
    /// Of a disk without a partition table: the file system that fills it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_system: Option<FileSystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_guid: Option<String>,
    partitions: Vec<PartitionReport>,
    boot: Boot,
    linux: Option<Linux>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    number: u32,
    /// The name of the type, if it is a known one.
    kind: Option<&'static str>,
    kind_guid: String,
    guid: String,
    /// First byte on the disk.
    start: u64,
    /// In bytes.
    size: u64,
    label: String,
    file_system: Option<FileSystem>,
}

/// What starts the machine.
#[derive(Debug, Default, Serialize)]
struct Boot {
    /// The boot loader in the MBR and the BIOS boot partition.
    bios: Option<&'static str>,
    /// The files of the EFI system partition.
    uefi: Vec<String>,
}

impl Report {
    fn read(file: &Path, with_digests: bool) -> Result<Self> {
        let image = Image::read(file)?;
        let (_, disk) = container::open(file)?;
        let problems = container::check(file)?;
        let (boot, partitions) = (Boot::default(), Vec::new());
        let file = file.to_owned();
        let mut report =
            Self { file, image, file_system: None, disk_guid: None, partitions, boot, linux: None, problems };
        match gpt::read(&*disk) {
            Ok(found) => {
                report.problems.extend(gpt::check(&*disk, &found));
                report.read_partitions(&disk, &found.table, with_digests);
            }
            Err(no_table) => report.read_whole(&disk, no_table, with_digests)?,
        }
        Ok(report)
    }

    fn read_partitions(&mut self, disk: &Shared, table: &Table, with_digests: bool) {
        self.disk_guid = Some(table.disk_guid.to_string());
        for partition in &table.partitions {
            let window = Window::of_partition(disk, table, partition);
            let place = format!("partition {}", partition.number);
            let mut file_system = self.read_file_system(&window, &place, partition.kind == kinds::ESP);
            if let Some(file_system) = file_system.as_mut().filter(|_| with_digests) {
                self.digest(file_system, &window, &place);
            }
            self.partitions.push(PartitionReport::new(partition, &window, file_system));
        }
        self.boot.bios = bios::boot_loader(&**disk, table);
        // The root partition is asked first: another one may hold a second system.
        let mut candidates: Vec<_> = table.partitions.iter().collect();
        candidates
            .sort_by_key(|partition| ![kinds::ROOT_X86_64, kinds::ROOT_ARM64].contains(&partition.kind));
        for partition in candidates {
            let window = Window::of_partition(disk, table, partition);
            self.read_linux(window, &format!("partition {}", partition.number));
        }
    }

    /// A disk that is one file system, as small virtual machines have it; else the table is what is missing.
    fn read_whole(&mut self, disk: &Shared, no_table: exporter::Error, with_digests: bool) -> Result<()> {
        let window = Window::whole(disk);
        match FileSystem::probe(&window, false) {
            Ok(Some((mut file_system, _))) => {
                if with_digests {
                    self.digest(&mut file_system, &window, "disk");
                }
                self.file_system = Some(file_system);
            }
            _ => return Err(Error::user(format!("{}: {no_table}", self.file.display()))),
        }
        self.read_linux(window, "disk");
        Ok(())
    }

    fn read_file_system(&mut self, window: &Window, place: &str, is_esp: bool) -> Option<FileSystem> {
        match FileSystem::probe(window, is_esp) {
            Ok(None) => None,
            Ok(Some((file_system, files))) => {
                if is_esp {
                    self.boot.uefi.extend(files);
                }
                Some(file_system)
            }
            Err(error) => {
                self.problems.push(format!("{place}: {error}"));
                None
            }
        }
    }

    fn digest(&mut self, file_system: &mut FileSystem, window: &Window, place: &str) {
        match file_system.read_tree_digest(window) {
            Ok(()) => {}
            Err(error) => self.problems.push(format!("{place}: {error}")),
        }
    }

    fn read_linux(&mut self, window: Window, place: &str) {
        if self.linux.is_some() || !file_system::is_ext(&window) {
            return;
        }
        match Linux::read(window) {
            Ok(linux) => self.linux = linux,
            Err(reason) => self.problems.push(format!("{place}: {reason}")),
        }
    }
}

impl PartitionReport {
    fn new(partition: &Partition, window: &Window, file_system: Option<FileSystem>) -> Self {
        Self {
            number: partition.number,
            kind: kinds::name(partition.kind),
            kind_guid: partition.kind.to_string(),
            guid: partition.guid.to_string(),
            start: window.start(),
            size: window.size(),
            label: partition.name.clone(),
            file_system,
        }
    }
}
