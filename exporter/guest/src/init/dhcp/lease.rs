//! What a server grants: an address for a time, and what goes with it.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::message::{Answer, option};
use crate::init::netlink::{Origin, Route};
use crate::init::resolver::Resolver;

/// Shorter ones would have the client ask without end.
const SHORTEST: Duration = Duration::from_secs(60);
/// Nor may it ask again sooner.
const SOONEST: Duration = Duration::from_secs(30);

/// An address and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    /// Length of the prefix that is the network.
    pub(crate) prefix: u8,
    /// The server that gave it.
    pub(crate) server: Ipv4Addr,
    /// In the order they have to be made.
    pub(crate) routes: Vec<Route>,
    pub(crate) resolver: Resolver,
    pub(crate) mtu: Option<u16>,
    /// From when it was asked for.
    pub(crate) duration: Duration,
    /// When to ask this server again (T1).
    pub(crate) renewal: Duration,
    /// When to ask every server (T2).
    pub(crate) rebinding: Duration,
}

impl Lease {
    /// What an answer offers or grants; `None` without an address or a server.
    pub(super) fn read(answer: &Answer) -> Option<Self> {
        let server = *answer.addresses(option::SERVER_ID).first()?;
        if answer.address.is_unspecified() || answer.address.is_broadcast() || answer.address.is_multicast() {
            return None;
        }
        let mask = answer.addresses(option::SUBNET_MASK).first().copied().unwrap_or(Ipv4Addr::BROADCAST);
        let seconds = |code| answer.seconds(code).map(|seconds| Duration::from_secs(seconds.into()));
        let duration = seconds(option::LEASE_TIME).unwrap_or(Duration::from_secs(3600)).max(SHORTEST);
        let rebinding = seconds(option::REBINDING_TIME).filter(|time| (SOONEST..duration).contains(time));
        let rebinding = rebinding.unwrap_or(duration * 7 / 8);
        let renewal = seconds(option::RENEWAL_TIME).filter(|time| (SOONEST..rebinding).contains(time));
        Some(Self {
            address: answer.address,
            prefix: mask.to_bits().leading_ones() as u8,
            server,
            routes: routes(answer),
            resolver: Resolver { servers: answer.addresses(option::NAME_SERVERS), domain: domain(answer) },
            mtu: mtu(answer),
            duration,
            renewal: renewal.unwrap_or(duration / 2).min(rebinding),
            rebinding,
        })
    }
}

/// Classless routes, or else the default route by the first router.
fn routes(answer: &Answer) -> Vec<Route> {
    if let Some(routes) = answer.option(option::CLASSLESS_ROUTES).and_then(classless) {
        return routes;
    }
    let router = answer.addresses(option::ROUTER).first().copied();
    let default = |gateway: Ipv4Addr| Route { origin: Origin::Dhcp, ..Route::everywhere(gateway.into()) };
    router.map(default).into_iter().collect()
}

/// RFC 3442: the length of a prefix, as many bytes of it as count, the router; 0.0.0.0 is the link.
fn classless(mut bytes: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = bytes.split_first() {
        let len = usize::from(prefix).div_ceil(8);
        let (significant, rest) = rest.split_at_checked(len).filter(|_| prefix <= 32)?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut network = [0; 4];
        network.iter_mut().zip(significant).for_each(|(to, from)| *to = *from);
        let gateway = Ipv4Addr::from(*gateway);
        let gateway = (!gateway.is_unspecified()).then_some(gateway.into());
        routes.push(Route { network: network.into(), prefix, gateway, origin: Origin::Dhcp });
        bytes = rest;
    }
    // Those on the link first: others go by routers there.
    routes.sort_by_key(|route| route.gateway.is_some());
    Some(routes)
}

/// Only what can be a domain gets into a file that others read.
fn domain(answer: &Answer) -> Option<String> {
    let text = std::str::from_utf8(answer.option(option::DOMAIN_NAME)?).ok()?.trim_end_matches('\0');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
}

/// The least that IPv4 works with is 68 (RFC 791).
fn mtu(answer: &Answer) -> Option<u16> {
    let bytes = answer.option(option::INTERFACE_MTU)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes)).filter(|mtu| *mtu >= 68)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{MAC, answer};
    use super::*;

    fn lease(options: &[(u8, &[u8])]) -> Option<Lease> {
        Lease::read(&Answer::parse(&answer(5, options), 7, MAC).unwrap())
    }

    fn default_route() -> Route {
        Route { origin: Origin::Dhcp, ..Route::everywhere(Ipv4Addr::new(10, 0, 2, 2).into()) }
    }

    const SERVER: (u8, &[u8]) = (54, &[10, 0, 2, 2]);

    #[test]
    fn a_usual_answer() {
        let lease = lease(&[
            SERVER,
            (1, &[255, 255, 255, 0]),
            (3, &[10, 0, 2, 2, 10, 0, 2, 9]),
            (6, &[10, 0, 2, 3]),
            (15, b"example.org"),
            (26, &[5, 0x78]),
            (51, &[0, 1, 0x51, 0x80]),
        ])
        .unwrap();
        assert_eq!((lease.address, lease.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(lease.routes, [default_route()]);
        assert_eq!(lease.resolver.servers, [Ipv4Addr::new(10, 0, 2, 3)]);
        assert_eq!((lease.resolver.domain.as_deref(), lease.mtu), (Some("example.org"), Some(1400)));
        let times = [lease.duration, lease.renewal, lease.rebinding].map(|time| time.as_secs());
        assert_eq!(times, [86400, 43200, 75600]);
    }

    #[test]
    fn classless_routes_take_the_place_of_the_router() {
        let routes = [0, 10, 0, 2, 2, 25, 192, 0, 2, 128, 0, 0, 0, 0];
        let lease = lease(&[SERVER, (3, &[10, 0, 2, 9]), (121, &routes)]).unwrap();
        let network = Ipv4Addr::new(192, 0, 2, 128).into();
        let on_link = Route { network, prefix: 25, gateway: None, origin: Origin::Dhcp };
        assert_eq!(lease.routes, [on_link, default_route()]);
        assert_eq!(lease.prefix, 32);
    }

    #[test]
    fn nonsense_is_left_out() {
        let router = (3, &[10, 0, 2, 9][..]);
        for routes in [&[33, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[24, 1, 2], &[8, 10, 1, 1, 1]] {
            assert_eq!(lease(&[SERVER, router, (121, routes)]).unwrap().routes.len(), 1);
        }
        let odd = lease(&[SERVER, (15, b"a\nnameserver 1.1.1.1"), (26, &[0, 1]), (51, &[0; 4])]).unwrap();
        assert_eq!((odd.resolver.domain, odd.mtu, odd.duration), (None, None, SHORTEST));
        assert!(odd.renewal <= odd.rebinding && odd.rebinding < odd.duration);
        assert!(lease(&[]).is_none());
    }

    /// A client that renews at once would do it for ever.
    #[test]
    fn no_server_makes_the_client_ask_without_end() {
        for times in [[0, 0], [0, 40], [29, 29], [1, 0], [50, 20], [70, 30]] {
            let [renewal, rebinding] = times.map(u32::to_be_bytes);
            for duration in [0, 60, 3600, u32::MAX].map(u32::to_be_bytes) {
                let lease = lease(&[SERVER, (51, &duration), (58, &renewal), (59, &rebinding)]).unwrap();
                assert!(SOONEST <= lease.renewal && lease.renewal <= lease.rebinding, "{times:?} {lease:?}");
            }
        }
    }
}
