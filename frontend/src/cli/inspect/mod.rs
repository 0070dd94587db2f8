//! `vmimage inspect`: what is on a disk, without mounting it. No byte of the disk is trusted.

mod bios;
mod entries;
mod file_system;
mod linux;
mod microvm;
mod print;
mod signatures;
mod slots;
mod window;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exporter::boot::entries::Entry;
use exporter::disk::{self, PartitionId, PartitionKind, Placed, Table, kinds, mbr};
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::Shared;
use exporter::spec::Architecture;
use exporter::{Kind, container};
use serde::Serialize;

use crate::base::disk::DiskInfo;
use crate::base::{Error, Result, terminal};
use file_system::FileSystem;
use linux::Linux;
use microvm::Microvm;
use signatures::Signature;
use slots::Slots;
use window::Window;

/// Show what is on a disk: partitions, file systems, boot loader, kernel, distribution.
///
/// Reads the disk by itself, in every format that can be built: no root, nothing is mounted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, in any format: told by what is in the file, not by its name; or the folder of a microVM
    file: PathBuf,
    /// Print it as JSON, sizes in bytes
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage inspect web.qcow2
  vmimage inspect web                                the folder of a microVM
  vmimage inspect web.qcow2 --json | jq -r .linux.command_line
  vmimage inspect web.qcow2 --json | jq -r .partitions[].file_system.tree_digest
                                     the same for the same files, in whatever format

Exit code 1 if the disk is damaged; what can be read is shown all the same. What is not read is a warning.";

/// Shows the disk; what is broken on it comes last and makes the command fail.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // It takes as long as reading all of the disk, so only programs get it.
    let report = Report::read(&args.file, args.json)?;
    for warning in &report.warnings {
        terminal::tell_line(format_args!("warning: {}: {warning}", args.file.display()));
    }
    match args.json {
        true => crate::base::terminal::print_json(&report)?,
        false => terminal::print(&print::Text(&report).to_string())?,
    }
    match &report.problems[..] {
        [] => Ok(ExitCode::SUCCESS),
        problems => Err(Error::user(format!("{}: {}", args.file.display(), problems.join("; ")))),
    }
}

/// All that is said of a disk that is whole, for `make fuzz`; else what is wrong with it.
#[cfg(feature = "fuzz")]
pub(crate) fn whole(file: &Path) -> std::result::Result<String, String> {
    let report = Report::read(file, true).map_err(|error| error.to_string())?;
    let said = print::Text(&report).to_string();
    if report.problems.is_empty() { Ok(said) } else { Err(report.problems.join("; ")) }
}

/// What can start a disk, told by its boot loaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Starts {
    /// The machine it is for.
    pub(crate) architecture: Architecture,
    /// Whether UEFI finds a loader; else only a BIOS does.
    pub(crate) by_uefi: bool,
    /// Bytes of the sectors that it is laid out for.
    pub(crate) sector_size: u32,
}

impl Starts {
    /// `None` if there is no boot loader to tell by.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let (_, disk) = container::open(file).ok()?;
        let table = disk::read(&*disk).ok()?;
        let esp = table.partitions().into_iter().find(is_esp);
        let budget = DiskBudget::new(0);
        let files = esp.and_then(|esp| fat::files(&Window::of_partition(&disk, &esp), &budget).ok());
        let files = files.unwrap_or_default();
        let has = |name: &str| files.iter().any(|file| file.eq_ignore_ascii_case(name));
        // Both may be there; a disk that starts on a PC is then run as one.
        let by_uefi = [
            ("EFI/BOOT/BOOTX64.EFI", Architecture::X86_64),
            ("EFI/BOOT/BOOTAA64.EFI", Architecture::Aarch64),
        ];
        let by_uefi = by_uefi.into_iter().find(|(loader, _)| has(loader));
        let sector_size = table.sector_size();
        match by_uefi {
            Some((_, architecture)) => Some(Self { architecture, by_uefi: true, sector_size }),
            None => bios::boot_loader(&*disk, &table).map(|_| Self {
                architecture: Architecture::X86_64,
                by_uefi: false,
                sector_size,
            }),
        }
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    #[serde(flatten)]
    image: DiskInfo,
    /// Of a microVM: its description. The rest is of its root.
    #[serde(skip_serializing_if = "Option::is_none")]
    microvm: Option<Microvm>,
    /// Of a disk without a partition table: the file system that fills it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_system: Option<FileSystem>,
    /// The kind of the partition table.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_guid: Option<String>,
    /// What an MBR has in place of a GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_signature: Option<String>,
    partitions: Vec<PartitionReport>,
    boot: Boot,
    /// Of a machine with two roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<Slots>,
    linux: Option<Linux>,
    /// What is not read.
    warnings: Vec<String>,
    /// What is broken.
    problems: Vec<String>,
}

/// What a disk may cost.
struct Budgets {
    /// What it says of itself.
    facts: DiskBudget,
    /// All that is in it. Apart, so that facts are there whatever it costs.
    contents: DiskBudget,
}

impl Budgets {
    fn new(image: &DiskInfo) -> Self {
        Self { facts: DiskBudget::new(image.actual_size), contents: DiskBudget::new(image.actual_size) }
    }
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    number: u32,
    /// The name of the type, if it is a known one.
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind_guid: Option<String>,
    /// What an MBR has in place of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind_byte: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
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
    /// Who has signed the programs among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signature>,
}

impl Report {
    fn read(file: &Path, with_digests: bool) -> Result<Self> {
        match Microvm::read(file)? {
            None => Self::of_disk(file, with_digests),
            Some((microvm, root)) => {
                let image = DiskInfo::read(file)?;
                let root = Self::of_disk(&root, with_digests)?;
                Ok(Self { file: file.to_owned(), image, microvm: Some(microvm), ..root })
            }
        }
    }

    fn of_disk(file: &Path, with_digests: bool) -> Result<Self> {
        let image = DiskInfo::read(file)?;
        let (_, disk) = container::open(file)?;
        let budgets = Budgets::new(&image);
        let (boot, partitions) = (Boot::default(), Vec::new());
        let mut report = Self {
            file: file.to_owned(),
            image,
            microvm: None,
            file_system: None,
            table: None,
            disk_guid: None,
            disk_signature: None,
            partitions,
            boot,
            slots: None,
            linux: None,
            warnings: Vec::new(),
            problems: container::check(file)?,
        };
        match disk::read(&*disk) {
            Ok(table) => {
                report.problems.extend(table.check(&*disk));
                report.read_partitions(&disk, &table, &budgets, with_digests);
            }
            Err(no_table) => report.read_whole(&disk, no_table, &budgets, with_digests)?,
        }
        Ok(report)
    }

    fn read_partitions(&mut self, disk: &Shared, table: &Table, budgets: &Budgets, with_digests: bool) {
        self.table = Some(table.kind().name());
        match table {
            Table::Gpt(_) => self.disk_guid = Some(table.disk_id()),
            Table::Mbr(_) => self.disk_signature = Some(table.disk_id()),
        }
        let partitions = table.partitions();
        for partition in &partitions {
            let window = Window::of_partition(disk, partition);
            let place = format!("partition {}", partition.number);
            if matches!(partition.kind, PartitionKind::Byte(kind) if mbr::is_extended(kind)) {
                self.warnings.push(format!("{place}: is extended, and the partitions in it are not read"));
            }
            let mut file_system = self.read_file_system(&window, &place, is_esp(partition), &budgets.facts);
            if let Some(file_system) = file_system.as_mut().filter(|_| with_digests) {
                self.digest(file_system, &window, &place, &budgets.contents);
            }
            if is_esp(partition) && file_system.is_some() {
                self.read_signatures(&window, &place, &budgets.contents);
            }
            self.partitions.push(PartitionReport::new(partition, file_system));
        }
        let entries = self.read_entries(disk, &partitions, &budgets.facts);
        self.read_slots(disk, &partitions, &entries, &budgets.facts);
        self.boot.bios = bios::boot_loader(&**disk, table);
        // The root partition is asked first: another one may hold a second system.
        let mut candidates: Vec<_> = partitions.iter().collect();
        candidates.sort_by_key(|partition| !partition.kind.guid().is_some_and(kinds::is_root));
        let root = candidates.into_iter().find(|partition| {
            let window = Window::of_partition(disk, partition);
            self.read_linux(&window, &format!("partition {}", partition.number), &budgets.facts);
            self.linux.is_some()
        });
        self.read_start(root, &entries);
    }

    /// A disk that is one file system, as small virtual machines have it; else the table is what is missing.
    fn read_whole(
        &mut self,
        disk: &Shared,
        no_table: exporter::Error,
        budgets: &Budgets,
        with_digests: bool,
    ) -> Result<()> {
        let (window, place) = (Window::whole(disk), "disk");
        let Ok(Some((mut file_system, _))) = FileSystem::probe(&window, false, &budgets.facts) else {
            return Err(Error::user(format!("{}: {no_table}", self.file.display())));
        };
        self.warn_of_journal(&file_system, place);
        if with_digests {
            self.digest(&mut file_system, &window, place, &budgets.contents);
        }
        self.file_system = Some(file_system);
        self.read_linux(&window, place, &budgets.facts);
        Ok(())
    }

    fn read_file_system(
        &mut self,
        window: &Window,
        place: &str,
        is_esp: bool,
        budget: &DiskBudget,
    ) -> Option<FileSystem> {
        match FileSystem::probe(window, is_esp, budget) {
            Ok(None) => None,
            Ok(Some((file_system, files))) => {
                self.boot.uefi.extend(files);
                self.warn_of_journal(&file_system, place);
                Some(file_system)
            }
            Err(error) => {
                self.tell(place, &error);
                None
            }
        }
    }

    /// Those of systemd-boot, in the order in which they are tried.
    fn read_entries(&mut self, disk: &Shared, partitions: &[Placed], budget: &DiskBudget) -> Vec<Entry> {
        let mut entries = Vec::new();
        for partition in partitions.iter().filter(|partition| entries::may_have(partition)) {
            match entries::read(&Window::of_partition(disk, partition), budget) {
                Ok(found) => entries.extend(found),
                Err(error) => self.tell(&format!("partition {}", partition.number), &error),
            }
        }
        if entries.is_empty() {
            entries.extend(self.boot.uefi.iter().filter_map(|path| Entry::of_image(path)));
        }
        entries.sort_by(Entry::compare);
        entries
    }

    /// What systemd-boot starts of the system on `root`; of one that is not read, what it tries first.
    fn read_start(&mut self, root: Option<&Placed>, entries: &[Entry]) {
        let slot = self.slots.as_ref().zip(root).and_then(|(slots, root)| slots.on(root.number));
        let entry = entries.iter().find(|entry| slot.is_none() || entry.slot == slot);
        // What an image starts is within it.
        if let Some(entry) = entry.filter(|entry| entry.linux.is_some()) {
            self.linux.get_or_insert_default().start_by(entry);
        }
    }

    fn read_slots(&mut self, disk: &Shared, partitions: &[Placed], entries: &[Entry], budget: &DiskBudget) {
        if entries.iter().any(|entry| entry.slot.is_some()) {
            self.slots = Slots::of_entries(entries, partitions);
            return;
        }
        let Some(esp) = partitions.iter().find(|partition| is_esp(partition)) else { return };
        match Slots::read(&Window::of_partition(disk, esp), partitions, budget) {
            Ok(slots) => self.slots = slots,
            Err(error) => self.tell(&format!("partition {}", esp.number), &error),
        }
    }

    fn digest(&mut self, file_system: &mut FileSystem, window: &Window, place: &str, budget: &DiskBudget) {
        if let Err(error) = file_system.read_tree_digest(window, budget) {
            self.tell(place, &error);
        }
    }

    fn read_linux(&mut self, window: &Window, place: &str, budget: &DiskBudget) {
        let Some(root) = FileSystem::of_root(window) else { return };
        if self.linux.is_some() {
            return;
        }
        match Linux::read(&root, window, budget) {
            Ok(linux) => self.linux = linux,
            // What looks broken may be whole once the journal is read.
            Err(error) if root.needs_recovery => self.warnings.push(format!("{place}: {error}")),
            Err(error) => self.tell(place, &error),
        }
    }

    fn read_signatures(&mut self, window: &Window, place: &str, budget: &DiskBudget) {
        match signatures::read(window, budget) {
            Ok((found, unread)) => {
                self.boot.signatures.extend(found);
                self.warnings.extend(unread.into_iter().map(|line| format!("{place}: {line}")));
            }
            Err(error) => self.tell(place, &error),
        }
    }

    fn warn_of_journal(&mut self, file_system: &FileSystem, place: &str) {
        if file_system.needs_recovery {
            let what =
                "the file system was not unmounted: what changed last is in its journal, which is not read";
            self.warnings.push(format!("{place}: {what}"));
        }
    }

    /// Once, whoever met it first. What is not read is nothing wrong with the disk.
    fn tell(&mut self, place: &str, error: &exporter::Error) {
        let line = format!("{place}: {error}");
        let lines = match error.kind() {
            Kind::Unsupported => &mut self.warnings,
            _ => &mut self.problems,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
}

impl PartitionReport {
    fn new(partition: &Placed, file_system: Option<FileSystem>) -> Self {
        let Placed { number, start, size, kind, id, name, .. } = partition;
        Self {
            number: *number,
            kind: kind.name(),
            kind_guid: matches!(kind, PartitionKind::Guid(_)).then(|| kind.to_string()),
            kind_byte: matches!(kind, PartitionKind::Byte(_)).then(|| kind.to_string()),
            guid: matches!(id, PartitionId::Guid(_)).then(|| id.to_string()),
            start: *start,
            size: *size,
            label: name.clone(),
            file_system,
        }
    }
}

fn is_esp(partition: &Placed) -> bool {
    partition.kind.guid() == Some(kinds::ESP)
}
