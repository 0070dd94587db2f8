//! A least speed of connections. Beside the limit for one read it ends those over which a byte comes now and then.
//!
//! It lies below TLS, whose records come to light only once they are whole. Steps that have a limit of their own, such
//! as the wait for the head of an answer, are left to it.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use exporter::limits;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};

/// Connections as `ureq` makes them, of which each has to keep its pace.
pub(super) fn connector() -> impl Connector {
    let plain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
    plain.chain(PaceConnector).chain(RustlsConnector::default())
}

#[derive(Debug)]
struct PaceConnector;

impl<In: Transport> Connector<In> for PaceConnector {
    type Out = Paced<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Paced<In>>, Error> {
        Ok(chained.map(|transport| Paced { transport, pace: Pace::default() }))
    }
}

/// A connection that has to keep its pace.
#[derive(Debug)]
struct Paced<T> {
    transport: T,
    pace: Pace,
}

impl<T: Transport> Paced<T> {
    /// Counts what `wait` brings about, unless it has a limit already.
    fn wait<R>(
        &mut self,
        timeout: NextTimeout,
        wait: impl FnOnce(&mut T) -> Result<R, Error>,
        len: impl FnOnce(&mut T) -> usize,
    ) -> Result<R, Error> {
        let began = Instant::now();
        let outcome = wait(&mut self.transport)?;
        match timeout.after.is_not_happening() {
            true => self.pace.count(len(&mut self.transport), began.elapsed())?,
            false => self.pace = Pace::default(),
        }
        Ok(outcome)
    }
}

impl<T: Transport> Transport for Paced<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.wait(timeout, |transport| transport.transmit_output(amount, timeout), |_| amount)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.buffers().input().len();
        let come = |transport: &mut T| transport.buffers().input().len().saturating_sub(before);
        self.wait(timeout, |transport| transport.await_input(timeout), come)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// What has come and gone since the speed was looked at last.
#[derive(Debug, Default)]
struct Pace {
    bytes: u64,
    /// For the other side; what this one does meanwhile takes as long as it takes.
    waited: Duration,
}

impl Pace {
    fn count(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < limits::SPEED_WINDOW {
            return Ok(());
        }
        let is_too_slow = self.bytes < limits::LEAST_SPEED.saturating_mul(self.waited.as_secs());
        *self = Self::default();
        if is_too_slow { Err(TooSlow) } else { Ok(()) }
    }
}

/// A connection has not kept its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = limits::SPEED_WINDOW.as_secs();
        write!(f, "fewer than {} bytes a second over {seconds} seconds", limits::LEAST_SPEED)
    }
}

impl std::error::Error for TooSlow {}

impl From<TooSlow> for Error {
    fn from(slow: TooSlow) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::TimedOut, slow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many pieces of so many bytes, each waited for so long, a connection is too slow.
    fn ends_after(bytes: usize, waited: Duration) -> Option<usize> {
        let mut pace = Pace::default();
        (1..=1000).find(|_| pace.count(bytes, waited).is_err())
    }

    #[test]
    fn a_server_that_drips_comes_to_an_end() {
        assert_eq!(ends_after(1, Duration::from_secs(1)), Some(30));
        assert_eq!(ends_after(999, Duration::from_secs(1)), Some(30));
        // Just within the limit of one read.
        assert_eq!(ends_after(1, Duration::from_millis(29_900)), Some(2));
        assert_eq!(ends_after(0, Duration::from_secs(30)), Some(1));
    }

    #[test]
    fn who_keeps_the_pace_goes_on() {
        assert_eq!(ends_after(1000, Duration::from_secs(1)), None);
        // A pause, and then all of it at once.
        assert_eq!(ends_after(30_000, Duration::from_secs(29)), None);
        // No time is spent in waiting for what is here already.
        assert_eq!(ends_after(1, Duration::ZERO), None);
        // What was fast before does not excuse what comes after it.
        let mut pace = Pace::default();
        assert_eq!(pace.count(1 << 30, Duration::from_secs(30)), Ok(()));
        assert_eq!(pace.count(1, Duration::from_secs(30)), Err(TooSlow));
    }
}
