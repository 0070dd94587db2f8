//! Disks far larger than what is on them: when does the app of `testdata/demo` answer, while its root grows?

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{self, FileSize};
use crate::table::{Record, Report, Table};
use crate::{Options, Result, this_program};

/// This program as what boots a disk and ends when its app answers.
pub(crate) const ROLE: &str = "boot-until-answer";

const WHO: &str = "vmimage run";
/// Sizes that the disk is given; the first is its own.
const SIZES: [(&str, Option<&str>); 3] =
    [("as built", None), ("100 GB", Some("100G")), ("16 TB", Some("16T"))];
/// Of the time until the app answers, by that on the disk as it was built.
const LIMIT: f64 = 1.2;
/// After which a machine will not answer any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let disk = scratch.path().join("disk.qcow2");
    eprintln!("bench: building testdata/demo");
    let demo = project().join("testdata/demo");
    measure::run(Command::new(vmimage()?).arg("build").arg(demo).arg("-o").arg(&disk))?;
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        for (case, size) in SIZES {
            let copy = scratch.path().join("copy.qcow2");
            std::fs::copy(&disk, &copy)?;
            if let Some(size) = size {
                measure::run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg(size))?;
            }
            let usage = measure::run(this_program()?.arg(ROLE).arg(&copy))?;
            let (case, who, warm_up) = (case.to_owned(), WHO.to_owned(), round < warm_ups);
            report.record(Record { case, who, warm_up, usage, size: FileSize::of(&copy)? });
        }
    }
    print(report);
    Ok(())
}

fn print(report: &mut Report) {
    println!("## The start of a machine\n");
    println!("Until the web server of testdata/demo answers, on disks of other sizes; medians.\n");
    let mut table = Table::new(&["disk", "seconds", "by the disk as built"]);
    let Some(built) = report.medians(SIZES[0].0, WHO) else { return };
    for (case, size) in SIZES {
        let Some(medians) = report.medians(case, WHO) else { continue };
        let ratio = medians.seconds / built.seconds;
        if size.is_some() {
            report.expect(format!("start on {case}: time by the disk as built"), ratio, LIMIT);
        }
        table.row([case.to_owned(), format!("{:.1}", medians.seconds), format!("{ratio:.2}")]);
    }
    println!("{table}");
}

pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn vmimage() -> Result<PathBuf> {
    let vmimage = project().join("out/vmimage").canonicalize();
    Ok(vmimage.map_err(|error| format!("out/vmimage: {error}: run make out/vmimage"))?)
}

/// Boot the disk that the second argument names, until it answers.
pub(crate) fn main() -> Result<()> {
    let disk = std::env::args_os().nth(2).ok_or("no disk is named")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(vmimage()?);
    command.arg("run").arg(disk).arg("--publish").arg(format!("127.0.0.1:{port}:80"));
    let mut machine = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let outcome = wait_for_answer(&mut machine, port);
    if let Some(pid) = i32::try_from(machine.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    machine.wait()?;
    outcome
}

fn wait_for_answer(machine: &mut Child, port: u16) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if answers(port) {
            return Ok(());
        }
        if let Some(status) = machine.try_wait()? {
            return Err(format!("the machine ended: {status}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the machine does not answer".into())
}

/// Whether there is an answer behind the port: QEMU takes connections long before there is a machine.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.contains(" 200 "))
}
