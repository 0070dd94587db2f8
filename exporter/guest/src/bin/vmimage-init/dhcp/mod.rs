//! DHCP for IPv4, the client's side (RFC 2131, RFC 2132, RFC 3442).

mod client;
mod lease;
mod message;

pub(crate) use client::Client;
pub(crate) use lease::Lease;
