//! Network block devices: an image that others read over a socket, without a copy of it.
//!
//! ```text
//! client ─▶ listener.rs: its socket ─▶ handshake.rs: what it wants ─▶ transmission.rs: requests
//!                                                                        └─▶ map.rs · any image
//! ```
//!
//! One export, whose name is empty, and which is only read: writing is `EPERM`. Clients negotiate by the fixed newstyle
//! handshake, without TLS; they may have structured replies and `base:allocation`. Not there: extended headers,
//! writing, resizing. Whatever a client does is the end of its own connection at most, and costs what is said here.
//!
//! Source: `doc/proto.md` of github.com/NetworkBlockDevice/nbd.

mod address;
mod format;
mod handshake;
mod listener;
mod map;
#[cfg(test)]
mod tests;
mod transmission;
mod wire;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use address::Address;
pub use listener::Listener;
pub use wire::Lost;

use crate::error::{Error, Result};
use crate::read_at::{ReadAt, Shared};
use handshake::{Export, shake};
use listener::{Client, Stream};
use transmission::Transmission;

/// Clients at a time.
pub const CLIENTS_MAX: usize = 64;
/// The time in which a client has to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it takes at most to see that the server is to end.
const POLL: Duration = Duration::from_millis(100);

/// What happens while a server runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client has come.
    Came,
    /// There are [`CLIENTS_MAX`] already.
    Refused,
    /// What it asked for could not be read.
    Failed(&'a Error),
    /// It has gone.
    Gone {
        /// Bytes of the image that it got.
        sent: u64,
        /// Why its connection was cut off, if it was.
        why: Option<&'a Lost>,
    },
}

/// Serves an image.
pub struct Server<'a> {
    /// What is read, in many threads at once.
    pub view: Shared,
    /// What clients are told that it is.
    pub description: String,
    /// Told of clients, each by its address or its number, from many threads at once.
    pub tell: &'a (dyn Fn(&str, Event<'_>) + Sync),
}

impl Server<'_> {
    /// Serves all who connect to `listener`, until `stop` is set: then their connections are cut off.
    ///
    /// # Errors
    /// If the system lets nobody in any more.
    pub fn serve(&self, listener: &Listener, stop: &AtomicBool) -> Result<()> {
        let open = Open::default();
        thread::scope(|scope| {
            let mut served = Ok(());
            while served.is_ok() && !stop.load(Ordering::Relaxed) {
                served = listener.accept(POLL).map(|client| {
                    let Some((stream, address)) = client else { return };
                    let Some(number) = open.admit(&stream) else {
                        return (self.tell)(&address.unwrap_or_else(|| "a client".into()), Event::Refused);
                    };
                    let name = address.unwrap_or_else(|| format!("client {number}"));
                    let guest = Guest { open: &open, number };
                    // Where there is no thread for it, it goes again.
                    let _ =
                        thread::Builder::new().spawn_scoped(scope, move || self.attend(stream, &name, guest));
                });
            }
            open.cut_off();
            let address = || listener.address().to_string();
            served.map_err(|error| Error::io(address(), "cannot be listened on any more", error))
        })
    }

    fn attend(&self, stream: Stream, name: &str, _guest: Guest<'_>) {
        (self.tell)(name, Event::Came);
        let failed = |error: Error| (self.tell)(name, Event::Failed(&error));
        let mut client = Client::new(stream, PATIENCE);
        let talk = Talk { view: &*self.view, description: &self.description, failed: &failed };
        let (sent, ended) = talk.with(&mut client, |client| client.settle());
        (self.tell)(name, Event::Gone { sent, why: ended.err().as_ref() });
    }
}

/// The connections that there are.
#[derive(Default)]
struct Open(Mutex<(u64, BTreeMap<u64, Stream>)>);

impl Open {
    /// The number of a client that there is room for.
    fn admit(&self, stream: &Stream) -> Option<u64> {
        let (last, streams) = &mut *self.lock();
        if streams.len() == CLIENTS_MAX {
            return None;
        }
        *last += 1;
        streams.insert(*last, stream.try_clone().ok()?);
        Some(*last)
    }

    fn cut_off(&self) {
        self.lock().1.values().for_each(Stream::shut_down);
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Stream>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that was let in, for as long as this is there.
struct Guest<'a> {
    open: &'a Open,
    number: u64,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.open.lock().1.remove(&self.number) {
            stream.shut_down();
        }
    }
}

/// A conversation with one client.
struct Talk<'a> {
    view: &'a dyn ReadAt,
    description: &'a str,
    failed: &'a dyn Fn(Error),
}

impl Talk<'_> {
    /// From the first byte to the last; `settle` is done once the client has said what it wants. The bytes of the image that it
    /// got, and how it ended.
    fn with<S: Read + Write>(
        &self,
        stream: &mut S,
        settle: impl FnOnce(&mut S) -> std::io::Result<()>,
    ) -> (u64, Result<(), Lost>) {
        let export = Export { size: self.view.size(), description: self.description };
        let agreed = match shake(stream, export) {
            Ok(Some(agreed)) => agreed,
            Ok(None) => return (0, Ok(())),
            Err(lost) => return (0, Err(lost)),
        };
        if let Err(error) = settle(stream) {
            return (0, Err(error.into()));
        }
        let mut transmission = Transmission::new(stream, self.view, agreed, self.failed);
        let ended = transmission.run();
        (transmission.sent, ended)
    }
}

/// Serves `view` to one client over a connection that is there already; the bytes of it that the client got.
///
/// # Errors
/// If the client goes, or what it sends is not the protocol.
pub fn converse<S: Read + Write>(view: &dyn ReadAt, stream: &mut S) -> Result<u64, Lost> {
    let talk = Talk { view, description: "", failed: &|_| {} };
    let (sent, ended) = talk.with(stream, |_| Ok(()));
    ended.map(|()| sent)
}
