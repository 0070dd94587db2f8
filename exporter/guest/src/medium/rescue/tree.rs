//! An installed system, mounted as it mounts itself: its root, what its fstab says, and the kernel's file systems.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};

use super::super::disks::Block;
use super::super::fstab::{self, Entry, inside};
use super::machines::Installed;
use crate::grow::device::in_file;
use crate::init::initramfs::mount::{SYSROOT, options};
use crate::init::initramfs::root::{Root as Named, partition_id, variable};
use crate::init::initramfs::superblock::Superblock;
use crate::init::modules::Modules;

/// What programs in it need of the running kernel.
const KERNELS: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";

/// What is mounted, and what is not though it should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) places: Vec<String>,
    pub(super) failed: Vec<String>,
}

/// Mount it at [`SYSROOT`], to be written to.
///
/// # Errors
/// If its root cannot be mounted. All else is reported, and no reason to stop: it may be what is to be mended.
pub(super) fn mount_it(
    installed: &Installed,
    blocks: &[Block],
    modules: &mut Modules,
) -> Result<Mounted, String> {
    fs::create_dir_all(SYSROOT).map_err(in_file(Path::new(SYSROOT)))?;
    let subvolume = match &*installed.subvolume {
        "" => String::new(),
        name => format!("subvol={name}"),
    };
    let root = &installed.block.path;
    attach(root, Path::new(SYSROOT), &installed.kind, &subvolume, modules).map_err(|error| {
        format!("{error}\nhint: its file system may be damaged, and this rescue has no tool to mend it: start the live system")
    })?;
    let mut mounted = Mounted { places: vec![format!("/ ({})", root.display())], failed: Vec::new() };
    let text = fs::read_to_string(Path::new(SYSROOT).join("etc/fstab")).unwrap_or_default();
    for entry in wanted(&text) {
        let done = find(&entry, &installed.block, blocks).and_then(|device| {
            let kind = Superblock::read(&device).map_or(entry.kind.clone(), |known| known.kind.to_owned());
            let at = inside(Path::new(SYSROOT), &entry.at)?;
            attach(&device, &at, &kind, &entry.options, modules).map(|()| device)
        });
        match done {
            Ok(device) => mounted.places.push(format!("{} ({})", entry.at, device.display())),
            Err(error) => mounted.failed.push(format!("{}: {error}", entry.at)),
        }
    }
    bind_kernels(&mut mounted, modules);
    Ok(mounted)
}

/// What of a table is on disks, those that lie in others behind them.
fn wanted(text: &str) -> Vec<Entry> {
    let is_wanted = |entry: &Entry| {
        entry.at.starts_with('/')
            && entry.at != "/"
            && entry.is_on_disk()
            && !entry.has("noauto")
            && entry.kind != "swap"
    };
    let mut entries: Vec<_> = fstab::parse(text).into_iter().filter(is_wanted).collect();
    entries.sort_by(|one, other| one.at.cmp(&other.at));
    entries
}

/// The device that a line means: of two with the same id the one on the disk of the root.
fn find(entry: &Entry, root: &Block, blocks: &[Block]) -> Result<PathBuf, String> {
    let named = Named::parse(&entry.spec)?;
    let (same, others): (Vec<_>, Vec<_>) = blocks.iter().partition(|block| block.disk == root.disk);
    let mut all = same.into_iter().chain(others).map(|block| &block.path);
    all.find(|path| is_it(path, &named)).cloned().ok_or_else(|| format!("there is no {}", entry.spec))
}

fn is_it(path: &Path, named: &Named) -> bool {
    let superblock = || Superblock::read(path);
    match named {
        Named::Device(device) => device == path,
        Named::Uuid(id) => {
            superblock().map_or_else(|| volume_id(path), |known| Some(known.id())).as_deref() == Some(id)
        }
        Named::Label(label) => superblock().is_some_and(|known| known.label == *label),
        Named::PartUuid(id) => partition_id(path).is_some_and(|known| known == *id),
        Named::PartLabel(label) => variable(path, "PARTNAME").is_some_and(|known| known == *label),
        Named::File(_) => false,
    }
}

/// That of a FAT (`BS_VolID` of Microsoft's "FAT: General Overview of On-Disk Format"), as `UUID=` has it.
fn volume_id(path: &Path) -> Option<String> {
    use std::os::unix::fs::FileExt;
    let mut sector = [0; 512];
    fs::File::open(path).ok()?.read_exact_at(&mut sector, 0).ok()?;
    let at = match () {
        () if sector.get(82..87) == Some(b"FAT32") => 67,
        () if sector.get(54..57) == Some(b"FAT") => 39,
        () => return None,
    };
    let id = u32::from_le_bytes(sector.get(at..at + 4)?.try_into().ok()?);
    Some(format!("{:04x}-{:04x}", id >> 16, id & 0xffff))
}

/// Mount a device; one that cannot be written to is only read.
fn attach(device: &Path, at: &Path, kind: &str, table: &str, modules: &mut Modules) -> Result<(), String> {
    modules.load(kind);
    let (flags, own) = options(&kernels(table));
    let own = CString::new(own).map_err(in_file(device))?;
    let mounted = |flags| mount(device, at, kind, flags, Some(&*own));
    mounted(flags)
        .or_else(|_| mounted(flags | MountFlags::RDONLY))
        .map_err(|error| format!("{} cannot be mounted as {kind}: {error}", device.display()))
}

/// Options without those that mount(8) and systemd take for themselves.
fn kernels(table: &str) -> String {
    const OTHERS: [&str; 10] =
        ["auto", "nofail", "user", "users", "nouser", "_netdev", "async", "dev", "exec", "suid"];
    let is_kernels = |option: &&str| {
        !option.starts_with("x-") && !option.starts_with("comment=") && !OTHERS.contains(option)
    };
    table.split(',').filter(is_kernels).collect::<Vec<_>>().join(",")
}

/// Let go of the kernel's file systems: what is on disks can be unmounted then.
pub(super) fn release() {
    for at in KERNELS {
        let _ = unmount(format!("{SYSROOT}{at}"), UnmountFlags::DETACH);
    }
}

fn bind_kernels(mounted: &mut Mounted, modules: &mut Modules) {
    if Path::new(EFI_VARIABLES).exists() {
        modules.load("efivarfs");
        let _ = mount("efivarfs", EFI_VARIABLES, "efivarfs", MountFlags::NOSUID | MountFlags::NODEV, None);
    }
    let _ = fs::create_dir_all("/run");
    let _ = mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"));
    for from in KERNELS {
        let bound = inside(Path::new(SYSROOT), from)
            .and_then(|at| mount_bind_recursive(from, &at).map_err(|error| error.to_string()));
        if let Err(error) = bound {
            mounted.failed.push(format!("{from}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_mounts_itself_is_mounted() {
        let text = "UUID=1 / ext4\nUUID=AB-CD /boot/efi vfat umask=0077\nLABEL=b /boot ext4\nUUID=2 none swap\n\
            UUID=3 /data xfs noauto\nproc /proc proc\n/dev/sda9 /var ext4 defaults,nofail,x-systemd.growfs,noatime\n";
        let entries = wanted(text);
        let places: Vec<_> = entries.iter().map(|entry| &*entry.at).collect();
        assert_eq!(places, ["/boot", "/boot/efi", "/var"]);
        assert_eq!(kernels(&entries[2].options), "defaults,noatime");
    }

    #[test]
    fn a_fat_has_a_number_for_an_id() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut sector = [0; 512];
        sector[82..87].copy_from_slice(b"FAT32");
        sector[67..71].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        fs::write(file.path(), sector).unwrap();
        assert_eq!(volume_id(file.path()).as_deref(), Some("1234-abcd"));
        assert!(is_it(file.path(), &Named::parse("UUID=1234-ABCD").unwrap()));
        fs::write(file.path(), [0; 512]).unwrap();
        assert_eq!(volume_id(file.path()), None);
        assert!(!is_it(file.path(), &Named::parse("UUID=1234-ABCD").unwrap()));
    }

    #[test]
    fn of_two_copies_that_of_the_roots_disk_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let block = |disk: &str, file: &str| {
            let mut sector = [0; 512];
            sector[54..59].copy_from_slice(b"FAT16");
            sector[39..43].copy_from_slice(&[0xcd, 0xab, 0, 0]);
            let path = folder.path().join(file);
            fs::write(&path, sector).unwrap();
            Block { path, disk: disk.into(), number: Some(1), bytes: 512, model: String::new() }
        };
        let blocks = [block("/dev/sda", "a1"), block("/dev/sdb", "b1")];
        let entry = fstab::parse("UUID=0000-ABCD /boot/efi vfat").remove(0);
        assert_eq!(find(&entry, &blocks[1], &blocks), Ok(blocks[1].path.clone()));
        assert_eq!(find(&entry, &blocks[0], &blocks), Ok(blocks[0].path.clone()));
        let none = fstab::parse("UUID=1 /x ext4").remove(0);
        assert_eq!(find(&none, &blocks[0], &blocks), Err("there is no UUID=1".to_owned()));
    }
}
