//! The guard: a process beside the machine's init that restarts the machine when nobody says in time that the boot was
//! good, so that the boot loader goes back to the slot that was.
//!
//! ```text
//! early ─▶ guard: feeds a watchdog ─ good (vmimage-boot) ─▶ ends
//!   │                              └ deadline ─▶ Ctrl-Alt-Del to the init ─▶ the kernel's restart
//!   └────▶ the machine's init
//! ```
//!
//! It depends on no init and on no file system: it is told by a socket without a path (unix(7), "abstract"). A hang of the
//! whole kernel is for the watchdog, if there is one that can be stopped again.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::choice;
use crate::init::console;

/// The argument that asks for it.
pub(super) const ROLE: &str = "guard";

/// The name of its socket.
const SOCKET: &[u8] = b"vmimage-guard";
const GOOD: &[u8] = b"good\n";
const HEARD: &[u8] = b"ok\n";

/// Less than half of what any watchdog waits.
const FEED: Duration = Duration::from_secs(5);
/// How long an init may take to restart the machine, and the kernel to write what it has.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the ESP may take to tell what systemd-boot counts; a watchdog waits longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What ends the wait.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Good,
    /// The machine stops.
    Stop,
    Deadline,
}

/// Start it, which is to be told within so many seconds.
pub(super) fn start(deadline: u64) -> Result<(), String> {
    let guard = Command::new("/proc/self/exe").arg(ROLE).arg(deadline.to_string()).spawn();
    guard.map(drop).map_err(|error| format!("the guard cannot be started: {error}"))
}

/// As that process.
pub(super) fn run(deadline: &str) -> ExitCode {
    let guarded = deadline.parse().map_err(|_| format!("{deadline}: no number of seconds"));
    match guarded.and_then(|seconds| guard(Duration::from_secs(seconds))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("no guard: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn guard(deadline: Duration) -> Result<(), String> {
    stay();
    let (events, inbox) = channel();
    watch_signals(events.clone())?;
    listen(events)?;
    name_slots();
    let mut watchdog = Watchdog(None);
    let meanwhile = || {
        // Else a person is there, and may want to see what hangs.
        if !choice::is_by_hand() {
            watchdog.feed();
        }
    };
    let event = wait(&inbox, deadline, meanwhile);
    match (event == Event::Deadline).then(why_off) {
        None => watchdog.stop(),
        Some(Some(why)) => {
            say(&format!("nobody has said that this boot is good, but {why}: the machine goes on"));
            watchdog.stop();
        }
        Some(None) => {
            let seconds = deadline.as_secs();
            say(&format!("nobody has said within {seconds} s that this boot is good: the machine restarts"));
            restart(&inbox, || watchdog.feed());
        }
    }
    Ok(())
}

/// It outlives a root whose disk is gone, and a service that takes all memory.
fn stay() {
    let _ = mlockall(MlockAllFlags::CURRENT);
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
}

/// Once sysfs is mounted. A disk that hangs while its table is read keeps nobody from restarting the machine.
fn name_slots() {
    thread::spawn(|| {
        while choice::name_slots().is_err() {
            thread::sleep(FEED);
        }
    });
}

/// Until the first event, or for so long. `meanwhile` is done again and again.
fn wait(inbox: &Receiver<Event>, deadline: Duration, mut meanwhile: impl FnMut()) -> Event {
    let start = Instant::now();
    loop {
        meanwhile();
        let left = deadline.saturating_sub(start.elapsed());
        match inbox.recv_timeout(left.min(FEED)) {
            Ok(event) => return event,
            Err(RecvTimeoutError::Timeout) if left > FEED => {}
            Err(_) if start.elapsed() >= deadline => return Event::Deadline,
            // Nobody is left who could tell.
            Err(_) => thread::sleep(left.min(FEED)),
        }
    }
}

/// Ctrl-Alt-Del, which every init takes for an orderly restart. One that hangs does not, and then it is the kernel's; one
/// that stops all processes ends this one, too.
fn restart(inbox: &Receiver<Event>, mut meanwhile: impl FnMut()) {
    let _ = kill_process(Pid::INIT, Signal::INT);
    let start = Instant::now();
    while let Some(left) = RESTART_TIMEOUT.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        wait(inbox, left, &mut meanwhile);
    }
    say("the init does not restart the machine: the kernel does");
    within(SYNC_TIMEOUT, rustix::fs::sync);
    if let Err(error) = reboot(RebootCommand::Restart) {
        say(&format!("the kernel does not restart the machine: {error}"));
    }
}

/// Signals end nothing by themselves: a shutdown sends SIGTERM to all processes, a console that is closed SIGHUP.
fn watch_signals(events: Sender<Event>) -> Result<(), String> {
    let known = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    let mut signals = Signals::new(known).map_err(|error| format!("signals: {error}"))?;
    thread::spawn(move || {
        for _ in signals.forever().filter(|signal| *signal == SIGTERM) {
            let _ = events.send(Event::Stop);
        }
    });
    Ok(())
}

/// Root alone can tell.
fn listen(events: Sender<Event>) -> Result<(), String> {
    let listener = address().and_then(|address| UnixListener::bind_addr(&address));
    let listener = listener.map_err(|error| format!("its socket: {error}"))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if hears_good(&mut stream) {
                let _ = stream.write_all(HEARD);
                let _ = events.send(Event::Good);
            }
        }
    });
    Ok(())
}

fn hears_good(stream: &mut UnixStream) -> bool {
    // Nobody else keeps it from listening.
    if !is_of_root(stream) {
        return false;
    }
    let mut said = [0; GOOD.len()];
    let is_read = stream.set_read_timeout(Some(FEED)).and_then(|()| stream.read_exact(&mut said));
    is_read.is_ok() && said == GOOD
}

/// Tell the guard of this machine that the boot is good. One that has ended needs not be told, and anybody may have taken
/// its name since.
pub(crate) fn tell_good() -> Result<(), String> {
    let guard = address().and_then(|address| UnixStream::connect_addr(&address));
    let Some(mut stream) = guard.ok().filter(is_of_root) else { return Ok(()) };
    let mut heard = [0; HEARD.len()];
    let told = stream.write_all(GOOD).and_then(|()| stream.set_read_timeout(Some(FEED)));
    told.and_then(|()| stream.read_exact(&mut heard))
        .map_err(|error| format!("the guard does not answer: {error}"))
}

fn is_of_root(other: &UnixStream) -> bool {
    socket_peercred(other).is_ok_and(|peer| peer.uid.is_root())
}

fn address() -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(SOCKET)
}

/// Why a restart would be of no use, if it would not.
fn why_off() -> Option<&'static str> {
    if choice::is_unguarded() {
        return Some("the guard is off");
    }
    // A disk that does not answer says nothing: the machine restarts.
    let is_last = within(ASK_TIMEOUT, choice::is_last);
    matches!(is_last, Some(Ok(true))).then_some("no try is counted any more")
}

/// What comes of it, if it comes in time.
fn within<T: Send + 'static>(timeout: Duration, ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = channel();
    thread::spawn(move || {
        let _ = sender.send(ask());
    });
    answer.recv_timeout(timeout).ok()
}

/// The watchdog of the machine's hardware (the kernel's documentation, watchdog/watchdog-api).
struct Watchdog(Option<File>);

impl Watchdog {
    const DEVICE: &str = "/dev/watchdog";
    /// 1 if it goes on when it is closed, whoever does that.
    const NO_WAY_OUT: &str = "/sys/class/watchdog/watchdog0/nowayout";
    /// What disarms it before it is closed.
    const MAGIC: &[u8] = b"V";

    /// Its driver may come later, and somebody else may have it.
    fn feed(&mut self) {
        if self.0.is_none() && fs::read_to_string(Self::NO_WAY_OUT).is_ok_and(|text| text.trim() == "0") {
            self.0 = File::options().write(true).open(Self::DEVICE).ok();
        }
        if let Some(device) = &mut self.0 {
            let _ = device.write_all(b"\0");
        }
    }

    fn stop(self) {
        if let Some(mut device) = self.0 {
            let _ = device.write_all(Self::MAGIC);
        }
    }
}

/// Say one line in the kernel's log, which all consoles show; an init may have closed what was open.
fn say(line: &str) {
    let log = File::options().write(true).open("/dev/kmsg");
    if log.and_then(|mut log| log.write_all(format!("<2>vmimage: {line}\n").as_bytes())).is_err() {
        console::say(format_args!("{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_ends_the_wait() {
        let (events, inbox) = channel();
        let mut fed = 0;
        assert_eq!(wait(&inbox, Duration::from_millis(20), || fed += 1), Event::Deadline);
        assert!(fed > 0);
        events.send(Event::Good).unwrap();
        assert_eq!(wait(&inbox, Duration::from_secs(600), || ()), Event::Good);
        drop(events);
        assert_eq!(wait(&inbox, Duration::from_millis(20), || ()), Event::Deadline);
    }

    #[test]
    fn who_does_not_answer_in_time_has_said_nothing() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        assert_eq!(within(Duration::from_millis(10), || thread::sleep(Duration::from_secs(60))), None);
    }

    #[test]
    fn it_is_told_by_its_socket() {
        // Nobody listens: nothing has to be told.
        assert_eq!(tell_good(), Ok(()));
        let (events, inbox) = channel();
        listen(events).unwrap();
        let stranger = UnixStream::connect_addr(&address().unwrap()).unwrap();
        (&stranger).write_all(b"what?").unwrap();
        assert_eq!(tell_good(), Ok(()));
        // Heard if this is root's, which is answered first.
        let is_root = rustix::process::geteuid().is_root();
        let patience = if is_root { Duration::from_secs(60) } else { Duration::ZERO };
        assert_eq!(inbox.recv_timeout(patience).is_ok(), is_root);
    }
}
