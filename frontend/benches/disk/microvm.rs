//! From QEMU's start to the first byte of an image's program on the serial console, one after another: the kernel alone, a
//! microVM, an initramfs made by hand, and a disk with systemd. And what the parts weigh, and what an initramfs costs the
//! build of a kernel.

mod by_hand;
pub(crate) mod start;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::{project, vmimage};
use crate::measure::{self, FileSize, Usage};
use crate::table::{Record, Report, Table, mb};
use crate::{Options, Result};

const START: &str = "start of a machine";
const FLOOR: &str = "the kernel alone, to its panic";
const OURS: &str = "microVM on q35";
const OURS_WITHOUT_PCI: &str = "microVM on QEMU's microvm";
const OURS_BY_ELF: &str = "microVM on q35, by its vmlinux";
const BY_HAND: &str = "busybox initramfs by hand";
const SYSTEMD: &str = "disk with systemd";

const FLOOR_LIMIT: f64 = 1.3;
const SYSTEMD_LIMIT: f64 = 0.3;
const INIT_LIMIT: f64 = 1.2 * 1_048_576.0;
const INITRAMFS_LIMIT: f64 = 3.0 * 1_048_576.0;

/// What the entrypoint prints first, and the kernel last.
const ENTRYPOINT: &str = "entrypoint: ";
const PANIC: &str = "Kernel panic";

/// How the kernel comes to a program of an image that has none, and what is asked for that.
const STEPS: [(&str, &[&str]); 3] = [
    ("microVM", &["--profile", "microvm", "--format", "microvm"]),
    ("machine, vmimage's initramfs", &["--format", "qcow2", "--initramfs", "vmimage"]),
    ("machine, the distribution's initramfs", &["--format", "qcow2"]),
];
const STEP: &str = "cold build of the kernel";

/// Measure, print the tables, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let bench = Bench::new(scratch.path())?;
    let contenders = bench.contenders()?;
    let (rounds, warm_ups) = options.rounds();
    let mut in_use = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for (contender, in_use) in contenders.iter().zip(&mut in_use) {
            let (seconds, line) = contender.start()?;
            in_use.extend(kilobytes(&line));
            let usage = Usage { seconds, ..Usage::default() };
            let (case, who, warm_up) = (START.to_owned(), contender.who.to_owned(), round < warm_ups);
            report.record(Record { case, who, warm_up, usage, size: FileSize::default() });
        }
    }
    let in_use: Vec<_> = in_use.into_iter().map(|all| all.into_iter().min()).collect();
    print_starts(report, &contenders, &in_use);
    bench.print_sizes(report)?;
    bench.build_kernels(options, report)?;
    print_steps(report);
    Ok(())
}

/// A machine that is started, and the word on its console that it is started for.
struct Contender {
    who: &'static str,
    what: PathBuf,
    flags: &'static [&'static str],
    word: &'static str,
}

impl Contender {
    /// Seconds to the word, and the line with it.
    fn start(&self) -> Result<(f64, String)> {
        let mut command = Command::new(vmimage()?);
        command.arg("run").arg(&self.what).args(["--no-network", "--snapshot", "-c", "1", "-m", "512M"]);
        start::until(command.args(self.flags).env("VMIMAGE_ACCEL", start::accel()?), self.word)
    }
}

/// What the entrypoint has told.
fn kilobytes(line: &str) -> Option<u64> {
    line.split_once(ENTRYPOINT)?.1.split_once(" kB")?.0.parse().ok()
}

struct Bench<'a> {
    scratch: &'a Path,
    context: PathBuf,
    dockerfile: PathBuf,
    microvm: PathBuf,
    disk: PathBuf,
}

impl<'a> Bench<'a> {
    /// Builds the machines that are started.
    fn new(scratch: &'a Path) -> Result<Self> {
        let context = project().join("testdata/bench");
        let dockerfile = context.join("microvm.Dockerfile");
        let [microvm, disk] = ["microvm", "systemd.qcow2"].map(|name| scratch.join(name));
        let bench = Self { scratch, context, dockerfile, microvm, disk };
        eprintln!("bench: building a microVM and a disk with systemd");
        bench.build(&bench.dockerfile, &bench.microvm, STEPS[0].1)?;
        bench.build(&bench.dockerfile, &bench.disk, &[])?;
        Ok(bench)
    }

    fn build(&self, dockerfile: &Path, to: &Path, args: &[&str]) -> Result<Usage> {
        let mut command = Command::new(vmimage()?);
        command.arg("build").arg(&self.context).arg("--file").arg(dockerfile).arg("-o").arg(to);
        measure::run(command.args(["--progress", "plain"]).args(args))
    }

    fn contenders(&self) -> Result<Vec<Contender>> {
        let description = read(&self.microvm)?;
        let contender = |who, what: &Path, word| Contender { who, what: what.to_owned(), flags: &[], word };
        let floor = self.variant("floor", |description| {
            let words = description["cmdline"].as_str().unwrap_or_default().split(' ');
            description["cmdline"] =
                words.filter(|word| !is_of_root(word)).collect::<Vec<_>>().join(" ").into();
            description.as_object_mut().map(|members| members.remove("initramfs"));
        })?;
        let mut all = vec![contender(FLOOR, &floor, PANIC), contender(OURS, &self.microvm, ENTRYPOINT)];
        if description["vmlinux"].is_string() {
            let by_elf =
                self.variant("elf", |description| description["kernel"] = description["vmlinux"].clone())?;
            all.push(contender(OURS_BY_ELF, &by_elf, ENTRYPOINT));
        }
        let machines = description["machines"].as_array();
        if machines.is_some_and(|machines| machines.iter().any(|name| name == "microvm")) {
            let flags = &["--machine", "microvm"];
            all.push(Contender { flags, ..contender(OURS_WITHOUT_PCI, &self.microvm, ENTRYPOINT) });
        }
        let by_hand = self.variant("by-hand", |_| {})?;
        by_hand::replace(&by_hand.join("initramfs"), self.scratch)?;
        all.push(contender(BY_HAND, &by_hand, ENTRYPOINT));
        all.push(Contender { flags: &["--bios"], ..contender(SYSTEMD, &self.disk, ENTRYPOINT) });
        Ok(all)
    }

    /// The same microVM, described in another way; its files are those of the first one.
    fn variant(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        std::fs::create_dir(&folder)?;
        for entry in std::fs::read_dir(&self.microvm)? {
            let entry = entry?;
            std::fs::hard_link(entry.path(), folder.join(entry.file_name()))?;
        }
        let mut description = read(&folder)?;
        change(&mut description);
        let path = folder.join("vm.json");
        std::fs::remove_file(&path)?;
        std::fs::write(path, description.to_string())?;
        Ok(folder)
    }

    fn print_sizes(&self, report: &mut Report) -> Result<()> {
        println!("## What it weighs\n");
        let mut table = Table::new(&["part", "MB"]);
        let description = read(&self.microvm)?;
        let root = description["drives"][0]["file"].as_str().ok_or("vm.json: has no root")?;
        let init = by_hand::unpacked(self.scratch).join("init");
        let size = |path: &Path| -> Result<f64> { Ok(path.metadata()?.len() as f64) };
        let initramfs = size(&self.microvm.join("initramfs"))?;
        for (part, bytes) in [
            ("init", size(&init)?),
            ("initramfs", initramfs),
            ("kernel", size(&self.microvm.join("vmlinuz"))?),
            ("root", size(&self.microvm.join(root))?),
            ("the disk with systemd", size(&self.disk)?),
            ("the image's own files", self.image()?),
        ] {
            table.row([part.to_owned(), mb(bytes)]);
        }
        println!("{table}");
        report.expect("bytes of the init, by 1.2 MiB".to_owned(), size(&init)? / INIT_LIMIT, 1.0);
        report.expect("bytes of the initramfs, by 3 MiB".to_owned(), initramfs / INITRAMFS_LIMIT, 1.0);
        Ok(())
    }

    /// What docker says the image has.
    fn image(&self) -> Result<f64> {
        let mut build = Command::new("docker");
        build.args(["build", "-q", "-f"]).arg(&self.dockerfile).arg(&self.context);
        let id = text(&mut build)?;
        Ok(text(Command::new("docker").args(["image", "inspect", "-f", "{{.Size}}", &id]))?.parse()?)
    }

    /// Builds a program without a distribution anew, with all that its kernel takes.
    fn build_kernels(&self, options: &Options, report: &mut Report) -> Result<()> {
        let dockerfile = self.context.join("kernel-step.Dockerfile");
        let (rounds, warm_ups) = options.rounds();
        for round in 0..rounds {
            for (number, (who, args)) in STEPS.into_iter().enumerate() {
                let to = self.scratch.join(format!("step-{round}-{number}"));
                let usage = self.build(
                    &dockerfile,
                    &to,
                    &[args, &["--no-cache", "--kernel", "image:debian:12"]].concat(),
                )?;
                let (case, who, warm_up) = (STEP.to_owned(), who.to_owned(), round < warm_ups);
                report.record(Record { case, who, warm_up, usage, size: FileSize::default() });
            }
        }
        Ok(())
    }
}

/// Whether a word of the kernel's command line is about the root and what follows.
fn is_of_root(word: &str) -> bool {
    ["root=", "rootfstype=", "rootflags=", "rootdelay=", "init="].iter().any(|name| word.starts_with(name))
        || ["ro", "rw", "rootwait"].contains(&word)
}

fn read(microvm: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(microvm.join("vm.json"))?)?)
}

/// What a command prints, without the end of the line.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn print_starts(report: &mut Report, contenders: &[Contender], in_use: &[Option<u64>]) {
    println!("## The start of a program\n");
    println!(
        "From QEMU's start to the program's first byte on the console, by {}; medians.\n",
        start::shown()
    );
    let mut table = Table::new(&["", "seconds", "best s", "by the kernel alone", "by systemd", "MB in use"]);
    let [floor, systemd] = [FLOOR, SYSTEMD].map(|who| report.medians(START, who));
    let (Some(floor), Some(systemd)) = (floor, systemd) else { return };
    for (contender, in_use) in contenders.iter().zip(in_use) {
        let Some(it) = report.medians(START, contender.who) else { continue };
        let ratio = |other: f64| format!("{:.2}", it.seconds / other);
        let in_use = in_use.map_or(String::new(), |kilobytes| mb(kilobytes as f64 * 1024.0));
        let seconds = [it.seconds, it.best].map(|seconds| format!("{seconds:.2}"));
        let [median, best] = seconds;
        table.row([
            contender.who.to_owned(),
            median,
            best,
            ratio(floor.seconds),
            ratio(systemd.seconds),
            in_use,
        ]);
    }
    println!("{table}");
    if let Some(ours) = report.medians(START, OURS) {
        report.expect(format!("{OURS}: time by {FLOOR}"), ours.seconds / floor.seconds, FLOOR_LIMIT);
        report.expect(format!("{OURS}: time by {SYSTEMD}"), ours.seconds / systemd.seconds, SYSTEMD_LIMIT);
    }
}

fn print_steps(report: &Report) {
    println!("## The build of a kernel\n");
    println!("A program FROM scratch, built with --no-cache; medians.\n");
    let mut table = Table::new(&["", "seconds", "by the last"]);
    let Some(last) = report.medians(STEP, STEPS[STEPS.len() - 1].0) else { return };
    for (who, _) in STEPS {
        let Some(it) = report.medians(STEP, who) else { continue };
        table.row([
            who.to_owned(),
            format!("{:.1}", it.seconds),
            format!("{:.2}", it.seconds / last.seconds),
        ]);
    }
    println!("{table}");
}
