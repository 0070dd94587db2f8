//! `/etc/resolv.conf`: the name servers of all interfaces, unless the image has some of its own; or those that were told, in
//! place of both.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The first line of what is written here; without it the file is the user's.
const MARK: &str = "# Written at boot, from DHCP.\n";
/// The same where it has what this boot was told.
const MARK_OF_TOLD: &str = "# Written at boot, as told.\n";

/// What one interface was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<Ipv4Addr>,
    /// The domain that short names are completed with.
    pub(crate) domain: Option<String>,
}

/// The file, and what is to be in it.
#[derive(Debug)]
pub(crate) struct Resolvers {
    path: PathBuf,
    by_interface: BTreeMap<String, Resolver>,
    is_fixed: bool,
}

impl Resolvers {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), by_interface: BTreeMap::new(), is_fixed: false }
    }

    /// Those of this boot, whatever interfaces are told, written at once.
    pub(crate) fn fixed(path: impl Into<PathBuf>, servers: &[IpAddr]) -> Result<Self, String> {
        let resolvers = Self { is_fixed: true, ..Self::new(path) };
        let lines = servers.iter().map(|server| format!("nameserver {server}\n"));
        resolvers.write(&(MARK_OF_TOLD.to_owned() + &lines.collect::<String>()))?;
        Ok(resolvers)
    }

    /// Note what `interface` was told, and write the file.
    pub(crate) fn set(&mut self, interface: &str, resolver: Resolver) -> Result<(), String> {
        self.by_interface.insert(interface.to_owned(), resolver);
        if self.is_fixed || self.is_the_users() {
            return Ok(());
        }
        self.write(&self.text())
    }

    fn write(&self, text: &str) -> Result<(), String> {
        let temporary = self.path.with_extension("conf.new");
        write(&temporary, &self.path, text).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn is_the_users(&self) -> bool {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        ![MARK, MARK_OF_TOLD].iter().any(|mark| text.starts_with(mark))
            && text.lines().any(|line| line.trim_start().starts_with("nameserver"))
    }

    fn text(&self) -> String {
        let mut text = MARK.to_owned();
        let domains: Vec<_> =
            self.by_interface.values().filter_map(|resolver| resolver.domain.as_deref()).collect();
        if !domains.is_empty() {
            text += &format!("search {}\n", domains.join(" "));
        }
        for server in self.by_interface.values().flat_map(|resolver| &resolver.servers) {
            text += &format!("nameserver {server}\n");
        }
        text
    }
}

/// At every moment one of the two texts is there.
fn write(temporary: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(temporary, text)?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_all_interfaces_are_written_and_the_users_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let mut resolvers = Resolvers::new(&path);
        let resolver = |last| Resolver {
            servers: vec![Ipv4Addr::new(10, 0, 2, last)],
            domain: Some(format!("d{last}")),
        };
        for file in ["", "# nothing\n"] {
            fs::write(&path, file).unwrap();
            resolvers.set("eth0", resolver(3)).unwrap();
            resolvers.set("eth1", resolver(4)).unwrap();
            resolvers.set("eth0", resolver(5)).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{MARK}search d5 d4\nnameserver 10.0.2.5\nnameserver 10.0.2.4\n"));
        }
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        resolvers.set("eth0", resolver(3)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "nameserver 192.0.2.1\n");
    }
    #[test]
    fn what_is_told_counts_for_this_boot_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        let servers = ["10.0.2.3".parse().unwrap(), "fd00::3".parse().unwrap()];
        let mut fixed = Resolvers::fixed(&path, &servers).unwrap();
        let leased = Resolver { servers: vec![Ipv4Addr::LOCALHOST], domain: None };
        fixed.set("eth0", leased.clone()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{MARK_OF_TOLD}nameserver 10.0.2.3\nnameserver fd00::3\n"));
        Resolvers::new(&path).set("eth0", leased).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{MARK}nameserver 127.0.0.1\n"));
        assert!(Resolvers::fixed(folder.path().join("none/resolv.conf"), &servers).is_err());
    }
}
