//! What a machine's card is on: `--network`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use super::Args;
use super::publish::{self, Publish};
use crate::base::{Error, Result};

/// Interfaces of this host by name.
const INTERFACES: &str = "/sys/class/net";
/// The longest name of one (`IFNAMSIZ` less its end).
const LONGEST_NAME: usize = 15;
/// What begins the addresses of QEMU's cards.
const QEMUS: &str = "52:54:00";

/// What the card is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// QEMU's own, behind NAT.
    User,
    /// There is no card.
    None,
    /// A bridge of this host.
    Bridge(String),
    /// An interface that somebody has made for it.
    Tap(String),
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.split_once('=')) {
            ("user", _) => Ok(Self::User),
            ("none", _) => Ok(Self::None),
            (_, Some(("bridge", name))) => interface(name).map(Self::Bridge),
            (_, Some(("tap", name))) => interface(name).map(Self::Tap),
            _ => Err("should be user, none, bridge=NAME or tap=NAME".to_owned()),
        }
    }
}

fn interface(name: &str) -> Result<String, String> {
    let is_of_name = |byte: u8| byte.is_ascii_graphic() && !b",/:".contains(&byte);
    let is_name = matches!(name.len(), 1..=LONGEST_NAME) && name.bytes().all(is_of_name);
    match is_name && name != "." && name != ".." {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} is no name of an interface")),
    }
}

impl Network {
    /// The one that is asked for.
    ///
    /// # Errors
    /// If it is not there, if ports are asked for that it cannot forward, or one is taken.
    pub(super) fn of(args: &Args) -> Result<Self> {
        let network = match (args.no_network, &args.network) {
            (true, _) => Self::None,
            (false, asked) => asked.clone().unwrap_or(Self::User),
        };
        if network != Self::User && !args.publish.is_empty() {
            return Err(Error::user("--publish: only a card behind NAT has ports forwarded")
                .with_hint("leave out --network, or reach the machine by its own address"));
        }
        if let Self::Bridge(name) | Self::Tap(name) = &network
            && !Path::new(INTERFACES).join(name).exists()
        {
            return Err(Error::user(format!("--network: there is no interface {name}")));
        }
        if !args.dry_run {
            publish::check_free(&args.publish)?;
        }
        Ok(network)
    }

    /// Adds the card, `device` with its properties; false where there is none.
    pub(super) fn add_card(&self, command: &mut Command, publish: &[Publish], device: &str) -> bool {
        let back_end = match self {
            Self::None => return false,
            Self::User => {
                let forwards: String =
                    publish.iter().map(|port| format!(",hostfwd={}", port.hostfwd())).collect();
                format!("user,id=net{forwards}")
            }
            Self::Bridge(name) => format!("bridge,id=net,br={name}"),
            Self::Tap(name) => format!("tap,id=net,ifname={name},script=no,downscript=no"),
        };
        // Machines on one link have addresses of their own.
        let address = match self {
            Self::Bridge(_) | Self::Tap(_) => format!(",mac={QEMUS}:{}", random()),
            Self::User | Self::None => String::new(),
        };
        let (name, properties) = device.split_once(',').unwrap_or((device, ""));
        let properties = if properties.is_empty() { String::new() } else { format!(",{properties}") };
        command.args(["-netdev", &back_end]);
        command.args(["-device", &format!("{name},netdev=net{address}{properties}")]);
        true
    }
}

/// The rest of an address.
fn random() -> String {
    let mut bytes = [0; 3];
    // Without a source of random numbers it is that of another machine at worst.
    let _ = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::shell;

    #[test]
    fn networks_are_what_was_typed() {
        let parse = |text: &str| text.parse::<Network>();
        assert_eq!(parse("user"), Ok(Network::User));
        assert_eq!(parse("none"), Ok(Network::None));
        assert_eq!(parse("bridge=br0"), Ok(Network::Bridge("br0".into())));
        assert_eq!(parse("tap=vm-1"), Ok(Network::Tap("vm-1".into())));
        for text in [
            "",
            "host",
            "bridge",
            "bridge=",
            "bridge=a,script=/x",
            "tap=../x",
            "tap=..",
            "tap=a b",
            "tap=1234567890123456",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_has_its_back_end() {
        let shown = |network: &Network| {
            let mut command = Command::new("qemu");
            let has_card =
                network.add_card(&mut command, &["8080:80".parse().unwrap()], "virtio-net-pci,romfile=");
            (has_card, shell::show(&command))
        };
        let user = "qemu -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80 -device virtio-net-pci,netdev=net,romfile=";
        assert_eq!(shown(&Network::User), (true, user.to_owned()));
        assert_eq!(shown(&Network::None), (false, "qemu".to_owned()));
        let (_, bridge) = shown(&Network::Bridge("br0".into()));
        assert!(
            bridge.contains("bridge,id=net,br=br0 ") && bridge.contains("netdev=net,mac=52:54:00:"),
            "{bridge}"
        );
        let (_, tap) = shown(&Network::Tap("vm".into()));
        assert!(tap.contains("tap,id=net,ifname=vm,script=no,downscript=no "), "{tap}");
    }
}
