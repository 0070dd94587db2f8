//! Name servers, search domains and hosts, in the words of whoever keeps `/etc/resolv.conf`.
//!
//! | it is kept by | servers and domains of the machine |
//! |---|---|
//! | systemd-resolved, enabled | `/etc/systemd/resolved.conf.d/vmimage.conf` |
//! | NetworkManager, enabled | `/etc/NetworkManager/conf.d/90-vmimage-dns.conf` as well: it goes before each connection's |
//! | nobody, or the client of DHCP | `/etc/resolv.conf` itself, and the client is told to leave it alone |

use std::net::IpAddr;

use super::ini::Ini;
use super::resolver::{self, RESOLV_CONF, RESOLVED};
use super::{NETWORK_MANAGER, openrc, read, systemd};
use crate::error::{Error, Kind, Result};
use crate::spec::network::{Interface, Network};
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const OF_RESOLVED: &str = "/etc/systemd/resolved.conf.d/vmimage.conf";
const OF_NETWORK_MANAGER: &str = "/etc/NetworkManager/conf.d/90-vmimage-dns.conf";
const HOSTS: &str = "/etc/hosts";
/// `MAXNS` of resolv.conf(5).
const MOST_SERVERS: usize = 3;

/// What a client of DHCP is told in its own file, which is there where it is.
const CLIENTS: [(&str, &str); 3] = [
    ("/etc/dhcpcd.conf", "nohook resolv.conf\n"),
    ("/etc/udhcpc/udhcpc.conf", "RESOLV_CONF=\"no\"\n"),
    ("/etc/resolvconf.conf", "resolvconf=NO\n"),
];
const DHCLIENT: &str = "/etc/dhcp/dhclient.conf";

/// Whether somebody is to be asked in place of whom DHCP tells of.
pub(super) fn are_asked(network: &Network) -> bool {
    !network.dns.is_empty() || network.interfaces.iter().any(|interface| !interface.dns.is_empty())
}

/// Take name servers of the image's own away where others are asked for.
pub(super) fn forget(editor: &mut Editor<'_>, network: &Network) -> Result<Vec<String>> {
    if !are_asked(network) || resolver::note(editor.tree())?.is_none() {
        return Ok(Vec::new());
    }
    editor.remove(RESOLV_CONF);
    Ok(vec![format!("{RESOLV_CONF}: the image's own name servers are left out, others are asked for")])
}

pub(super) fn write(editor: &mut Editor<'_>, os: &Os, network: &Network) -> Result<Vec<String>> {
    let has_resolved = os.init == Some(Init::Systemd) && systemd::is_enabled(editor.tree(), RESOLVED);
    let has_manager = systemd::is_enabled(editor.tree(), NETWORK_MANAGER)
        || openrc::is_in_runlevel(editor.tree(), "networkmanager");
    if !has_resolved && !has_manager {
        return write_plainly(editor, network);
    }
    let mut notes = Vec::new();
    if has_resolved {
        notes.extend(tell_resolved(editor, network)?);
    }
    if has_manager {
        notes.extend(tell_network_manager(editor, network, has_resolved)?);
    }
    notes.extend(add_hosts(editor, network)?);
    Ok(notes)
}

/// `~.` makes these servers those of every name, and DHCP's of none.
fn tell_resolved(editor: &mut Editor<'_>, network: &Network) -> Result<Vec<String>> {
    let Network { dns, search, .. } = network;
    if dns.is_empty() && search.is_empty() {
        return Ok(Vec::new());
    }
    let everything = ["~.".to_owned()].into_iter().filter(|_| !dns.is_empty());
    let domains: Vec<_> = everything.chain(search.iter().cloned()).collect();
    let mut file = Ini::default();
    file.section("Resolve").list("DNS", dns, " ").list("Domains", &domains, " ");
    editor.write_file(OF_RESOLVED, file.bytes(), 0o644)?;
    let mut notes = vec![format!("{OF_RESOLVED}: {}", shown(dns, search))];
    if !dns.is_empty() {
        notes.extend(resolver::link_to_stub(editor)?);
    }
    Ok(notes)
}

/// It takes domains with servers alone; resolved knows them already.
fn tell_network_manager(
    editor: &mut Editor<'_>,
    network: &Network,
    has_resolved: bool,
) -> Result<Option<String>> {
    let Network { dns, search, .. } = network;
    if dns.is_empty() {
        return if search.is_empty() || has_resolved {
            Ok(None)
        } else {
            Err(search_alone("NetworkManager"))
        };
    }
    let joined = |texts: Vec<String>| texts.join(",");
    let mut file = Ini::default();
    file.section("global-dns");
    if !search.is_empty() {
        file.set("searches", joined(search.clone()));
    }
    let servers = joined(dns.iter().map(IpAddr::to_string).collect());
    file.section("global-dns-domain-*").set("servers", servers);
    editor.write_file(OF_NETWORK_MANAGER, file.bytes(), 0o644)?;
    Ok(Some(format!("{OF_NETWORK_MANAGER}: {}", shown(dns, search))))
}

fn search_alone(who: &str) -> Error {
    let message = format!("search domains alone would be lost: {who} writes them with the name servers");
    Error::new(Kind::Unsupported, "network", message)
        .with_hint("say the name servers, too: network.dns = [\"1.1.1.1\"]")
}

/// Into the file itself, which is one list for all interfaces.
pub(super) fn write_plainly(editor: &mut Editor<'_>, network: &Network) -> Result<Vec<String>> {
    let of_interfaces = network.interfaces.iter().flat_map(|interface: &Interface| &interface.dns);
    let mut servers: Vec<IpAddr> = Vec::new();
    for server in network.dns.iter().chain(of_interfaces) {
        if !servers.contains(server) {
            servers.push(*server);
        }
    }
    let mut notes = Vec::new();
    match servers.len() {
        0 if network.search.is_empty() => {}
        0 => return Err(search_alone("the client of DHCP")),
        1..=MOST_SERVERS => notes.extend(write_file(editor, &servers, &network.search)?),
        more => {
            let message = format!("{more} name servers: {RESOLV_CONF} has room for {MOST_SERVERS}");
            return Err(Error::new(Kind::Input, "network", message));
        }
    }
    notes.extend(add_hosts(editor, network)?);
    Ok(notes)
}

fn write_file(editor: &mut Editor<'_>, servers: &[IpAddr], search: &[String]) -> Result<Vec<String>> {
    let mut text = if search.is_empty() { String::new() } else { format!("search {}\n", search.join(" ")) };
    servers.iter().for_each(|server| text += &format!("nameserver {server}\n"));
    editor.write_file(RESOLV_CONF, text.into_bytes(), 0o644)?;
    let mut notes = vec![format!("{RESOLV_CONF}: {}", shown(servers, search))];
    let dhclient = supersede(servers, search);
    let clients = CLIENTS.into_iter().chain([(DHCLIENT, &*dhclient)]);
    for (path, lines) in clients {
        notes.extend(
            append(editor, path, lines)?.then(|| format!("{path}: name servers of DHCP are left out")),
        );
    }
    Ok(notes)
}

/// dhclient writes the file, with these in place of what it was told (dhclient.conf(5)).
fn supersede(servers: &[IpAddr], search: &[String]) -> String {
    let (v4, v6): (Vec<_>, Vec<_>) = servers.iter().partition(|server| server.is_ipv4());
    let joined =
        |servers: &[&IpAddr]| servers.iter().map(|server| server.to_string()).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    for (option, servers) in [("domain-name-servers", v4), ("dhcp6.name-servers", v6)] {
        if !servers.is_empty() {
            text += &format!("supersede {option} {};\n", joined(&servers));
        }
    }
    if !search.is_empty() {
        let quoted: Vec<_> = search.iter().map(|domain| format!("\"{domain}\"")).collect();
        text += &format!("supersede domain-search {};\n", quoted.join(", "));
    }
    text
}

/// Behind what a file says, if there is that file; whether it was not there yet.
fn append(editor: &mut Editor<'_>, path: &str, more: &str) -> Result<bool> {
    if editor.tree().resolve(path).is_none() {
        return Ok(false);
    }
    let mut text = read(editor.tree(), path)?;
    if text.ends_with(more.as_bytes()) {
        return Ok(false);
    }
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(more.as_bytes());
    editor.write_file(path, text, 0o644)?;
    Ok(true)
}

/// In front of the image's own: of two lines with a name the first counts.
fn add_hosts(editor: &mut Editor<'_>, network: &Network) -> Result<Option<String>> {
    if network.hosts.is_empty() {
        return Ok(None);
    }
    let asked: String =
        network.hosts.iter().map(|host| format!("{}\t{}\n", host.address(), host.name())).collect();
    let own = read(editor.tree(), HOSTS)?;
    if own.starts_with(asked.as_bytes()) {
        return Ok(None);
    }
    editor.write_file(HOSTS, [asked.as_bytes(), &own].concat(), 0o644)?;
    let names: Vec<_> = network.hosts.iter().map(|host| host.name()).collect();
    Ok(Some(format!("{HOSTS}: {} added", names.join(", "))))
}

fn shown(servers: &[IpAddr], search: &[String]) -> String {
    let servers = servers.iter().map(IpAddr::to_string);
    servers.chain(search.iter().cloned()).collect::<Vec<_>>().join(" ")
}
