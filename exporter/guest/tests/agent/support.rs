//! An agent, and what can be seen of it from outside.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use agent::client::Client;
use agent::message::{Done, Exec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// Longer than anything takes: a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// An agent; when it is dropped the stream ends, and the agent has to end by that.
pub(crate) struct Agent {
    child: Child,
    /// The host's end of the stream.
    pub(crate) stream: UnixStream,
    /// Process 1's end of the link.
    pub(crate) link: OwnedFd,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let (link, link_theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage-init"));
        let child = command.arg("agent").stdin(OwnedFd::from(theirs)).stdout(link_theirs).spawn().unwrap();
        Self { child, stream, link }
    }

    /// A host that comes, whatever an earlier one has left.
    pub(crate) fn host(&self) -> Client {
        Client::over(self.stream.try_clone().unwrap(), LONG).unwrap()
    }

    /// The most memory it has had, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Hang up, and wait for the agent's end.
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// A line of shell.
pub(crate) fn sh(line: &str) -> Exec {
    Exec { argv: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Exec::default() }
}

/// What became of a program, what it printed, and its errors.
pub(crate) fn run(host: &Client, exec: Exec, input: &'static [u8]) -> (Done, String, String) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let done = host.run(exec, input, Limited(&mut output), Limited(&mut errors)).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (done, text(output), text(errors))
}

/// As much as a test wants to see.
struct Limited<'a>(&'a mut Vec<u8>);

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        assert!(self.0.len() + bytes.len() < 1 << 20, "too much is printed");
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Wait until it is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
