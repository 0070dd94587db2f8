//! Interfaces, addresses and routes: requests to the kernel over rtnetlink(7).
//!
//! ```text
//! nlmsghdr │ ifinfomsg, ifaddrmsg or rtmsg │ rtattr │ value │ rtattr │ value …     each on 4 bytes
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct nlmsghdr` (linux/netlink.h). Numbers are the machine's own.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    nlmsg_len: u32,
    nlmsg_type: u16,
    nlmsg_flags: u16,
    nlmsg_seq: u32,
    nlmsg_pid: u32,
}

const _: () = assert!(size_of::<Header>() == 16);

/// `struct ifinfomsg` (linux/rtnetlink.h).
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct InterfaceMessage {
    ifi_family: u8,
    pad: u8,
    ifi_type: u16,
    ifi_index: u32,
    ifi_flags: u32,
    ifi_change: u32,
}

/// `struct ifaddrmsg` (linux/if_addr.h).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct AddressMessage {
    ifa_family: u8,
    ifa_prefixlen: u8,
    ifa_flags: u8,
    ifa_scope: u8,
    ifa_index: u32,
}

/// `struct rtmsg` (linux/rtnetlink.h).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct RouteMessage {
    rtm_family: u8,
    rtm_dst_len: u8,
    rtm_src_len: u8,
    rtm_tos: u8,
    rtm_table: u8,
    rtm_protocol: u8,
    rtm_scope: u8,
    rtm_type: u8,
    rtm_flags: u32,
}

/// `struct rtattr` (linux/rtnetlink.h).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Attribute {
    rta_len: u16,
    rta_type: u16,
}

/// Number 0, of the protocols of netlink.
const NETLINK_ROUTE: Option<Protocol> = None;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTPROT_DHCP: u8 = 16;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
/// The gateway need not lie in the interface's own network: some clouds give addresses of one.
const RTNH_F_ONLINK: u32 = 4;

/// A network by its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: IpAddr,
    pub(crate) prefix: u8,
    /// `None`: on the link itself.
    pub(crate) gateway: Option<IpAddr>,
    /// Who says so.
    pub(crate) origin: Origin,
}

impl Route {
    /// To everywhere else, as the disk's builder was told.
    pub(crate) fn everywhere(gateway: IpAddr) -> Self {
        let network =
            if gateway.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self { network, prefix: 0, gateway: Some(gateway), origin: Origin::Static }
    }
}

/// Who says that there is a route (`rtm_protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Static,
    Dhcp,
}

/// An interface to configure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link(pub(crate) u32);

impl Link {
    pub(crate) fn up(self) -> io::Result<()> {
        let message = InterfaceMessage {
            ifi_index: self.0,
            ifi_flags: IFF_UP,
            ifi_change: IFF_UP,
            ..Default::default()
        };
        Message::new(RTM_NEWLINK, 0, &message).send()
    }

    pub(crate) fn down(self) -> io::Result<()> {
        let message = InterfaceMessage { ifi_index: self.0, ifi_change: IFF_UP, ..Default::default() };
        Message::new(RTM_NEWLINK, 0, &message).send()
    }

    pub(crate) fn set_mtu(self, mtu: u16) -> io::Result<()> {
        let message = InterfaceMessage { ifi_index: self.0, ..Default::default() };
        Message::new(RTM_NEWLINK, 0, &message).with(IFLA_MTU, u32::from(mtu).as_bytes()).send()
    }

    /// Give it an address, or make that live longer.
    pub(crate) fn add_address(
        self,
        address: impl Into<IpAddr>,
        prefix: u8,
        lifetime: Option<Duration>,
    ) -> io::Result<()> {
        let address = address.into();
        // The largest number is for ever.
        let seconds =
            lifetime.and_then(|lifetime| u32::try_from(lifetime.as_secs()).ok()).unwrap_or(u32::MAX);
        // `struct ifa_cacheinfo`: preferred and valid; the times of its making are the kernel's.
        let times = [seconds, seconds, 0, 0];
        Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &self.address(address, prefix))
            .with(IFA_LOCAL, &octets(address))
            .with(IFA_ADDRESS, &octets(address))
            .with(IFA_CACHEINFO, times.as_bytes())
            .send()
    }

    /// Take an address away, with the routes that go by it.
    pub(crate) fn remove_address(self, address: impl Into<IpAddr>, prefix: u8) -> io::Result<()> {
        let address = address.into();
        Message::new(RTM_DELADDR, 0, &self.address(address, prefix)).with(IFA_LOCAL, &octets(address)).send()
    }

    fn address(self, address: IpAddr, prefix: u8) -> AddressMessage {
        AddressMessage {
            ifa_family: family(address),
            ifa_prefixlen: prefix,
            ifa_flags: 0,
            ifa_scope: RT_SCOPE_UNIVERSE,
            ifa_index: self.0,
        }
    }

    pub(crate) fn add_route(self, route: Route) -> io::Result<()> {
        let message = RouteMessage {
            rtm_family: family(route.network),
            rtm_dst_len: route.prefix,
            rtm_src_len: 0,
            rtm_tos: 0,
            rtm_table: RT_TABLE_MAIN,
            rtm_protocol: match route.origin {
                Origin::Static => RTPROT_STATIC,
                Origin::Dhcp => RTPROT_DHCP,
            },
            rtm_scope: if route.gateway.is_some() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK },
            rtm_type: RTN_UNICAST,
            rtm_flags: if route.gateway.is_some() { RTNH_F_ONLINK } else { 0 },
        };
        let mut request = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &message)
            .with(RTA_OIF, self.0.as_bytes());
        if route.prefix > 0 {
            request = request.with(RTA_DST, &octets(route.network));
        }
        if let Some(gateway) = route.gateway {
            request = request.with(RTA_GATEWAY, &octets(gateway));
        }
        request.send()
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// One message, being written.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &(impl IntoBytes + Immutable)) -> Self {
        let header = Header {
            nlmsg_len: 0,
            nlmsg_type: kind,
            nlmsg_flags: NLM_F_REQUEST | NLM_F_ACK | flags,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        };
        Self([header.as_bytes(), body.as_bytes()].concat())
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let len = size_of::<Attribute>() + value.len();
        let attribute = Attribute { rta_len: len as u16, rta_type: kind };
        self.0.extend(attribute.as_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(len.as_bytes());
        self.0
    }

    /// Ask, and wait for the answer.
    fn send(self) -> io::Result<()> {
        let socket: OwnedFd =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, NETLINK_ROUTE)?;
        send(&socket, &self.bytes(), SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (len, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
        result(answer.get(..len).unwrap_or_default())
    }
}

/// What an acknowledgement (`struct nlmsgerr`) says.
pub(crate) fn result(answer: &[u8]) -> io::Result<()> {
    let code = Header::read_from_prefix(answer).ok().filter(|(header, _)| header.nlmsg_type == NLMSG_ERROR);
    match code.and_then(|(_, rest)| i32::read_from_prefix(rest).ok()) {
        Some((0, _)) => Ok(()),
        Some((code, _)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer makes no sense")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_lie_on_four_bytes() {
        let bytes = Message::new(RTM_NEWLINK, 0, &InterfaceMessage::default())
            .with(9, b"abcde")
            .with(4, b"x")
            .bytes();
        assert_eq!(bytes.len(), 16 + 16 + 12 + 8);
        assert_eq!(u32::read_from_prefix(&bytes).unwrap().0, 52);
        assert_eq!(bytes[32..36], *Attribute { rta_len: 9, rta_type: 9 }.as_bytes());
        assert_eq!(bytes[44..46], 5_u16.to_ne_bytes());
    }

    #[test]
    fn answers_are_errors_or_none() {
        let answer = |kind: u16, code: i32| {
            let header =
                Header { nlmsg_len: 20, nlmsg_type: kind, nlmsg_flags: 0, nlmsg_seq: 1, nlmsg_pid: 0 };
            result(&[header.as_bytes(), &code.to_ne_bytes()].concat())
        };
        assert!(answer(NLMSG_ERROR, 0).is_ok());
        assert_eq!(answer(NLMSG_ERROR, -19).unwrap_err().raw_os_error(), Some(19));
        assert!(answer(NLMSG_ERROR, i32::MIN).is_err());
        assert!(answer(RTM_NEWLINK, 0).is_err());
        assert!(result(&[]).is_err());
    }

    /// On the real kernel: a link that there is, and one that there is not.
    #[test]
    fn the_kernel_understands() {
        assert_eq!(Link(1).up().map_err(|error| error.raw_os_error()).unwrap_or(()), ());
        assert_eq!(Link(0x7fff_fff0).up().unwrap_err().raw_os_error(), Some(19));
    }
}
