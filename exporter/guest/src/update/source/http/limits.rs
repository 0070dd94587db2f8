//! How long a server may take, and how often it is asked again.

use std::time::Duration;

/// How far answers may send on.
pub(super) const REDIRECTS: usize = 10;
/// The head of an answer, in bytes.
pub(super) const HEAD: usize = 16 << 10;
/// What is shown of a text of somebody else, in characters.
pub(super) const SHOWN: usize = 200;

/// Tests are less patient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until there is a connection, TLS and all.
    pub(crate) connect: Duration,
    /// Silence.
    pub(crate) stall: Duration,
    /// Over how much waiting the speed is taken, …
    pub(crate) window: Duration,
    /// … and how many bytes have to come meanwhile.
    pub(crate) least: u64,
    /// Before each further try. Once it is told, who brings `least` bytes starts again with the first.
    pub(crate) pauses: &'static [Duration],
}

impl Limits {
    /// Those of the program: a dead server is given up within ten minutes.
    pub(crate) const USUAL: Self = Self {
        connect: Duration::from_secs(30),
        stall: Duration::from_secs(60),
        window: Duration::from_secs(60),
        least: 60 << 10,
        pauses: &[
            Duration::from_millis(200),
            Duration::from_secs(1),
            Duration::from_secs(2),
            Duration::from_secs(5),
            Duration::from_secs(10),
            Duration::from_secs(20),
            Duration::from_secs(30),
        ],
    };
}
