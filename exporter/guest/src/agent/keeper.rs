//! In process 1: waits for a host, starts the agent for it, and tells the agent of the service.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use agent::frame::{HANG_UP, ZEROS};
use agent::message::{Health as Told, State, Status};
use agent::{PORT, VSOCK_PORT};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use socket2::{Domain, SockAddr, Socket, Type};

use super::ROLE;
use super::link::{Ask, MESSAGE_MAX, OUTPUT_MAX, Told as Message};
use crate::grow::device::in_file;
use crate::init::console::{say, say_error};
use crate::init::health::Health;
use crate::init::left;
use crate::init::standing::Standing;
use crate::init::status;
use crate::init::supervise::{Action, Desk, Event};

/// Between two looks for the port, and how often: a driver makes ports some time after its device.
const LOOK: (Duration, usize) = (Duration::from_millis(20), 250);
/// Between two agents of one port, whatever ends them; and where one cannot be started.
const PAUSE: Duration = Duration::from_millis(50);
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// How soon a thread ends that has nothing to tell an agent that is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// What exists where a kernel knows vsock.
const VSOCK: &str = "/dev/vsock";
/// The host's address (vsock(7)); programs in the machine have others, and are not listened to.
const HOST: u32 = 2;
const ANY: u32 = u32::MAX;
/// Hosts over vsock at a time.
const CONNECTIONS: usize = 8;

/// Wait for hosts in the background, over the port and over vsock where they are there.
pub(crate) fn start(desk: &Desk) {
    let desk_of_port = desk.clone();
    thread::spawn(move || say_error(keep_port(&desk_of_port)));
    if Path::new(VSOCK).exists() {
        let desk = desk.clone();
        thread::spawn(move || say_error(keep_vsock(&desk).map_err(|error| format!("agent: vsock: {error}"))));
    }
}

/// For ever, if there is a port.
fn keep_port(desk: &Desk) -> Result<(), String> {
    // The driver of the ports may be among that.
    left::finish_behind(&desk.board);
    desk.board.wait_for_hold();
    let look = |_| {
        let found = status::port(PORT);
        if found.is_none() {
            thread::sleep(LOOK.0);
        }
        found
    };
    let Some(path) = (0..LOOK.1).find_map(look) else { return Ok(()) };
    let mut port = File::options().read(true).write(true).open(&path).map_err(in_file(&path))?;
    loop {
        // The kernel writes it when a host is there. One that an earlier agent was speaking with learns by it that this has
        // ended: as many zeros as the longest frame has bytes, and what is no frame.
        port.write_all(&[&[0; ZEROS][..], &[HANG_UP]].concat()).map_err(in_file(&path))?;
        let ended = attend(port.try_clone().map_err(in_file(&path))?, desk);
        thread::sleep(if ended.is_ok() { PAUSE } else { LONG_PAUSE });
        say_error(ended.map_err(|error| format!("agent: {error}")));
    }
}

/// For ever; each connection has an agent of its own.
fn keep_vsock(desk: &Desk) -> io::Result<()> {
    let listener = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    listener.bind(&SockAddr::vsock(ANY, VSOCK_PORT))?;
    listener.listen(CONNECTIONS as i32)?;
    let open = Arc::new(AtomicUsize::new(0));
    desk.board.wait_for_hold();
    loop {
        let (connection, peer) = listener.accept()?;
        let is_host = peer.as_vsock_address().is_some_and(|(address, _)| address == HOST);
        if !is_host || open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            if is_host {
                open.fetch_sub(1, Ordering::SeqCst);
            }
            continue;
        }
        let (desk, open) = (desk.clone(), open.clone());
        thread::spawn(move || {
            let ended = attend(OwnedFd::from(connection), &desk);
            open.fetch_sub(1, Ordering::SeqCst);
            say_error(ended.map_err(|error| format!("agent: {error}")));
        });
    }
}

/// Agents that run, and how long they have to pass on what was said last.
static AGENTS: AtomicUsize = AtomicUsize::new(0);
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Before all processes are ended: hosts have to learn of the end.
pub(crate) fn settle() {
    if AGENTS.load(Ordering::SeqCst) > 0 {
        thread::sleep(LAST_WORDS);
    }
}

/// Start an agent on a stream, and be there for it until it ends.
fn attend(stream: impl Into<Stdio>, desk: &Desk) -> io::Result<()> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new("/proc/self/exe");
    // Waited for as every child is: see `power::reap`.
    command.arg(ROLE).stdin(stream).stdout(theirs).spawn()?;
    drop(command);
    let link = Link(Arc::new((ours, AtomicBool::new(false))));
    let (teller, told) = (link.clone(), desk.clone());
    thread::spawn(move || teller.tell_status(&told));
    AGENTS.fetch_add(1, Ordering::SeqCst);
    link.listen(desk);
    AGENTS.fetch_sub(1, Ordering::SeqCst);
    link.0.1.store(true, Ordering::SeqCst);
    Ok(())
}

/// The socket to an agent, and whether that is gone.
#[derive(Clone)]
struct Link(Arc<(OwnedFd, AtomicBool)>);

impl Link {
    /// Until the agent is gone.
    fn listen(&self, desk: &Desk) {
        let mut message = [0; MESSAGE_MAX];
        let mut is_told = false;
        while let Ok((len @ 1.., _)) = recv(self.0.0.as_fd(), &mut message[..], RecvFlags::empty()) {
            match message.get(..len).and_then(Ask::decode) {
                Some(Ask::Output) if !is_told => {
                    is_told = true;
                    let (teller, told) = (self.clone(), desk.clone());
                    thread::spawn(move || teller.tell_output(&told));
                }
                Some(Ask::Stop) => {
                    say(format_args!("the host asks for the end of the machine"));
                    let _ = desk.events.send(Event::Asked(Action::PowerOff));
                }
                _ => {}
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.0.1.load(Ordering::SeqCst)
    }

    fn send(&self, message: &Message<'_>) -> bool {
        send(self.0.0.as_fd(), &message.encode(), SendFlags::NOSIGNAL).is_ok()
    }

    fn tell_status(&self, desk: &Desk) {
        let (mut standing, mut seen) = desk.board.read(0, Duration::ZERO);
        while self.send(&Message::Status(status_of(&standing))) {
            let before = seen;
            while seen == before && !self.is_gone() {
                (standing, seen) = desk.board.read(before, PATIENCE);
            }
            if self.is_gone() {
                return;
            }
        }
    }

    fn tell_output(&self, desk: &Desk) {
        let (mut from, mut has_caught_up) = (desk.log.begin(), false);
        while !self.is_gone() {
            let patience = if has_caught_up { PATIENCE } else { Duration::ZERO };
            let part = desk.log.read(from, OUTPUT_MAX, patience);
            let lost = part.next - part.bytes.len() as u64 - from;
            from = part.next;
            let message = match part.bytes.is_empty() {
                true if has_caught_up => continue,
                true => Message::CaughtUp,
                false => Message::Output(lost, &part.bytes),
            };
            has_caught_up |= part.bytes.is_empty();
            if !self.send(&message) {
                return;
            }
        }
    }
}

/// As the host is told.
fn status_of(standing: &Standing) -> Status {
    let done = standing.ending.as_ref().map(crate::init::ending::Ending::done).unwrap_or_default();
    Status {
        state: match (standing.pid, standing.starts, &standing.ending) {
            (Some(_), ..) => State::Running,
            (None, 0, None) => State::Starting,
            (None, ..) => State::Ended,
        },
        starts: standing.starts,
        status: standing.ending.as_ref().map(|_| done.status),
        signal: done.signal,
        error: done.error,
        health: standing.health.map(|health| match health {
            Health::Starting => Told::Starting,
            Health::Healthy => Told::Healthy,
            Health::Unhealthy => Told::Unhealthy,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::ending::Ending;

    #[test]
    fn how_the_service_stands_is_told_in_dockers_numbers() {
        let of = |standing: &Standing| serde_json::to_string(&status_of(standing)).unwrap();
        assert_eq!(of(&Standing::default()), r#"{"state":"starting","starts":0}"#);
        let pid = Some(rustix::process::getpid());
        let running = Standing { pid, health: Some(Health::Unhealthy), starts: 2, ..Standing::default() };
        assert_eq!(of(&running), r#"{"state":"running","starts":2,"health":"unhealthy"}"#);
        let killed = Standing { ending: Some(Ending::Killed(9)), starts: 1, ..Standing::default() };
        assert_eq!(of(&killed), r#"{"state":"ended","starts":1,"status":137,"signal":9}"#);
        let failed = Standing { ending: Some(Ending::Failed(127, "no".into())), ..Standing::default() };
        assert_eq!(of(&failed), r#"{"state":"ended","starts":0,"status":127,"error":"no"}"#);
    }
}
