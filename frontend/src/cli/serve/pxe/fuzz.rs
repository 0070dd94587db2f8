//! What `make fuzz` sends to these servers.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

use dhcp_message::{Header, MessageType, Options, REPLY};
use exporter::spec::Architecture;

use super::boot::Boot;
use super::dhcp::{Port, Responder};
use super::network::Site;
use super::tftp::{self, Terms};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// A request to a proxy at both of its ports, and to a whole server.
pub(crate) fn dhcp(message: &[u8]) -> Result<(), String> {
    let from = SocketAddr::from(([10, 9, 0, 50], 68));
    let mut is_answered = false;
    for (range, port) in
        [(None, Port::Server), (None, Port::Boot), (Some("10.9.0.100-10.9.0.200"), Port::Server)]
    {
        let range = range.map(|range| range.parse().expect("it is one"));
        let responder = Responder::new(site(), boot(), range.as_ref());
        let Some(answer) = responder.answer(message, from, port, Instant::now()) else { continue };
        is_answered = true;
        let Some((bytes, to)) = answer.message else { continue };
        let (header, rest) = Header::read(&bytes).expect("it is an answer");
        let options = Options::read(rest).expect("its options are whole");
        assert!(header.op == REPLY && bytes.len() <= 1500 && options.message_type().is_some());
        assert!(range.is_some() || header.yiaddr == [0; 4], "a proxy gives no address");
        assert!(to.ip().is_broadcast() || *to.ip() == Ipv4Addr::new(10, 9, 0, 50), "nobody else hears of it");
        assert!(options.message_type() != Some(MessageType::Nak) || header.siaddr == [0; 4]);
    }
    is_answered.then_some(()).ok_or_else(|| "it is no request for this server".to_owned())
}

/// A request to a TFTP server.
pub(crate) fn tftp(message: &[u8]) -> Result<(), String> {
    match tftp::read(message) {
        Ok(request) => {
            let terms = Terms::agree(&request.options, 1 << 40);
            assert!((8..=1468).contains(&terms.block_size) && (1..=64).contains(&terms.window));
            assert!(terms.acknowledgement().is_none_or(|message| message.len() < 512));
            Ok(())
        }
        Err(refusal) => {
            let bytes = refusal.map(|refusal| refusal.to_bytes());
            assert!(bytes.is_none_or(|bytes| bytes.len() < 64), "it is no longer than what was asked");
            Err("it is no request for a file".to_owned())
        }
    }
}

fn site() -> Site {
    Site { address: OWN, netmask: [255, 255, 255, 0].into(), device: "br0".to_owned() }
}

fn boot() -> Boot {
    let files = ["grub.pxe", "shimx64.efi", "netboot.efi", "boot.ipxe"];
    Boot {
        http: SocketAddrV4::new(OWN, 8080),
        architecture: Some(Architecture::X86_64),
        files: files.into_iter().map(str::to_owned).collect(),
        may_start_uki: true,
        is_proxy: false,
    }
}
