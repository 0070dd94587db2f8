//! A machine run with KVM that nobody has asked for: should it turn out to be of no use, no boot is lost by it.
//!
//! The probe has seen a tiny machine run; firmware and kernels do more. QEMU is watched until the guest reads its
//! kernel, and one that does not get there is started again with emulation, as long as it has written nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use serde_json::Value;

use crate::base::child::{self, end_with_this_process};
use crate::base::interrupt::Interrupt;
use crate::base::{Error, Result};
use crate::machines::qmp::Qmp;

/// How long a guest may take to its first sign of life. A kernel is read sooner even by emulation.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// A guest that has read this many bytes of its disk is alive: firmware and GRUB's core for BIOS are far less, a kernel
/// is more.
pub(super) const KERNEL: u64 = 1 << 20;
/// A guest may start once more, as shim does when it writes boot entries; one that does so again and again has
/// failed every time.
const RESETS: usize = 3;
/// How often QEMU is asked what the guest has read.
const PULSE: Duration = Duration::from_millis(500);

/// What has been seen of a machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It came to life, and ran for better or worse.
    Lived,
    /// It ended before it came to life, by itself.
    Ended,
    /// KVM does not run it; its disk is as it was.
    Failed(String),
    /// KVM does not run it any more, but it has written to its disk.
    Broken(String),
}

/// How a watched QEMU has ended.
pub(super) enum Ended {
    /// By itself, with this code.
    By(ExitCode),
    /// KVM is of no use for this guest, for this reason; nothing has been written.
    Useless(String),
}

/// Runs QEMU with KVM and watches it. `keeps_writes`: what the guest writes stays on the disk; it is alive when it has read
/// `life` bytes of its disks.
///
/// # Errors
/// If QEMU cannot be started, or KVM fails when the guest has already written to its disk.
pub(super) fn run(mut command: Command, keeps_writes: bool, life: u64) -> Result<Ended> {
    let cannot = |error| Error::user("QEMU: cannot be started").because(error);
    let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
    hand_over(&mut command, &theirs).map_err(cannot)?;
    let interrupt = Interrupt::catch().map_err(cannot)?;
    let running = interrupt.start(&mut command).map_err(cannot)?;
    drop(theirs);
    let watch = std::thread::spawn(move || watch(ours, keeps_writes, life, PATIENCE));
    let status = running.wait().map_err(cannot)?;
    let interrupted = interrupt.finish();
    // The thread does nothing that panics.
    match watch.join().unwrap_or(Verdict::Lived) {
        _ if interrupted => Ok(Ended::By(exit_code(status))),
        Verdict::Failed(reason) => Ok(Ended::Useless(reason)),
        Verdict::Broken(reason) => Err(broken(&reason)),
        Verdict::Ended if has_crashed(status) => Ok(Ended::Useless(format!("QEMU ended with {status}"))),
        Verdict::Lived | Verdict::Ended => Ok(Ended::By(exit_code(status))),
    }
}

fn broken(reason: &str) -> Error {
    Error::user(format!("{reason}, when the machine had already written to its disk"))
        .with_hint("run it by emulation, which is slower: --accel tcg")
}

/// Gives QEMU one end of the connection.
pub(super) fn hand_over(command: &mut Command, end: &UnixStream) -> io::Result<()> {
    let socket = format!("socket,id=watch,fd={}", inherit(end)?);
    command.args(["-chardev", &socket, "-mon", "chardev=watch,mode=control"]);
    // Just as if it had taken the place of this process.
    end_with_this_process(command, Signal::TERM);
    Ok(())
}

/// Lets the next program have this end of a connection; its number there.
pub(super) fn inherit(end: &(impl AsFd + AsRawFd)) -> io::Result<RawFd> {
    fcntl_setfd(end, FdFlags::empty())?;
    Ok(end.as_raw_fd())
}

pub(super) fn has_crashed(status: ExitStatus) -> bool {
    [Signal::ABORT, Signal::SEGV, Signal::ILL, Signal::BUS]
        .map(Signal::as_raw)
        .map(Some)
        .contains(&status.signal())
}

/// As a shell has it.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(child::exit_code(status))
}

/// Watches a guest to its end, and ends it if it never comes to life.
pub(super) fn watch(stream: UnixStream, keeps_writes: bool, life: u64, patience: Duration) -> Verdict {
    let Ok(mut qmp) = Qmp::connect(stream) else { return Verdict::Ended };
    let mut guest = Guest { alive: false, life, resets: 0, deadline: Instant::now() + patience, patience };
    let failed = loop {
        match guest.look(&mut qmp) {
            Ok(None) => {}
            Ok(Some(reason)) => break reason,
            Err(_) if guest.alive => return Verdict::Lived,
            Err(_) => return Verdict::Ended,
        }
    };
    let written = transferred(&mut qmp).is_ok_and(|(_, written)| written > 0);
    // QEMU's own end puts the terminal back as it was. It may be gone already.
    let _ = qmp.execute("quit");
    if keeps_writes && written { Verdict::Broken(failed) } else { Verdict::Failed(failed) }
}

/// What is known of a guest.
struct Guest {
    alive: bool,
    /// What it has read when it is.
    life: u64,
    resets: usize,
    deadline: Instant,
    patience: Duration,
}

impl Guest {
    /// Waits for the next thing that happens, a moment at most while the guest is not alive; why it has failed, if so.
    fn look(&mut self, qmp: &mut Qmp) -> io::Result<Option<String>> {
        let moment = if self.alive { Duration::from_secs(3600) } else { PULSE };
        if let Some(event) = qmp.event(Instant::now() + moment)? {
            return self.hear(&event, qmp);
        }
        if !self.alive {
            self.alive = transferred(qmp)?.0 >= self.life;
        }
        if self.alive || Instant::now() < self.deadline {
            return Ok(None);
        }
        if !is(qmp, "running")? {
            // Somebody has stopped it, or not yet let it start.
            self.deadline = Instant::now() + self.patience;
            return Ok(None);
        }
        Ok(Some(format!("KVM: no sign of life within {} s", self.patience.as_secs())))
    }

    fn hear(&mut self, event: &Value, qmp: &mut Qmp) -> io::Result<Option<String>> {
        match event["event"].as_str() {
            Some("STOP") if is(qmp, "internal-error")? => Ok(Some("KVM: internal error".to_owned())),
            Some("RESET") if !self.alive && event["data"]["guest"] == true => {
                self.resets += 1;
                Ok((self.resets >= RESETS).then(|| "KVM: the machine starts over and over".to_owned()))
            }
            // Of a QEMU that was told not to start again.
            Some("SHUTDOWN") if !self.alive && event["data"]["reason"] == "guest-reset" => {
                Ok(Some("KVM: the machine was reset at once".to_owned()))
            }
            _ => Ok(None),
        }
    }
}

/// Whether this is the state that QEMU says the guest is in.
fn is(qmp: &mut Qmp, state: &str) -> io::Result<bool> {
    Ok(qmp.execute("query-status")?["status"] == state)
}

/// Bytes that the guest has read from and written to its disks.
fn transferred(qmp: &mut Qmp) -> io::Result<(u64, u64)> {
    let devices = qmp.execute("query-blockstats")?;
    let disks = devices.as_array().into_iter().flatten().filter(|device| {
        // The firmware's own flash.
        !device["device"].as_str().is_some_and(|name| name.starts_with("pflash"))
    });
    let bytes = |device: &Value, name: &str| device["stats"][name].as_u64().unwrap_or_default();
    Ok(disks.fold((0, 0), |(read, written), device| {
        (read + bytes(device, "rd_bytes"), written + bytes(device, "wr_bytes"))
    }))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use serde_json::json;

    use super::*;

    /// A QEMU that answers what it is asked from a table, and tells `events` once it is asked for nothing more.
    fn qemu(end: UnixStream, status: &'static str, read: u64, written: u64, events: Vec<Value>) {
        let mut writer = end.try_clone().unwrap();
        writeln!(writer, "{}", json!({"QMP": {}})).unwrap();
        for line in BufReader::new(end).lines().map_while(|line| line.ok()) {
            let command: Value = serde_json::from_str(&line).unwrap();
            let answer = match command["execute"].as_str().unwrap() {
                "query-status" => json!({ "status": status }),
                "query-blockstats" => json!([
                    {"device": "pflash0", "stats": {"rd_bytes": 4 << 20, "wr_bytes": 1}},
                    {"device": "disk", "stats": {"rd_bytes": read, "wr_bytes": written}},
                ]),
                _ => json!({}),
            };
            writeln!(writer, "{}", json!({ "return": answer })).unwrap();
            match command["execute"].as_str() {
                Some("qmp_capabilities") => {
                    events.iter().for_each(|event| writeln!(writer, "{event}").unwrap());
                }
                Some("quit") => return,
                // A guest that is alive runs to its end.
                Some("query-blockstats") if read >= KERNEL => return,
                _ => {}
            }
        }
    }

    fn verdict(status: &'static str, read: u64, written: u64, events: &[Value]) -> Verdict {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let events = events.to_vec();
        std::thread::scope(|scope| {
            scope.spawn(|| qemu(theirs, status, read, written, events));
            watch(ours, true, KERNEL, Duration::from_secs(1))
        })
    }

    #[test]
    fn a_guest_that_kvm_does_not_run_has_failed() {
        let failed = |reason: &str| Verdict::Failed(format!("KVM: {reason}"));
        let stop = json!({"event": "STOP"});
        assert_eq!(verdict("internal-error", 0, 0, std::slice::from_ref(&stop)), failed("internal error"));
        let broken = Verdict::Broken("KVM: internal error".to_owned());
        assert_eq!(verdict("internal-error", 0, 512, &[stop]), broken);
        assert_eq!(verdict("running", 512, 0, &[]), failed("no sign of life within 1 s"));
        let reset = json!({"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}});
        let resets = vec![reset; RESETS];
        assert_eq!(verdict("running", 0, 0, &resets), failed("the machine starts over and over"));
        let shutdown = json!({"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}});
        assert_eq!(verdict("running", 0, 0, &[shutdown]), failed("the machine was reset at once"));
    }

    #[test]
    fn a_guest_that_reads_its_kernel_lives() {
        let reset = json!({"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}});
        let pause = json!({"event": "STOP"});
        for events in [&[][..], std::slice::from_ref(&reset), &[pause]] {
            assert_eq!(verdict("paused", KERNEL, 1, events), Verdict::Lived);
        }
    }

    #[test]
    fn what_does_not_speak_has_ended() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(watch(ours, true, KERNEL, PATIENCE), Verdict::Ended);
    }
}
