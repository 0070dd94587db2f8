//! Sockets that clients connect to, and those of clients.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::Address;
use crate::error::{Error, Kind, Result};

/// Clients that wait to be let in.
const BACKLOG: i32 = 64;

/// A socket that clients connect to. That of a path is gone with it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    _name: Option<Bound>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// The name of a socket in the file system.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    file: (u64, u64),
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another one may have taken the name since.
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file);
        if is_own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens on `address` and nowhere else. A socket of a path is for its user alone.
    ///
    /// # Errors
    /// [`Kind::Input`] if the name is taken, or the folder is one in which others could change it; [`Kind::Io`] if the system
    /// refuses.
    pub fn bind(address: &Address) -> Result<Self> {
        let refused = |error| Error::io(address.to_string(), "cannot be listened on", error);
        let (socket, address, name) = match address {
            Address::Unix(path) => {
                check_folder(path)?;
                make_room(path)?;
                let listener = bind_private(path).map_err(refused)?;
                let found = fs::symlink_metadata(path).map_err(refused)?;
                let bound = Bound { path: path.clone(), file: (found.dev(), found.ino()) };
                (Socket::Unix(listener), address.clone(), Some(bound))
            }
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).map_err(refused)?;
                let address = listener.local_addr().map_err(refused)?;
                (Socket::Tcp(listener), Address::Tcp(address), None)
            }
        };
        let listener = Self { socket, address, _name: name };
        listener.set_nonblocking().map_err(refused)?;
        Ok(listener)
    }

    /// Where it listens: of TCP's port 0, the one that it got.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Unix(listener) => listener.set_nonblocking(true),
            Socket::Tcp(listener) => listener.set_nonblocking(true),
        }
    }

    /// The next client, if one comes in this time, and its address if it has one.
    pub(super) fn accept(&self, wait: Duration) -> io::Result<Option<(Stream, Option<String>)>> {
        let mut events = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match poll(&mut events, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            polled => polled.map(drop)?,
        }
        let accepted = match &self.socket {
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| (Stream::Unix(stream), None)),
            Socket::Tcp(listener) => listener.accept().and_then(|(stream, address)| {
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(address.to_string())))
            }),
        };
        match accepted {
            Ok(client) => Ok(Some(client)),
            // It has gone already, or this process has no room for it now.
            Err(error) if is_passing(&error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// Errors of accept(2) that say nothing of the socket itself.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let gone = [
        ErrorKind::WouldBlock,
        ErrorKind::Interrupted,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
    ];
    let full = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PROTO];
    gone.contains(&error.kind()) || Errno::from_io_error(error).is_some_and(|errno| full.contains(&errno))
}

/// That nobody else can put another socket in the place of this one.
fn check_folder(path: &Path) -> Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let shown = folder.display().to_string();
    let found = fs::metadata(folder).map_err(|error| Error::io(&shown, "cannot be looked at", error))?;
    let own = rustix::process::geteuid().as_raw();
    let is_safe = found.mode() & OTHERS_WRITE == 0 || found.mode() & STICKY != 0;
    if [own, 0].contains(&found.uid()) && is_safe {
        return Ok(());
    }
    Err(Error::new(Kind::Input, shown, "is a folder in which others could change the socket")
        .with_hint("name one of your own, such as $XDG_RUNTIME_DIR"))
}

/// Takes away a socket that nobody listens on any more: its server was killed.
fn make_room(path: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let shown = path.display().to_string();
    let is_left = found.file_type().is_socket()
        && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    if is_left {
        return fs::remove_file(path).map_err(|error| Error::io(shown, "cannot be removed", error));
    }
    let message = if found.file_type().is_socket() { "is listened on already" } else { "is there already" };
    Err(Error::new(Kind::Input, shown, message).with_hint("name another path for the socket"))
}

/// A socket that is its user's alone from the moment that it has a name: Linux gives the name the mode of the socket.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The socket of a client.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Ends whatever waits for it.
    pub(super) fn shut_down(&self) {
        // It fails only for a client that has gone.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn set_timeouts(&self, wait: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(wait).and(stream.set_write_timeout(wait)),
            Self::Tcp(stream) => stream.set_read_timeout(wait).and(stream.set_write_timeout(wait)),
        }
    }
}

/// A client that has to have said what it wants by some time.
pub(super) struct Client {
    stream: Stream,
    deadline: Option<Instant>,
}

impl Client {
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        Self { stream, deadline: Some(Instant::now() + patience) }
    }

    /// From now on it has all the time that it wants.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.deadline = None;
        self.stream.set_timeouts(None)
    }

    fn wait(&self) -> io::Result<()> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        match deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            Some(left) => self.stream.set_timeouts(Some(left)),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        let read = match &mut self.stream {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        };
        read.map_err(too_late)
    }
}

impl Write for Client {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.wait()?;
        let written = match &mut self.stream {
            Stream::Unix(stream) => stream.write(buffer),
            Stream::Tcp(stream) => stream.write(buffer),
        };
        written.map_err(too_late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A time-out of a socket, by its name.
fn too_late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}
