//! The root of an image's machine as QEMU reads it: out of the image's layers, as a network block device, without a copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use exporter::engine::View;
use exporter::nbd::{Address, Event, Listener, Server};
use exporter::read_at::Shared;

use crate::base::terminal::tell_line;
use crate::base::{Error, Result};

/// A root that is served until this is dropped.
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    /// Serves it at a socket, to this user alone.
    ///
    /// # Errors
    /// If there can be no such socket.
    pub(super) fn start(view: View, socket: &Path) -> Result<Self> {
        let listener = Listener::bind(&Address::Unix(socket.to_owned()))?;
        let (view, stop): (Shared, _) = (Arc::new(view), Arc::<AtomicBool>::default());
        let is_over = stop.clone();
        let serve = move || {
            let tell = |_: &str, event: Event<'_>| {
                if let Event::Failed(error) = event {
                    tell_line(format_args!("error: the root cannot be read: {error}"));
                }
            };
            let server = Server { view, description: "root".to_owned(), tell: &tell };
            if let Err(error) = server.serve(&listener, &is_over) {
                tell_line(format_args!("error: {error}"));
            }
        };
        let started = thread::Builder::new().spawn(serve);
        started.map_err(|error| Error::internal("a thread: cannot be started").because(error))?;
        Ok(Self(stop))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Nobody waits for its thread: QEMU is gone, and the socket goes with its folder.
        self.0.store(true, Ordering::SeqCst);
    }
}
