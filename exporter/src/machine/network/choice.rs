//! Who configures the network that was asked for.

use super::automatic::configured_by;
use super::ifupdown::INTERFACES;
use super::{NETPLAN, NETWORK_MANAGER, NETWORKD_SERVICE, systemd};
use crate::error::{Error, Kind, Result};
use crate::hint::{Hint, Setting};
use crate::spec::network::Manager;
use crate::tree::Tree;
use crate::tree::os::{Family, Init, Os};

/// The one that was asked for, else the one that does so in the image, else the first that is there.
///
/// # Errors
/// If it is not in the image: what to install.
pub(super) fn choose(tree: &Tree, os: &Os, asked: Manager) -> Result<Manager> {
    let is_there = |manager: &Manager| is_there(tree, os, *manager);
    if asked != Manager::Auto {
        return Some(asked).filter(is_there).ok_or_else(|| missing(os, asked));
    }
    let owner = owner(tree)?.filter(is_there);
    owner.or_else(|| order(os).into_iter().find(is_there)).ok_or_else(|| nobody(os))
}

/// The one that does so in the image.
pub(super) fn owner(tree: &Tree) -> Result<Option<Manager>> {
    Ok(configured_by(tree)?.and_then(|owner| match owner {
        "NetworkManager" => Some(Manager::NetworkManager),
        NETPLAN => Some(Manager::Netplan),
        INTERFACES => Some(Manager::Ifupdown),
        _ => None,
    }))
}

/// As for DHCP: NetworkManager goes first where it is the distribution's own.
fn order(os: &Os) -> [Manager; 4] {
    use Manager::{Ifupdown, Netplan, NetworkManager, Networkd};
    match os.family {
        Family::RedHat | Family::Suse => [NetworkManager, Networkd, Ifupdown, Netplan],
        _ => [Networkd, Ifupdown, NetworkManager, Netplan],
    }
}

fn is_there(tree: &Tree, os: &Os, manager: Manager) -> bool {
    let any = |paths: &[&str]| paths.iter().any(|path| tree.resolve(path).is_some());
    let is_unit = |unit| os.init == Some(Init::Systemd) && systemd::unit_file(tree, unit).is_some();
    match manager {
        Manager::Networkd => is_unit(NETWORKD_SERVICE),
        Manager::NetworkManager => {
            is_unit(NETWORK_MANAGER) || os.init == Some(Init::OpenRc) && any(&["/etc/init.d/networkmanager"])
        }
        Manager::Netplan => is_unit(NETWORKD_SERVICE) && any(&["/usr/sbin/netplan", "/sbin/netplan"]),
        Manager::Ifupdown => any(&["/sbin/ifup", "/usr/sbin/ifup"]),
        Manager::Auto | Manager::None => false,
    }
}

/// The package that has it.
fn package(os: &Os, manager: Manager) -> &'static str {
    match (manager, os.family) {
        (Manager::NetworkManager, Family::Debian) => "network-manager",
        (Manager::NetworkManager, Family::Alpine | Family::Arch) => "networkmanager",
        (Manager::NetworkManager, _) => "NetworkManager",
        (Manager::Netplan, Family::Debian) => "netplan.io",
        (Manager::Netplan, _) => "netplan",
        (Manager::Ifupdown, Family::Alpine) => "ifupdown-ng",
        (Manager::Ifupdown, _) => "ifupdown",
        (_, Family::Suse) => "systemd-network",
        (_, Family::RedHat) => "systemd-networkd",
        _ => "systemd",
    }
}

fn missing(os: &Os, manager: Manager) -> Error {
    let needs_systemd = matches!(manager, Manager::Networkd | Manager::Netplan);
    let message = format!("{} is to configure it, and is not in the image", manager.name());
    let error = Error::new(Kind::NotFound, "network", message);
    if needs_systemd && os.init != Some(Init::Systemd) {
        return error.with_hint("it needs systemd as the init: let another one configure the network");
    }
    error.with_hint(Hint::from("install it: ").set(Setting::Install, package(os, manager)))
}

fn nobody(os: &Os) -> Error {
    let message = "interfaces are asked for, and nobody in the image could configure them: there is no \
                   systemd-networkd, NetworkManager, ifupdown or netplan";
    let [first, ..] = order(os);
    Error::new(Kind::NotFound, "network", message)
        .with_hint(Hint::from("install one: ").set(Setting::Install, package(os, first)))
}
