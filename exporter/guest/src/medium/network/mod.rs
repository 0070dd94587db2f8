//! The network of a medium: the first card with a link that gets an address.
//!
//! ```text
//! modules ▶ cards that are asked for, turned on ▶ a link ▶ DHCP on each, or the address of the command line ▶ the first that has one
//! ```
//!
//! One card alone: of two that have routes to everywhere the second would take them from the first.

mod words;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::system::sethostname;

use super::Host;
use super::console::Consoles;
use crate::init::dhcp::{Client, Lease};
use crate::init::netlink::{Link, Route};
use crate::init::network::{apply_lease, attribute, has_carrier, is_hardware, up};
use crate::init::resolver::Resolvers;
use crate::init::words::Words;
use words::{Asked, How};

/// How long all of it may take: a switch may look for loops for half a minute before it lets a card talk.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
const CARDS: &str = "/sys/class/net";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Protocols that no device asks for: DHCP's, and IPv6.
const PROTOCOLS: [&str; 2] = ["af_packet", "ipv6"];

/// A card that has its address.
#[derive(Clone, Debug)]
pub(super) struct Online {
    pub(super) card: String,
    /// The address of its hardware.
    pub(super) mac: String,
    link: Link,
    /// With the length of its prefix.
    address: (IpAddr, u8),
    /// `None`: the address is the command line's.
    lease: Option<Lease>,
}

/// How far each card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NoLink,
    Asking,
}

/// Bring up the network.
///
/// # Errors
/// If no card gets an address, with what is missing.
pub(super) fn start(words: &Words, host: &mut Host) -> Result<Online, String> {
    let asked = Asked::parse(words)?;
    PROTOCOLS.iter().for_each(|name| host.modules.load(name));
    let _ = up("lo");
    // The kernel's "(none)" is nothing to be called by.
    let _ = sethostname(b"");
    let (sender, leases) = channel();
    let (start, mut stages) = (Instant::now(), BTreeMap::new());
    while start.elapsed() < PATIENCE {
        let found = look(&asked, &mut stages, &sender).or_else(|| leases.try_recv().ok());
        if let Some(online) = found {
            online.settle(&asked, &host.consoles)?;
            return Ok(online);
        }
        if let Some(alias) = host.devices.next(LOOK).and_then(|device| device.modalias) {
            host.modules.load(&alias);
        }
    }
    Err(missing(&asked, &stages))
}

/// Go on with every card. Returns one that needs to ask nobody.
fn look(asked: &Asked, stages: &mut BTreeMap<String, Stage>, sender: &Sender<Online>) -> Option<Online> {
    for card in cards() {
        let mac = attribute(&card, "address").unwrap_or_default();
        let Some(how) = asked.of(&card, &mac) else { continue };
        if !stages.contains_key(&card) && up(&card).is_err() {
            continue;
        }
        let stage = stages.entry(card.clone()).or_insert(Stage::NoLink);
        if *stage == Stage::Asking || !has_carrier(&card) {
            continue;
        }
        *stage = Stage::Asking;
        let Ok(link) = up(&card) else { continue };
        match how {
            How::Dhcp => ask(card, mac, link, sender.clone()),
            How::Fixed { address, prefix, gateway } => {
                let given = link.add_address(address, prefix, None).and_then(|()| match gateway {
                    Some(gateway) => link.add_route(Route::everywhere(gateway)),
                    None => Ok(()),
                });
                if given.is_ok() {
                    return Some(Online { card, mac, link, address: (address, prefix), lease: None });
                }
            }
        }
    }
    None
}

/// Ask by DHCP, for as long as it takes.
fn ask(card: String, mac: String, link: Link, sender: Sender<Online>) {
    thread::spawn(move || {
        let lease = Client::new(&card, &mac).map(|client| client.acquire());
        if let Ok(lease) = lease {
            let address = (lease.address.into(), lease.prefix);
            let _ = sender.send(Online { card, mac, link, address, lease: Some(lease) });
        }
    });
}

impl Online {
    /// Make use of what it has got, and keep it.
    fn settle(&self, asked: &Asked, consoles: &Consoles) -> Result<(), String> {
        let _ = fs::create_dir_all("/etc");
        if !asked.servers.is_empty() || self.lease.is_none() {
            Resolvers::fixed(RESOLV_CONF, &asked.servers)?;
        }
        let Some(lease) = &self.lease else {
            consoles.say(format_args!("network: {}, by the address of the command line", self.card));
            return Ok(());
        };
        consoles.say(format_args!(
            "network: {}, {}/{} from {}",
            self.card, lease.address, lease.prefix, lease.server
        ));
        apply_lease(&self.card, self.link, lease, None);
        if asked.servers.is_empty() {
            Resolvers::new(RESOLV_CONF).set(&self.card, lease.resolver.clone())?;
        }
        let this = self.clone();
        thread::spawn(move || this.keep());
        Ok(())
    }

    /// Renew the lease, for as long as this process lives.
    fn keep(self) -> Result<(), String> {
        let keeper = Keeper::of(&self.card)?;
        if let Some(lease) = self.lease {
            let client = Client::new(&self.card, &keeper.mac)?;
            let last = client.keep(lease, |renewed| apply_lease(&self.card, self.link, renewed, None));
            let _ = self.link.remove_address(last.address, last.prefix);
        }
        keeper.keep()
    }

    /// Whether its address is one for a time.
    pub(super) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Leave the card as if nobody had used it: what configures the network of the live system takes no card that somebody else has
    /// configured.
    pub(super) fn forget(&self) {
        let (address, prefix) = self.address;
        let _ = self.link.remove_address(address, prefix);
        let _ = self.link.down();
    }
}

/// Keeps the lease of a card in a process that outlives the one that has got it.
pub(super) struct Keeper {
    card: String,
    mac: String,
    link: Link,
}

impl Keeper {
    /// Of a card that is there.
    pub(super) fn of(card: &str) -> Result<Self, String> {
        Ok(Self { card: card.to_owned(), mac: attribute(card, "address")?, link: up(card)? })
    }

    /// For as long as this process lives.
    pub(super) fn keep(&self) -> Result<(), String> {
        let client = Client::new(&self.card, &self.mac)?;
        loop {
            let lease = client.acquire();
            apply_lease(&self.card, self.link, &lease, None);
            client.keep(lease, |renewed| apply_lease(&self.card, self.link, renewed, None));
        }
    }
}

/// The cards of the machine, by name.
fn cards() -> Vec<String> {
    let entries = fs::read_dir(CARDS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| is_hardware(name)).collect();
    names.sort();
    names
}

fn missing(asked: &Asked, stages: &BTreeMap<String, Stage>) -> String {
    let said = |(card, stage): (&String, &Stage)| match stage {
        Stage::NoLink => format!("{card} has no link: is its cable plugged in?"),
        Stage::Asking => format!("{card} has a link, and no DHCP server answers"),
    };
    match stages.is_empty() {
        true => {
            let there = cards();
            let there = if there.is_empty() {
                "there is no card".to_owned()
            } else {
                format!("there is {}", there.join(", "))
            };
            format!(
                "no network: {} is wanted, and {there}\nhint: has the initramfs a driver for it?",
                asked.show()
            )
        }
        false => format!("no network: {}", stages.iter().map(said).collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_of_each_card() {
        let asked = Asked::parse(&Words::parse("BOOTIF=01-52-54-00-12-34-56")).unwrap();
        let stages = BTreeMap::from([("eth0".to_owned(), Stage::NoLink), ("eth1".to_owned(), Stage::Asking)]);
        let error = missing(&asked, &stages);
        assert_eq!(
            error,
            "no network: eth0 has no link: is its cable plugged in?; eth1 has a link, and no DHCP server answers"
        );
        let error = missing(&asked, &BTreeMap::new());
        assert!(
            error.starts_with("no network: a card with the address 52:54:00:12:34:56 (BOOTIF=) is wanted"),
            "{error}"
        );
    }
}
