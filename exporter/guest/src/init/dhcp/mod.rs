//! DHCP for IPv4, the client's side (RFC 2131, RFC 2132, RFC 3442).

mod client;
mod lease;
mod message;

pub(crate) use client::Client;
pub(crate) use lease::Lease;

/// What an answer to the query with `xid` from `mac` grants, for `make fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn lease(bytes: &[u8], xid: u32, mac: [u8; 6]) -> Option<Lease> {
    Lease::read(&message::Answer::parse(bytes, xid, mac)?)
}
