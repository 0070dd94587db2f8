//! The medium as a folder that is served to machines that start over the network.

use super::live::LiveRoot;
use super::{Machine, Started};
use crate::assemble::microvm::uki;
use crate::boot::{BootFiles, MediumFiles};
use crate::container::medium::{About, LiveRoot as Root, Netboot};
use crate::disk::DiskLayout;
use crate::error::Result;
use crate::fs::{Contents, FileSystem};
use crate::initramfs;
use crate::spec::{Architecture, Mode};

/// What UEFI starts by HTTP.
const PROGRAM: &str = "netboot.efi";
/// The folder of the initramfs with a medium that is in it.
const WITHIN: &str = "vmimage";
/// Where the medium is, then.
const IS_WITHIN: &str = "vmimage.medium=initramfs";

/// The folder for this disk.
///
/// # Errors
/// If the program for UEFI cannot be put together.
pub(super) fn plan(
    machine: &Machine<'_>,
    started: &Started,
    root: Option<&LiveRoot>,
    disk: &DiskLayout,
    release: Vec<u8>,
) -> Result<Netboot> {
    let about = machine.about(disk, &started.files);
    let kernel = Contents::of_file(&started.kernel);
    let mut files = Netboot::started(kernel, started.initramfs());
    files.extend(machine.install());
    files.extend(loaders(&started.files, machine.spec.architecture));
    if let Some(root) = root {
        let program = program(machine, started, root, about.clone(), release)?;
        files.extend(program.map(|program| (PROGRAM.to_owned(), program)));
    }
    let root = root.map(|root| Ok::<_, crate::Error>((root.file_system(), root.contents()?))).transpose()?;
    let has_disk = machine.spec.medium.has(Mode::Install);
    Ok(Netboot { about, menu: machine.menu(), root, has_disk, files })
}

/// What firmware starts, by the names that are looked for.
fn loaders(files: &BootFiles, architecture: Architecture) -> Vec<(String, Contents)> {
    let suffix = architecture.efi_suffix();
    let MediumFiles { pxe, net, .. } = &files.media;
    let second = files.second.clone().unwrap_or_else(|| format!("grub{suffix}.efi"));
    let named = [
        (format!("shim{suffix}.efi"), files.shim.as_ref().filter(|_| net.is_some())),
        (second, net.as_ref()),
        (format!("mm{suffix}.efi"), files.mok_manager.as_ref().filter(|_| net.is_some())),
        ("grub.pxe".to_owned(), pxe.as_ref()),
    ];
    let there = named.into_iter().filter_map(|(name, bytes)| Some((name, bytes?)));
    there.map(|(name, bytes)| (name, Contents::of_bytes(bytes.clone()))).collect()
}

/// Kernel, initramfs and root in one: it needs no server once it runs. `None` where there is nothing to make it of.
fn program(
    machine: &Machine<'_>,
    started: &Started,
    root: &LiveRoot,
    about: About,
    release: Vec<u8>,
) -> Result<Option<Contents>> {
    let Some(stub) = started.stub.as_ref().filter(|_| is_small(root)) else { return Ok(None) };
    let (file_system, contents) = (root.file_system(), root.contents()?);
    let name = format!("root.{}", file_system.name());
    let about = within(about, &name, contents.size, file_system).text()?;
    let about =
        initramfs::archive_of(&[(&format!("{WITHIN}/medium.json"), about.into_bytes())], machine.time)?;
    let archive = uki::with_file(&format!("{WITHIN}/{name}"), contents, machine.time)?;
    let early = started.early.iter().map(Contents::of_file);
    let initrd = early.chain(std::iter::once(Contents::of_bytes(about))).chain(archive);
    let initrd = initrd.chain(started.initramfs.iter().map(Contents::of_file)).collect();
    let words = [vec!["vmimage.mode=live".to_owned(), IS_WITHIN.to_owned()], machine.menu().words].concat();
    let kernel = (&started.kernel, &started.image);
    let architecture = machine.spec.architecture;
    uki::put_together(stub, kernel, initrd, release, &words.join(" "), architecture).map(Some)
}

/// What is said of a medium that is within its initramfs: it has come as a whole, and nothing of it is hashed once more.
fn within(mut about: About, name: &str, bytes: u64, file_system: FileSystem) -> About {
    let (file, sha256, kind) = (name.to_owned(), String::new(), file_system.name());
    about.modes = vec![Mode::Live];
    about.root = Some(Root::File { file, bytes, sha256, kind });
    about
}

/// Whether an initramfs takes a file as large.
fn is_small(root: &LiveRoot) -> bool {
    root.contents().is_ok_and(|contents| contents.size <= u64::from(u32::MAX))
}

/// What the folder has not, a line each.
pub(super) fn lacks(machine: &Machine<'_>, started: &Started) -> Vec<String> {
    let spec = machine.spec;
    if !spec.is_netbooted() {
        return Vec::new();
    }
    let MediumFiles { pxe, net, .. } = &started.files.media;
    let is_x86 = spec.architecture == Architecture::X86_64;
    [
        (
            spec.medium.has(Mode::Live) && started.stub.is_none(),
            "medium: no netboot.efi, which UEFI starts by HTTP: the image has no systemd stub (systemd-boot-efi)",
        ),
        (
            spec.firmware.takes_bios() && is_x86 && pxe.is_none(),
            "medium: no grub.pxe, which a BIOS starts: the boot loader files have none",
        ),
        (
            spec.firmware.takes_uefi() && net.is_none(),
            "medium: no GRUB that UEFI starts over the network: the boot loader files have none",
        ),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .map(|(_, line)| line.to_owned())
    .collect()
}
