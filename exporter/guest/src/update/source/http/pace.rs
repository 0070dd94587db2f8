//! A least speed. Beside the limit for silence it ends servers from which a byte comes now and then.
//!
//! It lies below TLS, whose records come to light only once they are whole, and counts over all connections: a server
//! that breaks each before it is too slow is too slow all the same.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};

use super::limits::Limits;

/// Connections as `ureq` makes them, of which all have to keep the pace.
pub(super) fn connector(pace: &Arc<Mutex<Pace>>) -> impl Connector {
    let plain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
    plain.chain(PaceConnector(Arc::clone(pace))).chain(RustlsConnector::default())
}

#[derive(Debug)]
struct PaceConnector(Arc<Mutex<Pace>>);

impl<In: Transport> Connector<In> for PaceConnector {
    type Out = Paced<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Paced<In>>, Error> {
        Ok(chained.map(|transport| Paced { transport, pace: Arc::clone(&self.0) }))
    }
}

/// A connection that has to keep the pace.
#[derive(Debug)]
struct Paced<T> {
    transport: T,
    pace: Arc<Mutex<Pace>>,
}

impl<T> Paced<T> {
    fn count(&self, bytes: usize, waited: Duration) -> Result<(), Error> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.count(bytes, waited).map_err(|reason| Error::Io(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl<T: Transport> Transport for Paced<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let began = Instant::now();
        self.transport.transmit_output(amount, timeout)?;
        self.count(amount, began.elapsed())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.buffers().input().len();
        let began = Instant::now();
        let has_come = self.transport.await_input(timeout)?;
        let come = self.buffers().input().len().saturating_sub(before);
        self.count(come, began.elapsed())?;
        Ok(has_come)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// What has come and gone since the speed was looked at last.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    least: u64,
    bytes: u64,
    /// For the other side; what this one does meanwhile takes as long as it takes.
    waited: Duration,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { window: limits.window, least: limits.least, bytes: 0, waited: Duration::ZERO }
    }

    fn count(&mut self, bytes: usize, waited: Duration) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < self.window {
            return Ok(());
        }
        let (bytes, waited) = (self.bytes, self.waited.as_secs());
        (self.bytes, self.waited) = (0, Duration::ZERO);
        match bytes < self.least {
            true => Err(format!("it is too slow: {bytes} bytes in {waited} seconds")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many pieces of so many bytes, each waited for so long, a server is too slow.
    fn ends_after(bytes: usize, waited: Duration) -> Option<usize> {
        let mut pace = Pace::new(&Limits::USUAL);
        (1..=1000).find(|_| pace.count(bytes, waited).is_err())
    }

    #[test]
    fn a_server_that_drips_comes_to_an_end() {
        assert_eq!(ends_after(1, Duration::from_secs(1)), Some(60));
        assert_eq!(ends_after(1023, Duration::from_secs(1)), Some(60));
        // Just within the limit of one read.
        assert_eq!(ends_after(1, Duration::from_millis(59_900)), Some(2));
        assert_eq!(ends_after(0, Duration::from_secs(60)), Some(1));
    }

    #[test]
    fn who_keeps_the_pace_goes_on() {
        assert_eq!(ends_after(1024, Duration::from_secs(1)), None);
        // A pause, and then all of it at once.
        assert_eq!(ends_after(61_440, Duration::from_secs(59)), None);
        // No time is spent in waiting for what is here already.
        assert_eq!(ends_after(1, Duration::ZERO), None);
        // What was fast before does not excuse what comes after it.
        let mut pace = Pace::new(&Limits::USUAL);
        assert_eq!(pace.count(1 << 30, Duration::from_secs(60)), Ok(()));
        assert!(pace.count(1, Duration::from_secs(60)).unwrap_err().contains("1 bytes in 60 seconds"));
    }
}
