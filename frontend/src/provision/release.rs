//! The tables of package names: a row for each release that differs from the one before it.

use std::cmp::Ordering;

use exporter::spec::Architecture;
use exporter::tree::os::Os;
use exporter::tree::version;

/// What a release calls the packages of each role; several are separated by spaces. `{efi}` stands for the
/// architecture as UEFI shortens it (`x64`, `aa64`), `{grub}` as GRUB names it (`x86_64`, `arm64`), `{deb}` as
/// Debian does (`amd64`, `arm64`); and `?name` is installed only if the release has it.
#[derive(Debug)]
pub(super) struct Release {
    /// The `ID`s of os-release(5) that this row is for.
    pub(super) ids: &'static str,
    /// The first `VERSION_ID` it is for; empty: all before the next row.
    pub(super) since: &'static str,
    /// The kernel, with the drivers of virtual machines; empty: the distribution has none.
    pub(super) kernel: &'static str,
    /// The same with the drivers of real hardware that VirtualBox imitates, AHCI and e1000 above all.
    pub(super) full_kernel: &'static str,
    /// The program that makes the initramfs.
    pub(super) initramfs: &'static str,
    /// Init and what belongs to every machine: udev, logins, file system checks.
    pub(super) init: &'static str,
    /// DHCP and name servers.
    pub(super) network: &'static str,
    /// shim and GRUB signed for UEFI, and GRUB for BIOS where there is one; empty: the distribution signs
    /// none, and the frontend's own are used.
    pub(super) boot: Boot,
}

/// Packages of boot loaders by firmware.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    pub(super) uefi: &'static str,
    /// Only on x86_64.
    pub(super) bios: &'static str,
    /// What GRUB for UEFI is made of where it is to check signatures, and what makes it.
    pub(super) modules: &'static str,
}

impl Boot {
    /// No boot loader that firmware trusts.
    pub(super) const NONE: Self = Self { uefi: "", bios: "", modules: "" };
}

/// A row, in the order of the fields.
#[expect(clippy::too_many_arguments, reason = "the columns of a table")]
pub(super) const fn row(
    ids: &'static str,
    since: &'static str,
    kernel: &'static str,
    full_kernel: &'static str,
    initramfs: &'static str,
    init: &'static str,
    network: &'static str,
    boot: Boot,
) -> Release {
    Release { ids, since, kernel, full_kernel, initramfs, init, network, boot }
}

impl Release {
    /// The row for `os`.
    pub(super) fn find(os: &Os, releases: &'static [Self]) -> Option<&'static Self> {
        find(os, releases, |row| (row.ids, row.since))
    }
}

/// What a release calls the packages of a machine of metal; names as those of a [`Release`].
#[derive(Debug)]
pub(super) struct Metal {
    /// The `ID`s of os-release(5) that this row is for.
    pub(super) ids: &'static str,
    /// The first `VERSION_ID` it is for; empty: all before the next row.
    pub(super) since: &'static str,
    /// The kernel with the drivers of all hardware.
    pub(super) kernel: &'static str,
    /// The files that devices want of their drivers.
    pub(super) firmware: &'static str,
    /// What processors want, only on x86_64.
    pub(super) microcode: &'static str,
    /// The component of apt's sources that these are in, if an image's sources do not name it.
    pub(super) component: &'static str,
}

impl Metal {
    /// The row for `os`; `None`: the distribution is for no machines of metal.
    pub(super) fn find(os: &Os, rows: &'static [Self]) -> Option<&'static Self> {
        find(os, rows, |row| (row.ids, row.since))
    }
}

/// The row for `os`, by its `ID`, else by the closest of its `ID_LIKE`. Of a row `key` says whose it is, and since when.
fn find<R>(os: &Os, rows: &'static [R], key: fn(&R) -> (&'static str, &'static str)) -> Option<&'static R> {
    let is_for = |row: &R, id: &str| key(row).0.split_whitespace().any(|known| known == id);
    let is_reached = |row: &R, own: &str| version::compare(key(row).1, own) != Ordering::Greater;
    let of_id = |id: &String| {
        let mut rows = rows.iter().filter(|row| is_for(row, id));
        // A rolling distribution has no version, and is like the newest.
        let own = os.version_id.as_deref();
        let newest = rows.clone().rfind(|row| own.is_none_or(|own| is_reached(row, own)));
        newest.or_else(|| rows.next())
    };
    std::iter::once(&os.id).chain(&os.id_like).find_map(of_id)
}

/// The names of a cell.
pub(super) fn names(cell: &str, architecture: Architecture) -> Vec<String> {
    let grub = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "arm64",
    };
    let (efi, deb) = (architecture.efi_suffix(), architecture.oci_name());
    let filled = cell.replace("{efi}", efi).replace("{grub}", grub).replace("{deb}", deb);
    filled.split_whitespace().map(str::to_owned).collect()
}
