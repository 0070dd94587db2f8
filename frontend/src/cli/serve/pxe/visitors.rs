//! How many clients are served at a time: so that nobody takes all there is.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Transfers, or connections, at a time, in all and of one address. Both together stay below the 1024 files that a program
/// may usually have open.
const MOST: usize = 400;
const MOST_OF_ONE: usize = 64;

/// Who is being served.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitors(Arc<Mutex<HashSet<SocketAddr>>>);

/// One that is being served, for as long as this is there.
#[derive(Debug)]
pub(super) struct Visit {
    visitors: Visitors,
    who: SocketAddr,
}

impl Visitors {
    /// Lets one in, unless it is in already or there are too many.
    pub(super) fn admit(&self, who: SocketAddr) -> Option<Visit> {
        let mut known = self.known();
        let of_one = known.iter().filter(|other| other.ip() == who.ip()).count();
        let admitted = known.len() < MOST && of_one < MOST_OF_ONE && known.insert(who);
        admitted.then(|| Visit { visitors: self.clone(), who })
    }

    fn known(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visitors.known().remove(&self.who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_there_is() {
        let visitors = Visitors::default();
        let one = |host: u8, port| visitors.admit(SocketAddr::from(([10, 0, 0, host], port)));
        let mut visits: Vec<_> = (0..100).filter_map(|port| one(1, port)).collect();
        assert_eq!(visits.len(), MOST_OF_ONE);
        assert!(one(2, 0).is_some() && one(1, 0).is_none(), "it is in already");
        visits.pop();
        assert!(one(1, 99).is_some(), "there is room again");
        let more: Vec<_> = (2..=255).flat_map(|host| (0..4).map(move |port| (host, port))).collect();
        visits.extend(more.into_iter().filter_map(|(host, port)| one(host, port)));
        assert_eq!(visits.len(), MOST);
    }
}
