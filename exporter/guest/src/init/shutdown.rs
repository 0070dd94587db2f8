//! The end: every process is asked to go, then made to; what is on disks is written; the machine stops.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::init::console::say;
use crate::init::mounts;
use crate::init::supervise::Action;
use crate::init::view;
use crate::init::words::Words;

/// The firmware's tables, where there are some; and the kernel's word against them.
const ACPI: &str = "/sys/firmware/acpi/tables";
const OFF: &str = "vmimage.off";
/// How long processes that are left may take.
const GRACE: Duration = Duration::from_secs(2);

/// Stop the machine. Returns only if the kernel refuses.
pub(crate) fn end(action: Action, words: &Words) {
    end_processes();
    rustix::fs::sync();
    view::leave();
    mounts::release();
    rustix::fs::sync();
    say(format_args!("{}", action.done()));
    let command = match action {
        Action::PowerOff if can_power_off(words) => RebootCommand::PowerOff,
        // A monitor ends where such a machine restarts.
        Action::PowerOff | Action::Restart => RebootCommand::Restart,
    };
    if let Err(error) = reboot(command) {
        say(format_args!("the kernel does not stop the machine: {error}"));
    }
}

/// Whether the kernel knows how: of x86 by ACPI's state S5 alone, which not every machine with tables has (that of Firecracker
/// would halt, and its monitor go on); elsewhere by the firmware.
fn can_power_off(words: &Words) -> bool {
    let knows_how = !cfg!(target_arch = "x86_64") || has_s5(Path::new(ACPI));
    knows_how && words.value(OFF) != Some("reboot")
}

fn has_s5(tables: &Path) -> bool {
    let files = fs::read_dir(tables).into_iter().flatten().flatten();
    let mut tables = files.filter_map(|file| fs::read(file.path()).ok());
    tables.any(|table| table.windows(4).any(|name| name == b"_S5_"))
}

fn end_processes() {
    for signal in [Signal::TERM, Signal::KILL] {
        for pid in processes() {
            // It may have gone by itself.
            let _ = kill_process(pid, signal);
        }
        let start = Instant::now();
        while processes().next().is_some() && start.elapsed() < GRACE {
            sleep(Duration::from_millis(20));
        }
    }
}

/// Every process but this one, and but the kernel's own threads: those have no program.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let has_program = fs::read_link(entry.path().join("exe")).is_ok();
        (pid != getpid() && has_program).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_restarts_where_it_is_told_so() {
        assert!(!can_power_off(&Words::parse("quiet vmimage.off=reboot")));
    }
}
