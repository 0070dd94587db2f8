//! The report as text. What comes from the disk is escaped: a label may hold anything.

use std::fmt;

use exporter::error::show_size;
use exporter::terminal::line;

use super::file_system::FileSystem;
use super::microvm::Microvm;
use super::signatures::Signature;
use super::slots::Slot;
use super::{PartitionReport, Report};

/// Displays a report.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "{}: {}", line(&report.file.to_string_lossy()), report.image)?;
        if let Some(microvm) = &report.microvm {
            write_microvm(f, microvm)?;
        }
        if let Some(file_system) = &report.file_system {
            writeln!(f, "no partitions, {}", describe(file_system))?;
        }
        if let Some(id) = report.disk_guid.as_ref().or(report.disk_signature.as_ref()) {
            writeln!(f, "\npartitions of disk {id}")?;
            report.partitions.iter().try_for_each(|partition| write_partition(f, partition))?;
            writeln!(f, "\nboot loader")?;
            writeln!(f, "  BIOS           {}", report.boot.bios.unwrap_or("none"))?;
            match &report.boot.uefi[..] {
                [] => writeln!(f, "  UEFI           none")?,
                files => files.iter().try_for_each(|file| writeln!(f, "  UEFI           {}", line(file)))?,
            }
            report.boot.signatures.iter().try_for_each(|signature| write_signature(f, signature))?;
        }
        if let Some(slots) = &report.slots {
            writeln!(f, "\nslots")?;
            slots.slots.iter().try_for_each(|slot| write_slot(f, slot))?;
            let good = if slots.good.is_empty() { "none" } else { &slots.good };
            writeln!(f, "  order          {}, last good: {}", line(&slots.order), line(good))?;
        }
        let Some(linux) = &report.linux else { return Ok(()) };
        writeln!(f, "\nsystem")?;
        for (name, value) in [
            ("name", &linux.name),
            ("image", &linux.image_id),
            ("version", &linux.image_version),
            ("kernel", &linux.kernel),
            ("initramfs", &linux.initramfs),
            ("command line", &linux.command_line),
        ] {
            if let Some(value) = value {
                writeln!(f, "  {name:<14} {}", line(value))?;
            }
        }
        Ok(())
    }
}

fn write_microvm(f: &mut fmt::Formatter<'_>, microvm: &Microvm) -> fmt::Result {
    let Microvm { name, architecture, cpus, memory_mib, kernel, initramfs, cmdline, ports, .. } = microvm;
    writeln!(f, "\nmicroVM")?;
    let initramfs = initramfs.as_deref().unwrap_or("none");
    let (machine, ports) = (format!("{architecture}, {cpus} CPUs, {memory_mib} MiB"), ports.join(", "));
    for (what, value) in [
        ("name", name.as_str()),
        ("machine", &machine),
        ("kernel", kernel),
        ("initramfs", initramfs),
        ("command line", cmdline),
        ("ports", &ports),
    ] {
        writeln!(f, "  {what:<14} {}", line(value))?;
    }
    f.write_str("\nroot: ")
}

fn write_partition(f: &mut fmt::Formatter<'_>, partition: &PartitionReport) -> fmt::Result {
    let unnamed = partition.kind_guid.as_ref().or(partition.kind_byte.as_ref());
    let kind = partition.kind.or(unnamed.map(String::as_str)).unwrap_or_default();
    let (size, start) = (show_size(partition.size), show_size(partition.start));
    write!(f, "  {}  {kind:<12} {size:>9} at {start:<9}", partition.number)?;
    if !partition.label.is_empty() {
        write!(f, " \"{}\"", line(&partition.label))?;
    }
    match &partition.file_system {
        Some(file_system) => writeln!(f, " {}", describe(file_system)),
        None => writeln!(f),
    }
}

fn write_signature(f: &mut fmt::Formatter<'_>, signature: &Signature) -> fmt::Result {
    let Signature { file, signer, state } = signature;
    let (file, signer) = (line(file), line(signer));
    match *state {
        "good" => writeln!(f, "  signed         {file} by {signer}"),
        state => writeln!(f, "  signed         {file} by {signer}: {state}"),
    }
}

fn write_slot(f: &mut fmt::Formatter<'_>, slot: &Slot) -> fmt::Result {
    let Slot { name, partition, state, tries } = slot;
    writeln!(f, "  {name:<14} partition {partition}, {state}, {tries} tries used")
}

fn describe(file_system: &FileSystem) -> String {
    let mut text = file_system.kind.to_owned();
    if !file_system.label.is_empty() {
        text += &format!(" \"{}\"", line(&file_system.label));
    }
    if let Some(uuid) = &file_system.uuid {
        text += &format!(" {}", line(uuid));
    }
    if let (Some(free), Some(size)) = (file_system.free, file_system.size) {
        text += &format!(", {} of {} free", show_size(free), show_size(size));
    }
    text
}
