//! Edit to disk: one line of the app is changed; when does the new disk lie at the client?
//!
//! The first three ways build the app of `testdata/demo` through the same docker buildx, the others by the same
//! buildah. Each measurement has an edit of its own, so none finds another's work in the build cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::measure::{self, FileSize, Usage};
use crate::table::{Record, Report, Table, mb};
use crate::{Options, Result};

const OURS: &str = "vmimage build";
const CAREFUL: &str = "kernel, mke2fs and qemu-img in RUN steps";
const FLOOR: &str = "BuildKit alone";
const OURS_BUILDAH: &str = "vmimage build --engine buildah";
const CAREFUL_BUILDAH: &str = "… in RUN steps of buildah";
const CAREFUL_LIMIT: f64 = 0.12;
const FLOOR_LIMIT: f64 = 2.0;

/// How the qcow2 is compressed, and what qemu-img is told for the same.
const COMPRESSIONS: [(&str, &str); 3] =
    [("none", ""), ("zstd", "-c -o compression_type=zstd"), ("zlib", "-c")];

/// What the ways by buildah are measured with: the usual one.
const BY_BUILDAH: &str = "zstd";

/// Measure, print the table, note the goals and the compression that the figures speak for.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let caches = (BuildCache::new()?, Images::new()?);
    let outcome = measure_all(options, work, report);
    caches.0.forget_new();
    caches.1.forget_new();
    outcome?;
    print(report);
    for (compression, _) in COMPRESSIONS {
        let medians = [OURS, CAREFUL, FLOOR].map(|who| report.medians(&case(compression), who));
        let [Some(ours), Some(careful), Some(floor)] = medians else { continue };
        let what = |by: &str| format!("{}: time by {by}", case(compression));
        report.expect(what(CAREFUL), ours.seconds / careful.seconds, CAREFUL_LIMIT);
        report.expect(what(FLOOR), ours.seconds / floor.seconds, FLOOR_LIMIT);
        let by_buildah = [OURS_BUILDAH, CAREFUL_BUILDAH].map(|who| report.medians(&case(compression), who));
        let [Some(ours), Some(careful)] = by_buildah else { continue };
        report.expect(what(CAREFUL_BUILDAH), ours.seconds / careful.seconds, CAREFUL_LIMIT);
    }
    Ok(())
}

fn case(compression: &str) -> String {
    format!("one line changed: qcow2 {compression}")
}

fn measure_all(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let bench = Bench::new(scratch.path())?;
    eprintln!("bench: building everything once");
    bench.prepare()?;
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        for (compression, qemu_img) in COMPRESSIONS {
            let mut record = |who: &str, (usage, size)| {
                let warm_up = round < warm_ups;
                report.record(Record { case: case(compression), who: who.to_owned(), warm_up, usage, size });
            };
            record(OURS, bench.ours(compression)?);
            // Everything was built once already; the slow way needs no second time to warm up.
            if round >= warm_ups {
                record(CAREFUL, bench.careful(qemu_img)?);
            }
            record(FLOOR, bench.floor(compression)?);
            if compression == BY_BUILDAH {
                record(OURS_BUILDAH, bench.ours_by_buildah(compression)?);
                if round >= warm_ups {
                    record(CAREFUL_BUILDAH, bench.careful_by_buildah(qemu_img)?);
                }
            }
        }
    }
    Ok(())
}

fn print(report: &Report) {
    println!("## Edit to disk\n");
    println!("One line of the app changed, until the disk lies at the client; medians.\n");
    let mut table = Table::new(&["disk", "by", "seconds", "ours / it", "file MB"]);
    let mut fastest: Option<(f64, &str)> = None;
    for (compression, _) in COMPRESSIONS {
        let case = case(compression);
        let Some(ours) = report.medians(&case, OURS) else { continue };
        if fastest.is_none_or(|(seconds, _)| ours.seconds < seconds) {
            fastest = Some((ours.seconds, compression));
        }
        for who in report.contenders(&case) {
            let Some(it) = report.medians(&case, who) else { continue };
            let ours = if who == CAREFUL_BUILDAH { report.medians(&case, OURS_BUILDAH) } else { Some(ours) };
            table.row([
                case.clone(),
                who.to_owned(),
                format!("{:.2}", it.seconds),
                ours.map_or_else(String::new, |ours| format!("{:.2}", ours.seconds / it.seconds)),
                mb(it.allocated),
            ]);
        }
    }
    println!("{table}");
    if let Some((_, compression)) = fastest {
        println!("The fastest from edit to disk is compression {compression}.\n");
    }
}

/// The contexts that are built, each a folder of its own.
struct Bench<'a> {
    scratch: &'a Path,
    vmimage: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(scratch: &'a Path) -> Result<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let vmimage = project.join("out/vmimage").canonicalize();
        let vmimage = vmimage.map_err(|error| format!("out/vmimage: {error}: run make out/vmimage"))?;
        let mut contexts = vec![("ours".to_owned(), "demo/Dockerfile")];
        contexts.push(("careful".to_owned(), "bench/careful.Dockerfile"));
        contexts.extend(COMPRESSIONS.map(|(name, _)| (format!("floor-{name}"), "bench/floor.Dockerfile")));
        for (name, dockerfile) in contexts {
            let context = scratch.join(name);
            std::fs::create_dir(&context)?;
            std::fs::copy(project.join("testdata").join(dockerfile), context.join("Dockerfile"))?;
        }
        Ok(Self { scratch, vmimage })
    }

    /// Build everything once: what stays in the cache is there then, and the floors get files of the size
    /// of our disks.
    fn prepare(&self) -> Result<()> {
        for (compression, _) in COMPRESSIONS {
            self.ours(compression)?;
            std::fs::rename(self.our_disk(), self.context(&format!("floor-{compression}")).join("disk"))?;
            self.floor(compression)?;
        }
        self.careful("")?;
        self.ours_by_buildah(BY_BUILDAH)?;
        self.careful_by_buildah("").map(drop)
    }

    fn ours(&self, compression: &str) -> Result<(Usage, FileSize)> {
        let context = self.edited("ours")?;
        let mut command = Command::new(&self.vmimage);
        command.arg("build").arg(context).arg("-o").arg(self.our_disk());
        timed(command.args(["--compression", compression, "--progress", "plain"]), &self.our_disk())
    }

    fn our_disk(&self) -> PathBuf {
        self.scratch.join("disk.qcow2")
    }

    fn careful(&self, qemu_img: &str) -> Result<(Usage, FileSize)> {
        let context = self.edited("careful")?;
        let output = self.scratch.join("careful-output");
        let mut command = self.buildx(&context, &output);
        timed(command.arg("--build-arg").arg(format!("QEMU_IMG={qemu_img}")), &output.join("disk.qcow2"))
    }

    fn ours_by_buildah(&self, compression: &str) -> Result<(Usage, FileSize)> {
        let context = self.edited("ours")?;
        let mut command = Command::new(&self.vmimage);
        command.arg("build").arg(context).arg("-o").arg(self.our_disk());
        command.args(["--engine", "buildah", "--network", "host", "--compression", compression]);
        timed(&mut command, &self.our_disk())
    }

    fn careful_by_buildah(&self, qemu_img: &str) -> Result<(Usage, FileSize)> {
        let context = self.edited("careful")?;
        let output = self.scratch.join("careful-by-buildah");
        let mut command = Command::new("buildah");
        command.args(["build", "--layers", "--pull=false", "--network", "host", "--output"]);
        command.arg(format!("type=local,dest={}", output.display()));
        command.arg(format!("--build-arg=QEMU_IMG={qemu_img}")).arg(context);
        timed(&mut command, &output.join("disk.qcow2"))
    }

    fn floor(&self, compression: &str) -> Result<(Usage, FileSize)> {
        let context = self.edited(&format!("floor-{compression}"))?;
        let output = self.scratch.join("floor-output");
        timed(&mut self.buildx(&context, &output), &output.join("disk"))
    }

    fn buildx(&self, context: &Path, output: &Path) -> Command {
        let mut command = Command::new("docker");
        command.args(["buildx", "build", "--progress", "plain", "--provenance=false", "--output"]);
        command.arg(output).arg(context);
        command
    }

    /// The context `name` with a line in the app that it never had.
    fn edited(&self, name: &str) -> Result<PathBuf> {
        let context = self.context(name);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        std::fs::write(context.join("index.html"), format!("Edited {} ns after 1970.\n", now.as_nanos()))?;
        Ok(context)
    }

    fn context(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

/// Run what makes `disk`, and let the last one's writing end before.
fn timed(command: &mut Command, disk: &Path) -> Result<(Usage, FileSize)> {
    measure::settle(&[disk]);
    let usage = measure::run(command)?;
    Ok((usage, FileSize::of(disk)?))
}

/// What Docker's build cache held before, so that the gigabytes of this bench can go afterwards.
pub(crate) struct BuildCache(BTreeSet<String>);

impl BuildCache {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Self::records()?))
    }

    fn records() -> Result<BTreeSet<String>> {
        let output = Command::new("docker").args(["buildx", "du"]).output()?;
        if !output.status.success() {
            return Err(format!("docker buildx du: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        // "ID RECLAIMABLE SIZE LAST ACCESSED", a star behind the ids of what can still change, a summary.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ids = text.lines().skip(1).filter(|line| !line.contains(':'));
        Ok(ids
            .filter_map(|line| Some(line.split_whitespace().next()?.trim_end_matches('*').to_owned()))
            .collect())
    }

    /// Best effort: what stays only takes room, until Docker's own clearing meets it.
    pub(crate) fn forget_new(&self) {
        let Ok(now) = Self::records() else { return };
        let new: Vec<&str> = now.difference(&self.0).map(String::as_str).collect();
        if new.is_empty() {
            return;
        }
        let filter = format!("id=^({})$", new.join("|"));
        let pruned =
            Command::new("docker").args(["buildx", "prune", "--force", "--filter", &filter]).output();
        let why = match pruned {
            Ok(output) if output.status.success() => return,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("bench: the build cache could not be cleared, docker builder prune does it: {why}");
    }
}

/// What buildah's store held before: the layers of this bench are images without a name.
struct Images(BTreeSet<String>);

impl Images {
    fn new() -> Result<Self> {
        let output = Command::new("buildah").args(["images", "--all", "--quiet", "--no-trunc"]).output();
        let output = output.map_err(|error| format!("buildah: {error}"))?;
        if !output.status.success() {
            return Err(format!("buildah images: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let ids = String::from_utf8_lossy(&output.stdout);
        Ok(Self(ids.lines().map(str::to_owned).collect()))
    }

    /// Best effort, as with Docker's cache.
    fn forget_new(&self) {
        let Ok(now) = Self::new() else { return };
        let new = now.0.difference(&self.0);
        let removed = Command::new("buildah").args(["rmi", "--force"]).args(new).output();
        if let Ok(output) = removed
            && !output.status.success()
        {
            eprintln!(
                "bench: buildah's store could not be cleared, buildah rmi --prune does it: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
}
