//! A medium's table: a kernel, an initramfs and a disk as one ISO, by ours and by what people make one with.
//!
//! All are given the disk as a file without holes, of which others write every byte. A build has no such file: there its ISO is made
//! of what the disk is made of, so that what others take to make a disk before they begin is not counted here.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exporter::boot::BiosImages;
use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::extent::{Backing, Extent};
use exporter::fs::Contents;
use exporter::iso9660::{self, Bios, Boot, Entry, Volume};
use exporter::seed::Seed;
use exporter::tree::{HostDir, HostFile, Time};

use crate::floor::Floor;
use crate::measure::{self, FileSize, Usage};
use crate::synthetic::Load;
use crate::table::{Record, Report, contest};
use crate::{Options, Result, this_program, trees};

/// The first argument of the process that makes an ISO.
pub(crate) const ROLE: &str = "iso";
const OURS: &str = "vmimage";
/// Of ours by each other way.
const TIME_LIMIT: f64 = 0.5;
/// Of ours by a parallel copy of the same files into one.
const FLOOR_LIMIT: f64 = 1.25;
/// MB on the disk, which memory must not follow; one of 4 GiB would be cut by some of the others.
const CONTENT: [u64; 2] = [500, 3500];
const MEMORY_STEP_LIMIT: f64 = 1.5;
/// What sizes are divided by for a quick look.
const QUICK: u64 = 50;
/// MB of a usual kernel, of an initramfs of ours, and of an ESP with shim and GRUB.
const KERNEL: usize = 12;
const INITRAMFS: usize = 30;
const ESP: usize = 8;
/// Where GRUB's images lie on this machine.
const GRUB: &str = "/usr/lib/grub/i386-pc";

/// The files of the tree; the disk has its content beside them.
const FILES: [&str; 4] = ["boot/grub/grub.cfg", "vmimage/vmlinuz", "vmimage/initramfs", DISK];
const DISK: &str = "vmimage/disk.raw";
/// What starts the medium, beside the tree.
const CORE: &str = "core.img";
const IMAGE: &str = "eltorito.img";
const ESP_IMAGE: &str = "efi.img";

/// The process of ours: `iso FOLDER OUTPUT`.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().map(PathBuf::from).ok_or("usage: iso FOLDER OUTPUT");
    let (folder, output) = (next()?, next()?);
    let root = HostDir::open(&folder)?;
    let file = |path: &str| -> Result<Contents> {
        let size = folder.join(path).metadata()?.len();
        let file = HostFile::new(Arc::clone(&root), path.as_bytes(), size, None);
        let extent = Extent { offset: 0, len: size, source: Backing::File { file, offset: 0 } };
        Ok(Contents { size, extents: Box::new([extent]) })
    };
    let entry = |path: &str| -> Result<Entry> {
        Ok(Entry { path: path.to_owned(), content: file(&format!("tree/{path}"))? })
    };
    let entries = FILES.iter().map(|path| entry(path)).collect::<Result<_>>()?;
    let read = |path: &Path| -> Result<Arc<[u8]>> { Ok(std::fs::read(path)?.into()) };
    let grub = |name: &str| read(&Path::new(GRUB).join(name));
    let core = read(&folder.join(CORE))?;
    let images = BiosImages { boot: grub("boot.img")?, core, modules: Vec::new() };
    let bios = Bios { images, cdboot: grub("cdboot.img")? };
    let seed = Seed::new(b"bench");
    let time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
    let volume = Volume { name: "bench".to_owned(), id: seed.uuid("medium"), time };
    let layout = iso9660::plan(&volume, entries, Boot { bios: Some(bios), esp: Some(file(ESP_IMAGE)?) })?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let run = Run { spool: output.parent().unwrap_or(Path::new(".")), ..Run::silent(threads) };
    let image = RawImage { size: layout.size, extents: &layout };
    let target = Target::new(output.clone(), Format::Raw, Compression::None, seed.uuid("disk"));
    Ok(container::write(image, &[target], &run)?)
}

/// Who makes an ISO.
#[derive(Clone, Copy)]
enum Maker {
    Ours,
    Xorriso,
    GrubMkrescue,
    /// Nobody makes one faster than this writes the bytes.
    Copy,
}

impl Maker {
    const ALL: [Self; 4] = [Self::Ours, Self::Xorriso, Self::GrubMkrescue, Self::Copy];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Xorriso => "xorriso -as mkisofs",
            Self::GrubMkrescue => "grub-mkrescue",
            Self::Copy => Floor::Copy.name(),
        }
    }

    fn is_installed(self) -> bool {
        match self {
            Self::Ours | Self::Copy => true,
            Self::Xorriso => Command::new("xorriso").arg("-version").output().is_ok(),
            Self::GrubMkrescue => Command::new("grub-mkrescue").arg("--version").output().is_ok(),
        }
    }

    fn run(self, folder: &Path, output: &Path) -> Result<Usage> {
        let tree = folder.join("tree");
        let mut command = match self {
            Self::Ours => {
                let mut command = this_program()?;
                command.arg(ROLE).arg(folder);
                command
            }
            Self::Xorriso => xorriso(folder),
            Self::GrubMkrescue => Command::new("grub-mkrescue"),
            Self::Copy => return measure::run(&mut Floor::Copy.command(&tree, output)?),
        };
        match self {
            Self::Xorriso => command.arg("-o").arg(output).arg(&tree),
            Self::GrubMkrescue => command.arg("-o").arg(output).arg(&tree),
            Self::Ours | Self::Copy => command.arg(output),
        };
        measure::run(&mut command)
    }
}

/// With the options that make of it what ours is: what grub-mkrescue gives it.
fn xorriso(folder: &Path) -> Command {
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-iso-level", "3", "-R", "-V", "BENCH", "-graft-points"]);
    command.args(["-c", "boot.catalog", "-b", IMAGE, "-no-emul-boot", "-boot-load-size", "4"]);
    command
        .args(["-boot-info-table", "--grub2-boot-info", "--grub2-mbr"])
        .arg(format!("{GRUB}/boot_hybrid.img"));
    command.args(["--efi-boot", ESP_IMAGE, "-efi-boot-part", "--efi-boot-image", "--protective-msdos-label"]);
    command.args([IMAGE, ESP_IMAGE].map(|name| format!("/{name}={}", folder.join(name).display())));
    command
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let divisor = if options.quick { QUICK } else { 1 };
    let (installed, lacking): (Vec<_>, Vec<_>) =
        Maker::ALL.into_iter().partition(|maker| maker.is_installed());
    lacking.iter().for_each(|maker| eprintln!("bench: skipped: {} is not installed", maker.name()));
    let mut cases = Vec::new();
    for amount in CONTENT.map(|amount| amount / divisor) {
        let scratch = tempfile::tempdir_in(work)?;
        let folder = scratch.path().join("medium");
        make(&folder, amount)?;
        let case = format!("a disk with {}", Load::Content.tree(amount));
        rounds(options, report, &installed, &case, &folder)?;
        expect(report, &case);
        cases.push(case);
    }
    let peaks: Vec<_> =
        cases.iter().filter_map(|case| report.medians(case, OURS)).map(|it| it.peak).collect();
    if let [small, large] = peaks[..] {
        report.expect("iso: memory by that of less content".to_owned(), large / small, MEMORY_STEP_LIMIT);
    }
    let (rounds, warm_ups) = options.rounds();
    println!("## Media\n");
    println!(
        "Medians of {} rounds, warm cache, in turn: kernel, initramfs and disk as an ISO.\n",
        rounds - warm_ups
    );
    println!("{}", contest(report, "ISO of", OURS, &cases));
    Ok(())
}

/// The files of a medium whose disk has `amount` MB, and what starts it.
fn make(folder: &Path, amount: u64) -> Result<()> {
    let tree = folder.join("tree");
    for below in ["boot/grub", "vmimage"] {
        std::fs::create_dir_all(tree.join(below))?;
    }
    let content = folder.join("content");
    measure::run(&mut Load::Content.command(amount, &content)?)?;
    measure::run(&mut Floor::Copy.command(&content, &tree.join(DISK))?)?;
    let noise = std::fs::read(content.join("00000/file-0000000"))?;
    repeat(&noise, KERNEL, &tree.join("vmimage/vmlinuz"))?;
    repeat(&noise, INITRAMFS, &tree.join("vmimage/initramfs"))?;
    repeat(&noise, ESP, &folder.join(ESP_IMAGE))?;
    std::fs::remove_dir_all(&content)?;
    std::fs::write(tree.join("boot/grub/grub.cfg"), "linux /vmimage/vmlinuz\ninitrd /vmimage/initramfs\n")?;
    for (format, name) in [("i386-pc", CORE), ("i386-pc-eltorito", IMAGE)] {
        let mut command = Command::new("grub-mkimage");
        command.args(["-O", format, "-p", "/boot/grub", "-o"]).arg(folder.join(name));
        measure::run(command.args(["biosdisk", "iso9660", "part_gpt"]))?;
    }
    rustix::fs::sync();
    Ok(())
}

/// A file that is these bytes so many times. This process stays small: what it runs begins with its memory.
fn repeat(bytes: &[u8], times: usize, path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    Ok((0..times).try_for_each(|_| file.write_all(bytes))?)
}

/// Everybody in turn.
fn rounds(options: &Options, report: &mut Report, makers: &[Maker], case: &str, folder: &Path) -> Result<()> {
    let output = folder.with_extension("iso");
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        for maker in makers {
            trees::warm(folder)?;
            let usage = maker.run(folder, &output)?;
            let (case, who, size) = (case.to_owned(), maker.name().to_owned(), FileSize::of(&output)?);
            report.record(Record { case, who, warm_up: round < warm_ups, usage, size });
            measure::settle(&[&output]);
        }
    }
    Ok(())
}

fn expect(report: &mut Report, case: &str) {
    let Some(ours) = report.medians(case, OURS) else { return };
    for (maker, limit) in
        [(Maker::Xorriso, TIME_LIMIT), (Maker::GrubMkrescue, TIME_LIMIT), (Maker::Copy, FLOOR_LIMIT)]
    {
        let name = maker.name();
        // Who is not installed has been told of.
        let Some(theirs) = report.medians(case, name) else { continue };
        report.expect(format!("ISO of {case}: time by {name}"), ours.seconds / theirs.seconds, limit);
    }
}
