//! The pipeline: a directory and a spec become a disk.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use crate::boot::{self, BiosBoot, BootFiles};
use crate::container::{self, About, Target};
use crate::disk::{self, ALIGNMENT, Disk, DiskLayout, Placed, Request, kinds};
use crate::engine::{Image, Progress, Run};
use crate::error::{Error, Kind, Result, show_size};
use crate::extent::Extent;
use crate::fs::{Layout, ext4, fat};
use crate::machine::{self, Machine};
use crate::report::Report;
use crate::seed::{Seed, Uuid};
use crate::spec::{Architecture, Size, Spec};
use crate::tree::{Detail, Editor, HostDir, Time, Tree, kernel, os, scan};

/// GRUB's core is a fifth of this, and partitions start on 1 MiB anyway.
const BIOS_BOOT_SIZE: u64 = 1 << 20;
/// The least that is FAT32 with sectors of 512 bytes is 33 MiB; this leaves room for kernels beside GRUB.
const ESP_SIZE: u64 = 64 << 20;
/// FAT boot sectors and GPT of the disks that hypervisors show: 512 bytes.
const SECTOR_SIZE: u32 = 512;
/// Room left on a root whose size was not asked: a quarter, and not less than this.
const HEADROOM: u64 = 256 << 20;

/// What a disk is made from.
pub struct Input<'a> {
    /// The root of the user's file system.
    pub root: &'a Path,
    /// Folders with boot loader files ([`BootFiles`]), the best first.
    pub boot: Vec<&'a Path>,
    /// The program that grows the root at boot, if there is one for the machine's architecture.
    pub grow: Option<Arc<[u8]>>,
    /// Threads that read and compress; no byte depends on them.
    pub threads: NonZeroUsize,
    /// Told how far the writing is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// Make the disk `spec` asks for out of `input`, as the file `output`.
///
/// # Errors
/// Whatever in the input can't become a disk, with its path; no file is left then.
pub fn assemble(spec: &Spec, input: &Input<'_>, output: &Path) -> Result<Report> {
    let mut root = scan(&HostDir::open(input.root)?, &mut |_| {})?;
    let boot_files = BootFiles::find(&input.boot)?;
    let (time, mut edits) = settle_time(&mut root, spec);
    let ids = Ids::new(spec, &root)?;

    let os = os::detect(&root)?;
    let kernel = kernel::newest(&root)?;
    require_init(&root, spec)?;
    let entry = boot::entry(&os, &kernel, spec, ids.root);
    edits.extend(machine::apply(&mut root, &machine(spec, input, &ids, time))?);
    let menu = boot::root_config(ids.root, std::slice::from_ref(&entry));
    Editor::new(&mut root, time).write_file("/boot/grub/grub.cfg", menu.into_bytes(), 0o644)?;
    let esp = boot::esp_tree(&boot_files, spec.architecture, ids.root, time);

    let root = Arc::new(root);
    let size = disk_size(spec, &root, &ids, time)?;
    let placed = disk::place(&requests(spec.architecture, &ids, 0), size)?;
    let layout = lay_out(&placed, size, &root, &esp, &boot_files, &ids, time)?;

    let compression = spec.compression.unwrap_or(spec.format.default_compression());
    let id = ids.seed.uuid("disk file");
    let about = About { name: spec.name.clone(), architecture: spec.architecture };
    let target = Target { path: output.to_owned(), format: spec.format, compression, id, about };
    let run = Run { threads: input.threads, progress: input.progress };
    container::write(Image { size, extents: &layout.extents }, &[target], &run)?;
    Report::new(spec, output, &layout, &os, &entry, &boot_files, edits)
}

/// The one time of all that is made: the epoch that was asked for, else the latest time in the tree,
/// since no clock may have a say. With an epoch, what only records the time of the build goes.
fn settle_time(root: &mut Tree, spec: &Spec) -> (Time, Vec<String>) {
    let latest = root.walk().map(|(_, _, id)| root.inode(id).meta.mtime).max().unwrap_or_default();
    let Some(seconds) = spec.source_date_epoch else { return (latest, Vec::new()) };
    let epoch = Time { seconds, nanoseconds: 0 };
    let edits = machine::forget_build(&mut Editor::new(root, epoch), epoch);
    (epoch, edits)
}

/// A machine without a first process panics at boot; better to say so now.
fn require_init(root: &Tree, spec: &Spec) -> Result<()> {
    let named = spec.cmdline.split_ascii_whitespace().any(|word| word.starts_with("init="));
    if named || root.resolve("/sbin/init").is_some() {
        return Ok(());
    }
    let hint = "install one in the Dockerfile (systemd-sysv, openrc), or name it with --cmdline init=/path";
    Err(Error::new(Kind::NotFound, "/sbin/init", "is not there: the machine would have no first process")
        .with_hint(hint))
}

fn machine(spec: &Spec, input: &Input<'_>, ids: &Ids, time: Time) -> Machine {
    Machine {
        root: ids.root,
        esp: Some(ids.esp_serial),
        hostname: spec.hostname.clone(),
        serial: Some(spec.architecture.serial_console().to_owned()),
        grow: input.grow.clone().filter(|program| spec.architecture.runs(program)),
        time,
    }
}

/// The identity of one disk, from its spec and its files.
struct Ids {
    seed: Seed,
    root: Uuid,
    esp_serial: u32,
}

impl Ids {
    fn new(spec: &Spec, root: &Tree) -> Result<Self> {
        // The same machine in another format is the same machine.
        let Spec { name, format, .. } = Spec::default();
        let machine = Spec { name, format, compression: None, ..spec.clone() };
        let mut text = serde_json::to_string(&machine).expect("a spec has no map with keys that are no text");
        text.push_str(&root.dump(Detail::default())?);
        let seed = Seed::new(text.as_bytes());
        Ok(Self { root: seed.uuid("root file system"), esp_serial: seed.serial("esp file system"), seed })
    }
}

/// The partitions, root last because it grows. The BIOS boot partition is first on every disk, so that
/// numbers mean the same on all of them.
fn requests(architecture: Architecture, ids: &Ids, root_size: u64) -> [Request; 3] {
    let root_kind = match architecture {
        Architecture::X86_64 => kinds::ROOT_X86_64,
        Architecture::Aarch64 => kinds::ROOT_ARM64,
    };
    let request = |kind, name: &str, attributes, size| Request {
        kind,
        name: name.to_owned(),
        guid: ids.seed.uuid(&format!("{name} partition")),
        attributes,
        size,
    };
    [
        request(kinds::BIOS_BOOT, "bios", 0, BIOS_BOOT_SIZE),
        request(kinds::ESP, "esp", 0, ESP_SIZE),
        request(root_kind, "root", kinds::GROW_FILE_SYSTEM, root_size),
    ]
}

/// The disk's size in bytes: as asked, if all fits; else what is needed and some head-room.
fn disk_size(spec: &Spec, root: &Arc<Tree>, ids: &Ids, time: Time) -> Result<u64> {
    let root_needs = ext4::minimum_size(root, &root_options(ids, time, 0))?;
    let minimum = disk::minimum_size(&requests(spec.architecture, ids, root_needs));
    let unit = ALIGNMENT.max(spec.format.size_unit());
    match spec.size {
        Some(Size(size)) if size % unit != 0 => {
            let message = format!("{size} bytes are not a multiple of {}", show_size(unit));
            let message = match unit {
                ALIGNMENT => message,
                _ => format!("{message}, as a {} disk is", spec.format),
            };
            let hint =
                format!("ask for --size {}M, or leave the size out", size.div_ceil(unit) * (unit >> 20));
            Err(Error::new(Kind::Input, "size", message).with_hint(hint))
        }
        Some(Size(size)) if size < minimum => {
            let message =
                format!("{} are asked for, but the content needs {}", show_size(size), show_size(minimum));
            let least = minimum.next_multiple_of(unit) / ALIGNMENT;
            let hint = format!("ask for at least --size {least}M, or leave the size out");
            Err(Error::new(Kind::NoSpace { needed: minimum, available: size }, "size", message)
                .with_hint(hint))
        }
        Some(Size(size)) => Ok(size),
        None => Ok((minimum + HEADROOM.max(root_needs / 4)).next_multiple_of(unit)),
    }
}

/// Every byte of the disk.
fn lay_out(
    placed: &[Placed],
    size: u64,
    root: &Arc<Tree>,
    esp: &Tree,
    boot_files: &BootFiles,
    ids: &Ids,
    time: Time,
) -> Result<DiskLayout> {
    let [bios_part, esp_part, root_part] = placed else { unreachable!("three partitions were asked for") };
    let bios = match &boot_files.bios {
        Some(images) => Some(BiosBoot::new(images, bios_part.first_lba(SECTOR_SIZE), bios_part.size)?),
        None => None,
    };
    let boot_code = bios.as_ref().map_or([0; 440], |bios| bios.mbr_code);
    let core = bios.map(|bios| Extent::bytes(0, bios.core));
    let core = Layout { size: bios_part.size, extents: core.into_iter().collect() };
    let esp = fat::plan(esp, &esp_options(ids, time, esp_part))?;
    let root = ext4::plan(root, &root_options(ids, time, root_part.size))?;
    let disk = Disk { size, sector_size: SECTOR_SIZE, guid: ids.seed.uuid("disk"), boot_code };
    DiskLayout::new(
        &disk,
        vec![(bios_part.clone(), core), (esp_part.clone(), esp), (root_part.clone(), root)],
    )
}

fn esp_options(ids: &Ids, time: Time, partition: &Placed) -> fat::Options {
    fat::Options {
        label: "ESP".into(),
        serial: ids.esp_serial,
        size: partition.size,
        sector_size: SECTOR_SIZE,
        hidden_sectors: partition.first_lba(SECTOR_SIZE),
        modified: time,
        kind: Some(fat::FatType::Fat32),
    }
}

fn root_options(ids: &Ids, time: Time, size: u64) -> ext4::Options {
    ext4::Options {
        label: "root".into(),
        uuid: ids.root,
        hash_seed: ids.seed.uuid("root directory hashes"),
        size,
        created: time,
        reserved_percent: 5,
    }
}
