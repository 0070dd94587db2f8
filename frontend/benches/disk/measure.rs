//! Run a process and learn what it took.

use std::io::{Read, Seek};
use std::ops::Add;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use wait4::Wait4;

use crate::Result;

/// What one process took, or several that ran one after another; children that they waited for included.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// From start to end.
    pub(crate) seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// The largest resident set, in bytes.
    pub(crate) peak: u64,
    /// Bytes of file pages made dirty: `write_bytes` of `/proc/PID/io`.
    pub(crate) written: u64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak: self.peak.max(next.peak),
            written: self.written + next.written,
        }
    }
}

/// A file that was made.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct FileSize {
    /// Bytes from its start to its end.
    pub(crate) length: u64,
    /// Bytes it takes on its file system; holes take none.
    pub(crate) allocated: u64,
}

impl FileSize {
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { length: metadata.len(), allocated: metadata.blocks() * 512 })
    }
}

/// Run `command` to its end, its output kept for the error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<Usage> {
    if interrupted().load(Ordering::SeqCst) {
        return Err("interrupted".into());
    }
    let mut log = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let pid = Pid::from_child(&child);
    // Its accounts are open as long as it is not reaped.
    retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT))?;
    let seconds = start.elapsed().as_secs_f64();
    let written = written_by(pid);
    let ended = child.wait4()?;
    if !ended.status.success() {
        return Err(format!("{command:?}: {}\n{}", ended.status, last_lines(&mut log)?).into());
    }
    let cpu_seconds = (ended.rusage.utime + ended.rusage.stime).as_secs_f64();
    Ok(Usage { seconds, cpu_seconds, peak: ended.rusage.maxrss, written: written? })
}

fn written_by(pid: Pid) -> Result<u64> {
    let accounts = std::fs::read_to_string(format!("/proc/{}/io", pid.as_raw_nonzero()))?;
    let written = accounts.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(written.ok_or("/proc/PID/io: has no write_bytes")?.parse()?)
}

pub(crate) fn last_lines(log: &mut std::fs::File) -> Result<String> {
    log.rewind()?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(15)..].join("\n"))
}

/// Leave nothing of one run for the next: neither its files nor the writing of them.
pub(crate) fn settle(made: &[&Path]) {
    for path in made {
        // It may not be there after a failure.
        let _ = std::fs::remove_file(path);
    }
    rustix::fs::sync();
}

fn interrupted() -> &'static Arc<AtomicBool> {
    static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    INTERRUPTED.get_or_init(Arc::default)
}

/// On Ctrl-C the terminal stops the child that is measured; this process must go on, to unmount and remove.
pub(crate) fn outlive_interrupts() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupted().clone())?;
    }
    Ok(())
}
