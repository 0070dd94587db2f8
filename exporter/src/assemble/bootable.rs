//! Whether the machine reaches its init: all that the boot needs is looked for, before a byte of the disk is written.
//!
//! ```text
//! kernel ─▶ initramfs with the drivers of the root, or they are built in ─▶ modules of that kernel
//!        ─▶ init ─▶ what interprets it
//! ```

use std::collections::BTreeSet;
use std::io::Read;

use super::first::why_read_only;
use crate::error::{Error, Kind, Result, show_list};
use crate::fs::FileSystem;
use crate::hint::{Hint, Setting};
use crate::machine::{Mount, stand_in_shape, stand_ins};
use crate::spec::{Architecture, Spec};
use crate::tree::initramfs::read_names;
use crate::tree::kernel::Kernel;
use crate::tree::{self, Content, Tree};

/// Drivers of the disks that machines have; one of them is enough for some machine.
pub(super) const DISKS: [&str; 9] = [
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "ahci",
    "ata_piix",
    "hv_storvsc",
    "xen_blkfront",
    "vmw_pvscsi",
    "mptspi",
];
/// The one of QEMU and most clouds. A kernel that has it as a module, for an initramfs to load, is not for other disks
/// alone.
const USUAL_DISK: &str = "virtio_blk";
/// The driver of encrypted volumes.
const CRYPT: &str = "dm_crypt";
/// The driver of overlays.
const OVERLAY: &str = "overlay";
/// Images within an initramfs that hold its modules, of dracut and SUSE.
const NESTED: [&str; 4] = ["squash-root.img", "squashfs-root.img", "erofs-root.img", "root.squashfs"];
/// Scripts may be interpreted by scripts, so many times.
const MAX_INTERPRETERS: u32 = 5;
/// Any list of modules is shorter.
const LIST_LIMIT: u64 = 16 << 20;
/// What is read of a program: its headers and those of its segments.
const HEAD: u64 = 64 << 10;

/// The kernel with all that it needs to mount the root, which is this file system, and with its modules there if it has them
/// at all.
///
/// # Errors
/// If the kernel would panic: what is missing, and what is known to be in the way.
pub(super) fn require_kernel(
    root: &Tree,
    kernel: &Kernel,
    file_system: FileSystem,
    has_modules: bool,
) -> Result<()> {
    let driver = file_system.name();
    let built_in = listed(root, kernel, driver, "modules.builtin")?;
    let lacks = |names: &BTreeSet<String>| {
        let has = |name: &str| {
            names.contains(name) || built_in.as_ref().is_some_and(|built_in| built_in.contains(name))
        };
        match (has(driver), DISKS.into_iter().any(has)) {
            (true, true) => None,
            (false, _) => Some(format!("of the root's file system ({driver})")),
            (_, false) => Some("of any disk (virtio_blk, virtio_scsi, nvme, ahci …)".to_owned()),
        }
    };
    let Some(path) = &kernel.initramfs else {
        let is_enough = built_in.is_some()
            && lacks(&BTreeSet::new()).is_none()
            && !listed(root, kernel, driver, "modules.dep")?.is_some_and(|names| names.contains(USUAL_DISK));
        return if is_enough {
            if has_modules { require_modules(root, kernel, false) } else { Ok(()) }
        } else {
            Err(no_initramfs(root, kernel)?)
        };
    };
    let Some(content) = file(root, path).filter(|content| !content.is_empty()) else {
        return Err(no_initramfs(root, kernel)?);
    };
    let modules = modules(content, driver);
    if let (Some(Modules { drivers, .. }), Some(_)) = (&modules, &built_in)
        && let Some(lacking) = lacks(drivers)
    {
        let message = format!("has no driver {lacking}, and {} has none built in", kernel.image);
        let hint = if file_system == FileSystem::Ext4 {
            "let the Dockerfile make it for any machine (MODULES=most for initramfs-tools, hostonly=\"no\" for dracut, \
             no autodetect for mkinitcpio), or leave it out, it is made by the build"
        } else {
            "let the Dockerfile add that module (/etc/initramfs-tools/modules, add_drivers of dracut.conf, MODULES of \
             mkinitcpio.conf, a feature of mkinitfs.conf), leave the kernel out, the build installs one with it, or \
             take a root of ext4"
        };
        return Err(Error::new(Kind::NotFound, path, message).with_hint(hint));
    }
    if has_modules {
        return require_modules(root, kernel, modules.is_some_and(|modules| modules.are_some));
    }
    Ok(())
}

/// The drivers of what is mounted once the root is there, as far as the kernel has lists of its own.
///
/// # Errors
/// If a file system that no kernel has to know would not be mounted.
pub(super) fn require_drivers(root: &Tree, kernel: &Kernel, mounts: &[Mount]) -> Result<()> {
    let may_lack = |mount: &&Mount| mount.file_system == FileSystem::Erofs || mount.file_system.is_external();
    for mount in mounts.iter().filter(may_lack) {
        let driver = mount.file_system.name();
        if lacks_driver(root, kernel, driver)? {
            let message = format!("is {driver}, which {} has no driver for", kernel.image);
            let hint = "make it an ext4, which may be read-only, or take another kernel";
            return Err(Error::new(Kind::NotFound, &mount.point, message).with_hint(hint));
        }
    }
    Ok(())
}

/// The driver that decrypts the root, in its initramfs or built into the kernel.
///
/// # Errors
/// If it is in neither.
pub(super) fn require_crypt(root: &Tree, kernel: &Kernel) -> Result<()> {
    let built_in = listed(root, kernel, CRYPT, "modules.builtin")?.is_some_and(|list| list.contains(CRYPT));
    let initramfs = kernel.initramfs.as_ref().and_then(|path| Some((path, file(root, path)?)));
    let hint = "install cryptsetup-initramfs (Debian, Ubuntu), the feature cryptsetup of mkinitfs.conf (Alpine) or cryptsetup \
                (dracut) in the Dockerfile and make the initramfs, or leave the kernel out: the build installs one with it";
    let Some((path, content)) = initramfs else {
        let message = "has no initramfs, which opens an encrypted root";
        return Err(Error::new(Kind::NotFound, &kernel.image, message).with_hint(hint));
    };
    let lacks = modules(content, CRYPT).is_some_and(|modules| !modules.drivers.contains(CRYPT));
    if !lacks || built_in {
        return Ok(());
    }
    let message = format!("has no driver {CRYPT}, which decrypts the root");
    Err(Error::new(Kind::NotFound, path, message).with_hint(hint))
}

/// That of overlays over a root that is only read.
///
/// # Errors
/// If the kernel's own lists do not have it.
pub(super) fn require_overlay(root: &Tree, kernel: &Kernel, spec: &Spec) -> Result<()> {
    if !lacks_driver(root, kernel, OVERLAY)? {
        return Ok(());
    }
    let message = format!("has no driver {OVERLAY}, for what is written over a root that is only read");
    let hint = why_read_only(spec, Hint::from("take another kernel, or leave out "));
    Err(Error::new(Kind::NotFound, &kernel.image, message).with_hint(hint))
}

/// Whether the kernel has lists of its own, and a driver is in none of them.
fn lacks_driver(root: &Tree, kernel: &Kernel, driver: &str) -> Result<bool> {
    let list = |list| listed(root, kernel, driver, list);
    Ok(match [list("modules.builtin")?, list("modules.dep")?] {
        [Some(built_in), Some(loaded)] => !built_in.contains(driver) && !loaded.contains(driver),
        _ => false,
    })
}

/// What an initramfs loads.
#[derive(Default)]
struct Modules {
    /// Those of its drivers that the root may need.
    drivers: BTreeSet<String>,
    /// Whether there are any modules.
    are_some: bool,
}

/// The modules in an initramfs; `None`: nothing can be told.
fn modules(content: &Content, driver: &str) -> Option<Modules> {
    let mut modules = Modules::default();
    let mut is_nested = false;
    let is_whole = read_names(content, &mut |name| {
        is_nested |= NESTED.iter().any(|nested| name.ends_with(nested.as_bytes()));
        if let Some(name) = module_name(name) {
            modules.are_some = true;
            modules.drivers.extend(Some(name).filter(|name| may_be_needed(name, driver)));
        }
        let has = |name: &str| modules.drivers.contains(name);
        !(has(driver) && DISKS.into_iter().any(has))
    });
    (is_whole && !is_nested).then_some(modules)
}

/// Whether the root, whose own is `driver`, may need this one. Of the others, of which there may be any number, none is kept.
fn may_be_needed(name: &str, driver: &str) -> bool {
    name == driver || DISKS.contains(&name)
}

/// The name of the module in a file, as `lsmod` shows it.
fn module_name(path: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(path.rsplit(|&byte| byte == b'/').next()?).ok()?;
    let (name, extension) = name.split_once(".ko")?;
    matches!(extension, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

/// The drivers that the root may need in one of the kernel's lists, if there is that list: `modules.builtin` has the kernel's own parts,
/// `modules.dep` what it can load, before a colon.
fn listed(root: &Tree, kernel: &Kernel, driver: &str, list: &str) -> Result<Option<BTreeSet<String>>> {
    let Some(modules) = &kernel.modules else { return Ok(None) };
    let list = root.read(format!("{modules}/{list}"), LIST_LIMIT)?;
    let paths = |list: Vec<u8>| {
        let lines = list.split(|&byte| byte == b'\n');
        let names = lines.filter_map(|line| module_name(line.split(|&byte| byte == b':').next()?));
        names.filter(|name| may_be_needed(name, driver)).collect()
    };
    Ok(list.map(paths))
}

/// The error for a kernel that cannot mount the root, with what keeps an initramfs from being made.
fn no_initramfs(root: &Tree, kernel: &Kernel) -> Result<Error> {
    let why = stand_ins(root)?;
    let message = match why.first() {
        Some(why) => format!("has no initramfs: {why}, so none was made"),
        None => "has no initramfs, and nothing says that the drivers of the root are built into it".into(),
    };
    let hint = match why.is_empty() {
        true => {
            Hint::from(
                "make one in the Dockerfile (update-initramfs -c -k all, dracut --regenerate-all, mkinitcpio -P), or \
                 have a kernel installed: without ",
            )
            .set(Setting::Kernel, "keep")
            .text(" and vmimage convert --no-install")
        }
        false => {
            "undo it in the Dockerfile: dpkg-divert --remove, or install the package again; then make the initramfs"
                .into()
        }
    };
    Ok(Error::new(Kind::NotFound, &kernel.image, message).with_hint(hint))
}

/// Modules of this very kernel, if there are any or it loads any.
fn require_modules(root: &Tree, kernel: &Kernel, loads_some: bool) -> Result<()> {
    let release = file(root, &kernel.image).map(release).transpose()?.flatten();
    let release = release.as_deref().unwrap_or(&kernel.version);
    let modules = format!("/lib/modules/{release}");
    let has_others = root.children("/lib/modules").next().is_some();
    if root.resolve(&modules).is_some() || !has_others && !loads_some {
        return Ok(());
    }
    let others: Vec<_> =
        root.children("/lib/modules").map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    let others = if others.is_empty() { "no others".to_owned() } else { show_list(&others) };
    let message = format!("is not there, {} needs it; there is: {others}", kernel.image);
    let hint =
        "kernel and modules come from one package: install it again, or let the build install a kernel";
    Err(Error::new(Kind::NotFound, modules, message).with_hint(hint))
}

/// The release that an x86 kernel's header tells (boot.rst of the kernel's documentation); `None`: no such header.
fn release(image: &Content) -> Result<Option<String>> {
    let head = head(image)?;
    if head.get(0x202..0x206) != Some(b"HdrS") {
        return Ok(None);
    }
    let Some(&[low, high]) = head.get(0x20e..0x210) else { return Ok(None) };
    let at = usize::from(u16::from_le_bytes([low, high]));
    let text = head.get(0x200 + at..).filter(|_| at != 0).unwrap_or_default();
    let word = text.split(|&byte| byte == 0 || byte == b' ').next().unwrap_or_default();
    Ok(std::str::from_utf8(word)
        .ok()
        .filter(|word| !word.is_empty() && !word.contains('/'))
        .map(str::to_owned))
}

/// A first process that can run on `architecture`: `path`, and what interprets it.
///
/// # Errors
/// If the kernel could not start it.
pub(super) fn require_init(root: &Tree, path: &str, architecture: Architecture) -> Result<()> {
    if let Some(what) = stand_in_shape(root, path)? {
        return Err(unfit(path, &format!("is {what}: the machine would end at once")));
    }
    startable(root, path, architecture)?.map_err(|(place, why)| unfit(&place, &why))
}

/// A program that can run on `architecture`: `path`, and what interprets it.
///
/// # Errors
/// If the kernel could not start it.
pub(super) fn require_program(root: &Tree, path: &str, architecture: Architecture) -> Result<()> {
    startable(root, path, architecture)?.map_err(|(place, why)| {
        Error::new(Kind::NotFound, place, why)
            .with_hint("the image's own shell would not start it, either: see what docker run says")
    })
}

/// What the kernel could not start, and why not.
type Unfit = (String, String);

fn startable(root: &Tree, path: &str, architecture: Architecture) -> Result<std::result::Result<(), Unfit>> {
    let refused = |place: &str, why: &str| Ok(Err((place.to_owned(), why.to_owned())));
    let mut program = path.to_owned();
    for _ in 0..MAX_INTERPRETERS {
        let Some(id) = root.resolve(&program) else {
            return refused(path, &missing(root, path, &program));
        };
        let tree::InodeKind::File(content) = &root.inode(id).kind else {
            return refused(&program, "is no regular file");
        };
        if root.inode(id).meta.permissions & 0o111 == 0 {
            return refused(&program, "is not executable");
        }
        match interpreter(&head(content)?, architecture) {
            Ok(Some(next)) => program = next,
            Ok(None) => return Ok(Ok(())),
            Err(why) => return refused(&program, why),
        }
    }
    refused(path, "is a script that is interpreted by scripts without end")
}

fn missing(root: &Tree, path: &str, program: &str) -> String {
    if program != path {
        return format!("needs {program}, which is not there");
    }
    match root.resolve_nofollow(path).map(|id| &root.inode(id).kind) {
        Some(tree::InodeKind::Symlink(target)) => {
            format!("leads to {}, which is not there", String::from_utf8_lossy(target))
        }
        _ => "is not there: the machine would have no first process".into(),
    }
}

fn unfit(path: &str, why: &str) -> Error {
    Error::new(Kind::NotFound, path, why).with_hint(
        Hint::from("install an init in the Dockerfile (systemd-sysv, openrc), or name a program with ")
            .set(Setting::Cmdline, "init=/path"),
    )
}

/// What the kernel starts in place of a program: the interpreter of a script, the loader of a program with shared
/// libraries. `None`: the program itself.
fn interpreter(head: &[u8], architecture: Architecture) -> Result<Option<String>, &'static str> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let word = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        return match word.split_ascii_whitespace().next() {
            Some(word) => Ok(Some(word.to_owned())),
            None => Err("is a script that names no interpreter"),
        };
    }
    if !head.starts_with(b"\x7fELF") {
        return Err("is neither a program nor a script that begins with #!");
    }
    if !architecture.runs(head) {
        return Err("is a program for another architecture");
    }
    Ok(elf_interpreter(head))
}

/// PT_INTERP of a 64-bit little-endian program (elf(5)).
fn elf_interpreter(head: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, len: usize| {
        let bytes = head.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let segment = |index: u64| usize::try_from(table.checked_add(index * size)?).ok();
    let at = (0..count).filter_map(segment).find(|&at| number(at, 4) == Some(PT_INTERP))?;
    let start = usize::try_from(number(at.checked_add(8)?, 8)?).ok()?;
    let name = head.get(start..)?.split(|&byte| byte == 0).next()?;
    String::from_utf8(name.to_vec()).ok().filter(|name| name.starts_with('/'))
}

fn file<'tree>(root: &'tree Tree, path: &str) -> Option<&'tree Content> {
    match &root.inode(root.resolve(path)?).kind {
        tree::InodeKind::File(content) => Some(content),
        _ => None,
    }
}

fn head(content: &Content) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let reader = content.reader()?;
    reader
        .take(HEAD)
        .read_to_end(&mut head)
        .map_err(|error| Error::io("the tree", "cannot read a file", error))?;
    Ok(head)
}

#[cfg(test)]
mod tests;
