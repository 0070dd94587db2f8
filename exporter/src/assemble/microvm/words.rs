//! What the kernel of a microVM is told.

use std::fmt;

use crate::assemble::first::FirstProcess;
use crate::assemble::resolve::Resolved;
use crate::fs::FileSystem;
use crate::fs::verity::RootHash;
use crate::spec::layout::Content;
use crate::spec::{Architecture, Spec};

/// The first virtio disk.
const DISK: &str = "/dev/vda";
/// The root within a uki, as a file of its initramfs.
pub(super) const ROOT_FILE: &str = "/root.erofs";

/// By what each block of the root is checked when it is read.
#[derive(Clone, Copy)]
pub(super) struct Checked {
    pub(super) root_hash: RootHash,
    /// Where its hashes begin, behind it on the same disk, in bytes.
    pub(super) hash_offset: u64,
}

/// The words of a command line.
pub(super) struct Words {
    root: String,
    file_system: FileSystem,
    is_read_only: bool,
    /// What was asked of the mount of the root.
    flags: Option<String>,
    consoles: Vec<String>,
    /// What makes a monitor end with its machine.
    ends: &'static str,
    /// The first process, and what was asked for.
    others: String,
}

impl Words {
    pub(super) fn of(spec: &Spec, layout: &Resolved, checked: Option<Checked>) -> Self {
        let slot =
            layout.partitions.iter().map(|named| &named.slot).find(|slot| slot.content == Content::Root);
        let asked = slot.and_then(|slot| spec.layout.partitions.get(slot.asked?));
        let serial = format!("console={}", spec.architecture.serial_console());
        let (root, consoles, ends) = match spec.is_uki() {
            // Firmware starts it on machines with a screen, too; the last console is the one of the program.
            true => (ROOT_FILE, vec!["console=tty0".to_owned(), serial], "panic=-1"),
            false => (DISK, vec![serial], of_monitor(spec.architecture)),
        };
        let root = checked.map_or(format!("root={root}"), Checked::words);
        Self {
            root,
            file_system: layout.root.file_system,
            is_read_only: slot.is_some_and(|slot| slot.read_only),
            flags: asked.and_then(|asked| asked.options.clone()).filter(|options| !options.is_empty()),
            consoles,
            ends,
            others: FirstProcess::Own.kernel_arguments(spec),
        }
    }
}

impl Checked {
    /// In systemd's words (systemd-veritysetup-generator(8)).
    fn words(self) -> String {
        let Self { root_hash, hash_offset } = self;
        let [data, hashes, options] =
            ["data", "hash", "options"].map(|name| format!("systemd.verity_root_{name}"));
        format!("roothash={root_hash} {data}={DISK} {hashes}={DISK} {options}=hash-offset={hash_offset}")
    }
}

/// Without ACPI a machine of QEMU ends by a triple fault alone; the others take that, too. `i8042.noaux` looks for no
/// mouse, which takes long where there is none, and a processor's own random numbers are there before any other.
fn of_monitor(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "panic=-1 reboot=t random.trust_cpu=on i8042.noaux",
        Architecture::Aarch64 => "panic=-1 random.trust_cpu=on",
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.is_read_only { "ro" } else { "rw" };
        write!(f, "{} rootfstype={} {mode}", self.root, self.file_system.name())?;
        if let Some(flags) = &self.flags {
            write!(f, " rootflags={flags}")?;
        }
        let (first, asked) = self.others.split_once(' ').unwrap_or((&self.others, ""));
        write!(f, " {first} {} quiet {}", self.consoles.join(" "), self.ends)?;
        if asked.is_empty() { Ok(()) } else { write!(f, " {asked}") }
    }
}
