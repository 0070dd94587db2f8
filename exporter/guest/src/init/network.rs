//! The network: every Ethernet interface asks for its address by DHCP, or has what was [asked] for; IPv6 is the kernel's,
//! by router advertisements.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::init::asked::{self, Asked};
use crate::init::console::{say, say_error};
use crate::init::dhcp::{Client, Lease};
use crate::init::mounts;
use crate::init::netlink::{Link, Route};
use crate::init::resolver::Resolvers;

/// `ARPHRD_ETHER` (linux/if_arp.h).
const ETHERNET: &str = "1";

/// How long addresses are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) address: Duration,
    /// Of a card without a carrier.
    pub(crate) carrier: Duration,
}

/// The interfaces being configured.
#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    asked: Asked,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Whether each has had an address.
    configured: BTreeMap<String, bool>,
    resolvers: Resolvers,
}

impl Network {
    /// With the loop-back interface and no other.
    pub(crate) fn start(asked: Asked, resolvers: Resolvers) -> Self {
        let state = State { configured: BTreeMap::new(), resolvers };
        say_error(up("lo").map(drop));
        Self(Arc::new(Shared { asked, state: Mutex::new(state), changed: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Configure an interface from now on, if it is one of hardware.
    pub(crate) fn configure(&self, interface: &str) {
        if !is_hardware(interface) || self.state().configured.contains_key(interface) {
            return;
        }
        let mac = attribute(interface, "address").unwrap_or_default();
        let Some(asked) = self.0.asked.of(interface, &mac, &driver(interface)) else { return };
        self.state().configured.insert(interface.to_owned(), false);
        let (network, interface) = (self.clone(), interface.to_owned());
        thread::spawn(move || {
            let result = network.keep_configured(&interface, &asked);
            say_error(result.map_err(|error| format!("{interface}: {error}")));
            // What comes again under this name is another one.
            network.state().configured.remove(&interface);
            network.0.changed.notify_all();
        });
    }

    /// Until the interface is gone, or for ever if it asks nobody.
    fn keep_configured(&self, interface: &str, asked: &asked::Interface) -> Result<(), String> {
        if !asked.listens() {
            mounts::set(&format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra"), "0");
        }
        let link = up(interface)?;
        apply_asked(interface, link, asked);
        if !asked.asks() {
            return Ok(());
        }
        let address = attribute(interface, "address")?;
        let client = Client::new(interface, &address)?;
        while is_hardware(interface) {
            let lease = client.acquire();
            self.apply(interface, link, &lease, asked.mtu);
            say(format_args!("{interface}: {}/{} from {}", lease.address, lease.prefix, lease.server));
            self.state().configured.insert(interface.to_owned(), true);
            self.0.changed.notify_all();
            let last = client.keep(lease, |renewed| self.apply(interface, link, renewed, asked.mtu));
            say(format_args!("{interface}: the lease of {} has ended", last.address));
            // The kernel has removed it already if its time was over.
            let _ = link.remove_address(last.address, last.prefix);
        }
        Ok(())
    }

    /// What was asked for goes before the lease.
    fn apply(&self, interface: &str, link: Link, lease: &Lease, asked_mtu: Option<u16>) {
        apply_lease(interface, link, lease, asked_mtu);
        say_error(self.state().resolvers.set(interface, lease.resolver.clone()));
    }

    /// Wait until every interface that is there has had its address. Without one there is nothing to wait for.
    pub(crate) fn wait(&self, patience: Patience) {
        self.wait_for(patience.carrier, |_| true);
        self.wait_for(patience.address.saturating_sub(patience.carrier), has_carrier);
        for (interface, _) in self.state().configured.iter().filter(|(_, configured)| !**configured) {
            say(format_args!("{interface}: no address yet, the service starts without"));
        }
    }

    /// Wait for the addresses of those that count.
    fn wait_for(&self, timeout: Duration, counts: impl Fn(&str) -> bool) {
        let waiting =
            |state: &mut State| state.configured.iter().any(|(name, configured)| !configured && counts(name));
        let _ = self.0.changed.wait_timeout_while(self.state(), timeout, waiting);
    }
}

/// Give an interface what a server has granted, but for the name servers.
pub(crate) fn apply_lease(interface: &str, link: Link, lease: &Lease, asked_mtu: Option<u16>) {
    let failed = |what: &str, error: &dyn Display| say_failed(interface, what, error);
    if let Some(mtu) = lease.mtu.filter(|_| asked_mtu.is_none()) {
        let _ = link.set_mtu(mtu).inspect_err(|error| failed("MTU", error));
    }
    let _ = link
        .add_address(lease.address, lease.prefix, Some(lease.duration))
        .inspect_err(|error| failed("address", error));
    for route in &lease.routes {
        let _ = link.add_route(*route).inspect_err(|error| failed("route", error));
    }
}

fn say_failed(interface: &str, what: &str, error: &dyn Display) {
    say(format_args!("{interface}: {what}: {error}"));
}

/// What it has by itself.
fn apply_asked(interface: &str, link: Link, asked: &asked::Interface) {
    let failed = |what: &str, error: &dyn Display| say_failed(interface, what, error);
    if let Some(mtu) = asked.mtu {
        let _ = link.set_mtu(mtu).inspect_err(|error| failed("MTU", error));
    }
    for (address, prefix) in asked.addresses() {
        match link.add_address(address, prefix, None) {
            Ok(()) => say(format_args!("{interface}: {address}/{prefix}")),
            Err(error) => failed("address", &error),
        }
    }
    for router in asked.gateways() {
        let _ = link.add_route(Route::everywhere(*router)).inspect_err(|error| failed("route", error));
    }
}

pub(crate) fn has_carrier(interface: &str) -> bool {
    attribute(interface, "carrier").is_ok_and(|carrier| carrier == "1")
}

/// Whether it is Ethernet and a device, no bridge or other thing of software.
pub(crate) fn is_hardware(interface: &str) -> bool {
    let has_device = Path::new("/sys/class/net").join(interface).join("device").exists();
    has_device && attribute(interface, "type").is_ok_and(|kind| kind == ETHERNET)
}

/// The name of its driver, as the kernel's modules are called.
fn driver(interface: &str) -> String {
    let link = fs::read_link(Path::new("/sys/class/net").join(interface).join("device/driver"));
    let name = link.ok().and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_default()
}

/// Turn it on.
pub(crate) fn up(interface: &str) -> Result<Link, String> {
    let index =
        attribute(interface, "ifindex")?.parse().map_err(|error| format!("{interface}: index: {error}"))?;
    Link(index).up().map_err(|error| format!("{interface}: cannot be turned on: {error}"))?;
    Ok(Link(index))
}

pub(crate) fn attribute(interface: &str, name: &str) -> Result<String, String> {
    let path = Path::new("/sys/class/net").join(interface).join(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// One interface that is none of this machine's: it has no carrier.
    fn network() -> Network {
        let configured = BTreeMap::from([("vmimage-none".to_owned(), false)]);
        let state = State { configured, resolvers: Resolvers::new("/dev/null") };
        let (asked, state) = (Asked::default(), Mutex::new(state));
        Network(Arc::new(Shared { asked, state, changed: Condvar::new() }))
    }

    #[test]
    fn a_card_without_a_carrier_is_waited_for_no_longer() {
        network().wait(Patience { address: LONG, carrier: Duration::ZERO });
    }

    #[test]
    fn no_card_is_not_waited_for() {
        let network = network();
        network.state().configured.clear();
        network.wait(Patience { address: LONG, carrier: LONG });
    }

    #[test]
    fn an_address_ends_the_wait() {
        let (network, has_address) = (network(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                has_address.store(true, Ordering::SeqCst);
                network.state().configured.insert("vmimage-none".to_owned(), true);
                network.0.changed.notify_all();
            });
            network.wait(Patience { address: LONG, carrier: LONG });
            assert!(has_address.load(Ordering::SeqCst));
        });
    }
}
