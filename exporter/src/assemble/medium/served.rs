//! The medium as a folder that is served to machines that start over the network.

use super::live::LiveRoot;
use super::{Machine, Started};
use crate::assemble::microvm::uki;
use crate::boot::medium::FOLDER;
use crate::boot::{BootFiles, MediumFiles};
use crate::container::medium::{About, DIGEST, LiveRoot as Root, Netboot};
use crate::disk::DiskLayout;
use crate::error::Result;
use crate::fs::{Contents, FileSystem};
use crate::initramfs;
use crate::spec::{Architecture, Mode};

/// What UEFI starts by HTTP.
const PROGRAM: &str = "netboot.efi";
/// Where the medium is, then.
const IS_WITHIN: &str = "vmimage.medium=initramfs";
/// What a program for UEFI has less of.
const PROGRAM_MAX: u64 = 4 << 30;
/// What it has besides root, kernel and initramfs: the stub, small sections, gaps, and the room that the kernel has in memory
/// behind its bytes.
const PROGRAM_REST: u64 = 256 << 20;

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
    if let Some(root) = root.filter(|root| no_program(machine, started, root).is_none()) {
        let program = program(machine, started, root, about.clone(), release)?;
        files.extend(program.map(|program| (PROGRAM.to_owned(), program)));
    }
    let root = root.map(|root| Ok::<_, crate::Error>((root.file_system(), root.contents()?))).transpose()?;
    let has_disk = machine.spec.medium.has(Mode::Install);
    let menu = machine.menu();
    let (ipxe, grub) = (menu.of_ipxe(DIGEST), menu.of_network(DIGEST));
    Ok(Netboot { about, ipxe, grub, root, has_disk, files })
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
    let Some(stub) = &started.stub else { return Ok(None) };
    let (file_system, contents) = (root.file_system(), root.contents()?);
    let name = format!("root.{}", file_system.name());
    let about = within(about, &name, contents.size, file_system).text()?;
    let about =
        initramfs::archive_of(&[(&format!("{FOLDER}/medium.json"), about.into_bytes())], machine.time)?;
    let archive = uki::with_file(&format!("{FOLDER}/{name}"), contents, machine.time)?;
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
    about.modes = vec![Mode::Live.name()];
    about.root = Some(Root::File { file, bytes, sha256, kind });
    about
}

/// Why there is no such program, if there is none.
fn no_program(machine: &Machine<'_>, started: &Started, root: &LiveRoot) -> Option<&'static str> {
    if machine.spec.medium.first() != Some(Mode::Live) {
        Some("it has no menu and runs live, and medium.default is another mode")
    } else if started.stub.is_none() {
        Some("the image has no systemd stub (systemd-boot-efi)")
    } else if !is_small([root.size(), started.kernel.len(), started.initramfs().size]) {
        Some("the root is too large for a program, which has less than 4 GiB")
    } else {
        None
    }
}

/// Whether a program has room for parts of these bytes.
fn is_small(parts: [u64; 3]) -> bool {
    let all = parts.into_iter().try_fold(PROGRAM_REST, u64::checked_add);
    all.is_some_and(|all| all < PROGRAM_MAX)
}

/// What the folder has not, a line each.
pub(super) fn lacks(machine: &Machine<'_>, started: &Started, root: Option<&LiveRoot>) -> Vec<String> {
    let spec = machine.spec;
    if !spec.is_netbooted() {
        return Vec::new();
    }
    let MediumFiles { pxe, net, .. } = &started.files.media;
    let is_x86 = spec.architecture == Architecture::X86_64;
    let no_program = root.and_then(|root| no_program(machine, started, root));
    let no_program = no_program.map(|why| format!("medium: no {PROGRAM}, which UEFI starts by HTTP: {why}"));
    let no_loaders = [
        (
            spec.firmware.takes_bios() && is_x86 && pxe.is_none(),
            "medium: no grub.pxe, which a BIOS starts: the boot loader files have none",
        ),
        (
            spec.firmware.takes_uefi() && net.is_none(),
            "medium: no GRUB that UEFI starts over the network: the boot loader files have none",
        ),
    ];
    let no_loaders = no_loaders.into_iter().filter(|(is_so, _)| *is_so).map(|(_, line)| line.to_owned());
    no_program.into_iter().chain(no_loaders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_room_for_less_than_all_of_it() {
        let (kernel, initramfs) = (16 << 20, 48 << 20);
        let most = PROGRAM_MAX - PROGRAM_REST - kernel - initramfs;
        assert!(is_small([most - 1, kernel, initramfs]));
        assert!(!is_small([most, kernel, initramfs]) && !is_small([u64::MAX, kernel, initramfs]));
        // The root alone would fit.
        assert!(!is_small([PROGRAM_MAX - 4096, kernel, initramfs]));
    }
}
