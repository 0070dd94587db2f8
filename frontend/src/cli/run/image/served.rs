//! The root of an image's machine as QEMU reads it: out of the image's layers, as a network block device, without a copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use exporter::nbd::{Address, Event, Listener, Server};
use exporter::read_at::Shared;

use crate::base::terminal::tell_line;
use crate::base::{Error, Result};

/// A root that is served until this is dropped.
pub(super) struct Served {
    size: u64,
    /// Bytes that clients got who have gone.
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves it at a socket, to this user alone.
    ///
    /// # Errors
    /// If there can be no such socket.
    pub(super) fn start(view: Shared, socket: &Path) -> Result<Self> {
        let listener = Listener::bind(&Address::Unix(socket.to_owned()))?;
        let (size, sent, stop) = (view.size(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counts, stops) = (sent.clone(), stop.clone());
        let serve = move || {
            let tell = |_: &str, event: Event<'_>| match event {
                Event::Failed(error) => {
                    tell_line(format_args!("error: the root cannot be read: {error}"));
                }
                Event::Gone { sent, .. } => drop(counts.fetch_add(sent, Ordering::SeqCst)),
                Event::Came | Event::Refused => {}
            };
            let server = Server { view, description: "root".to_owned(), tell: &tell };
            if let Err(error) = server.serve(&listener, &stops) {
                tell_line(format_args!("error: {error}"));
            }
        };
        let started = thread::Builder::new().spawn(serve);
        let thread =
            started.map_err(|error| Error::internal("a thread: cannot be started").because(error))?;
        Ok(Self { size, sent, stop, thread: Some(thread) })
    }

    /// Bytes of the root.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Ends it; bytes of the root that were sent, those of holes not counted, and those that were asked for twice twice.
    pub(super) fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        // What it has to say of clients is said when it is over.
        let _ = self.thread.take().map(JoinHandle::join);
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Nobody waits for its thread: QEMU is gone, and the socket goes with its folder.
        self.stop.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Asks for all three mebibytes of a root in one request, by the oldest handshake of the protocol.
    fn read_all(socket: &Path) -> Vec<u8> {
        const LEN: u32 = 3 << 20;
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
        // Without zeroes behind the answer: NBD_OPT_EXPORT_NAME, and the name is empty.
        stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        let read = [&b"\x25\x60\x95\x13\0\0\0\0"[..], &[7; 8], &[0; 8], &LEN.to_be_bytes()].concat();
        stream.write_all(&read).unwrap();
        let mut answer = vec![0; 16 + LEN as usize];
        stream.read_exact(&mut answer).unwrap();
        answer.split_off(16)
    }

    #[test]
    fn what_was_read_is_known_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.raw");
        let bytes: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&file, &bytes).unwrap();
        let (_, view) = exporter::container::open_watched(&file).unwrap();
        let socket = folder.path().join("socket");
        let served = Served::start(view, &socket).unwrap();
        assert_eq!(served.size(), 3 << 20);
        assert!(read_all(&socket) == bytes);
        assert!(read_all(&socket) == bytes);
        assert_eq!(served.end(), 6 << 20);
        assert!(!socket.exists());
    }
}
