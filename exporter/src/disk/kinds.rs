//! Partition type GUIDs and attribute bits.
//!
//! Names and values: <https://uapi-group.org/specifications/specs/discoverable_partitions_specification/>,
//! the BIOS boot partition from the GRUB manual.

use crate::architecture::Architecture;
use crate::seed::Uuid;

/// EFI system partition.
pub const ESP: Uuid = Uuid::from_text("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// BIOS boot partition: where GRUB's core image lies on a GPT disk.
pub const BIOS_BOOT: Uuid = Uuid::from_text("21686148-6449-6e6f-744e-656564454649");
/// Extended boot loader partition.
pub const XBOOTLDR: Uuid = Uuid::from_text("bc13c2ff-59e6-4262-a352-b275fd6f7172");
/// Root file system, x86-64.
pub const ROOT_X86_64: Uuid = Uuid::from_text("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Root file system, 64-bit ARM.
pub const ROOT_ARM64: Uuid = Uuid::from_text("b921b045-1df0-41c3-af44-4c6f280d3fae");
/// dm-verity hashes of the root file system, x86-64.
pub const ROOT_X86_64_VERITY: Uuid = Uuid::from_text("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
/// dm-verity hashes of the root file system, 64-bit ARM.
pub const ROOT_ARM64_VERITY: Uuid = Uuid::from_text("df3300ce-d69f-4c92-978c-9bfb0f38d820");
/// Signature of the dm-verity root hash, x86-64.
pub const ROOT_X86_64_VERITY_SIG: Uuid = Uuid::from_text("41092b05-9fc8-4523-994f-2def0408b176");
/// Signature of the dm-verity root hash, 64-bit ARM.
pub const ROOT_ARM64_VERITY_SIG: Uuid = Uuid::from_text("6db69de6-29f4-4758-a7a5-962190f00ce3");
/// `/usr`, x86-64.
pub const USR_X86_64: Uuid = Uuid::from_text("8484680c-9521-48c6-9c11-b0720656f69e");
/// `/usr`, 64-bit ARM.
pub const USR_ARM64: Uuid = Uuid::from_text("b0e01050-ee5f-4390-949a-9101b17104e9");
/// dm-verity hashes of `/usr`, x86-64.
pub const USR_X86_64_VERITY: Uuid = Uuid::from_text("77ff5f63-e7b6-4633-acf4-1565b864c0e6");
/// dm-verity hashes of `/usr`, 64-bit ARM.
pub const USR_ARM64_VERITY: Uuid = Uuid::from_text("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e");
/// Swap.
pub const SWAP: Uuid = Uuid::from_text("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// `/home`.
pub const HOME: Uuid = Uuid::from_text("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
/// `/srv`.
pub const SRV: Uuid = Uuid::from_text("3b8f8425-20e0-4f3b-907f-1a25a76f98e8");
/// `/var`; by the specification its partition GUID is bound to the machine id.
pub const VAR: Uuid = Uuid::from_text("4d21b016-b534-45c2-a9fb-5c16e091fd2d");
/// `/var/tmp`.
pub const TMP: Uuid = Uuid::from_text("7ec6f557-3bc5-4aca-b293-16ef5df639d1");
/// Linux data of no particular purpose.
pub const LINUX_GENERIC: Uuid = Uuid::from_text("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Attribute: a BIOS may start it (UEFI specification, bit 2); in an MBR the active partition.
pub const LEGACY_BOOT: u64 = 1 << 2;
/// Attribute: the file system is to be grown to the partition's size when it is mounted.
pub const GROW_FILE_SYSTEM: u64 = 1 << 59;
/// Attribute: it is mounted read-only.
pub const READ_ONLY: u64 = 1 << 60;
/// Attribute: nobody mounts it by its type.
pub const NO_AUTO: u64 = 1 << 63;

/// Every kind above with its name, spelled as systemd-repart's `Type=` spells it.
pub const NAMES: &[(Uuid, &str)] = &[
    (ESP, "esp"),
    (BIOS_BOOT, "bios-boot"),
    (XBOOTLDR, "xbootldr"),
    (ROOT_X86_64, "root-x86-64"),
    (ROOT_ARM64, "root-arm64"),
    (ROOT_X86_64_VERITY, "root-x86-64-verity"),
    (ROOT_ARM64_VERITY, "root-arm64-verity"),
    (ROOT_X86_64_VERITY_SIG, "root-x86-64-verity-sig"),
    (ROOT_ARM64_VERITY_SIG, "root-arm64-verity-sig"),
    (USR_X86_64, "usr-x86-64"),
    (USR_ARM64, "usr-arm64"),
    (USR_X86_64_VERITY, "usr-x86-64-verity"),
    (USR_ARM64_VERITY, "usr-arm64-verity"),
    (SWAP, "swap"),
    (HOME, "home"),
    (SRV, "srv"),
    (VAR, "var"),
    (TMP, "tmp"),
    (LINUX_GENERIC, "linux-generic"),
];

/// Root file system of a machine.
pub fn root(architecture: Architecture) -> Uuid {
    match architecture {
        Architecture::X86_64 => ROOT_X86_64,
        Architecture::Aarch64 => ROOT_ARM64,
    }
}

/// `/usr` of a machine.
pub fn usr(architecture: Architecture) -> Uuid {
    match architecture {
        Architecture::X86_64 => USR_X86_64,
        Architecture::Aarch64 => USR_ARM64,
    }
}

/// dm-verity hashes of the root file system of a machine.
pub fn root_verity(architecture: Architecture) -> Uuid {
    match architecture {
        Architecture::X86_64 => ROOT_X86_64_VERITY,
        Architecture::Aarch64 => ROOT_ARM64_VERITY,
    }
}

/// Signature of the root hash of those.
pub fn root_verity_sig(architecture: Architecture) -> Uuid {
    match architecture {
        Architecture::X86_64 => ROOT_X86_64_VERITY_SIG,
        Architecture::Aarch64 => ROOT_ARM64_VERITY_SIG,
    }
}

/// Whether it has dm-verity hashes of another partition.
pub fn is_verity(kind: Uuid) -> bool {
    [ROOT_X86_64_VERITY, ROOT_ARM64_VERITY, USR_X86_64_VERITY, USR_ARM64_VERITY].contains(&kind)
}

/// Whether it is the root file system of some machine.
pub fn is_root(kind: Uuid) -> bool {
    [ROOT_X86_64, ROOT_ARM64].contains(&kind)
}

/// The name of a kind, if it is one of [`NAMES`].
pub fn name(kind: Uuid) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

/// The kind of that name, if it is one of [`NAMES`].
pub fn parse(name: &str) -> Option<Uuid> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
}
