//! Who has which address of a lab.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::range::Range;
use super::request::Mac;

/// How long an address is a machine's.
pub(super) const LEASE: Duration = Duration::from_secs(3600);
/// How long one that was offered waits for it.
const OFFER: Duration = Duration::from_secs(60);

/// The addresses of a range, each with who has it; no more entries than the range has addresses.
#[derive(Debug)]
pub(super) struct Leases {
    range: Range,
    held: HashMap<Mac, Held>,
    /// Somebody else has been seen with them.
    taken: HashMap<Ipv4Addr, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    address: Ipv4Addr,
    until: Instant,
}

impl Leases {
    pub(super) fn new(range: Range) -> Self {
        Self { range, held: HashMap::new(), taken: HashMap::new() }
    }

    /// Whether an address is one of these.
    pub(super) fn covers(&self, address: Ipv4Addr) -> bool {
        self.range.contains(address)
    }

    /// An address for a machine: the one it has, the one it asks for, or one that is free.
    pub(super) fn offer(&mut self, mac: Mac, wanted: Option<Ipv4Addr>, now: Instant) -> Option<Ipv4Addr> {
        self.forget(now);
        let until = now + OFFER;
        if let Some(held) = self.held.get_mut(&mac) {
            held.until = held.until.max(until);
            return Some(held.address);
        }
        let used: HashSet<_> =
            self.held.values().map(|held| held.address).chain(self.taken.keys().copied()).collect();
        let wanted = wanted.filter(|address| self.range.contains(*address));
        let address =
            wanted.into_iter().chain(self.range.addresses()).find(|address| !used.contains(address))?;
        self.held.insert(mac, Held { address, until });
        Some(address)
    }

    /// Gives a machine the address that it asks for, if nobody else has it.
    pub(super) fn take(&mut self, mac: Mac, address: Ipv4Addr, now: Instant) -> bool {
        if self.offer(mac, Some(address), now) != Some(address) {
            return false;
        }
        self.held.insert(mac, Held { address, until: now + LEASE });
        true
    }

    /// The machine does not need its address any more, or has taken another server's.
    pub(super) fn release(&mut self, mac: Mac) {
        self.held.remove(&mac);
    }

    /// The machine has seen somebody else with its address.
    pub(super) fn decline(&mut self, mac: Mac, now: Instant) {
        if let Some(held) = self.held.remove(&mac) {
            self.taken.insert(held.address, now + LEASE);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.held.retain(|_, held| held.until > now);
        self.taken.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases() -> Leases {
        Leases::new("10.9.0.100-10.9.0.101".parse().unwrap())
    }

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, last)
    }

    const A: Mac = Mac([0, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([0, 0, 0, 0, 0, 2]);
    const C: Mac = Mac([0, 0, 0, 0, 0, 3]);

    #[test]
    fn no_address_is_given_twice() {
        let (mut leases, now) = (leases(), Instant::now());
        assert_eq!(leases.offer(A, None, now), Some(address(100)));
        assert_eq!(leases.offer(B, Some(address(100)), now), Some(address(101)));
        assert_eq!(leases.offer(C, None, now), None, "there is none left");
        assert!(leases.take(A, address(100), now) && !leases.take(C, address(100), now));
        assert!(!leases.take(B, address(77), now), "that is not of the range");
        let later = now + OFFER + Duration::from_secs(1);
        assert_eq!(leases.offer(C, None, later), Some(address(101)), "nobody took that");
        assert!(leases.take(A, address(100), later + LEASE), "it may come late if it is still free");
    }

    #[test]
    fn an_address_comes_back_when_it_is_released_and_not_when_somebody_else_has_it() {
        let (mut leases, now) = (leases(), Instant::now());
        assert!(leases.take(A, address(100), now));
        leases.release(A);
        assert_eq!(leases.offer(B, None, now), Some(address(100)));
        leases.decline(B, now);
        assert_eq!(leases.offer(A, Some(address(100)), now), Some(address(101)));
        assert_eq!(leases.offer(B, None, now), None);
        assert!(leases.offer(B, None, now + LEASE + OFFER).is_some());
        leases.decline(C, now);
    }
}
