//! `/etc/resolv.conf`: the name servers of all interfaces, unless the image has some of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The first line of what is written here; without it the file is the user's.
const MARK: &str = "# Written at boot, from DHCP.\n";

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
}

impl Resolvers {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), by_interface: BTreeMap::new() }
    }

    /// Note what `interface` was told, and write the file.
    pub(crate) fn set(&mut self, interface: &str, resolver: Resolver) -> Result<(), String> {
        self.by_interface.insert(interface.to_owned(), resolver);
        if self.is_the_users() {
            return Ok(());
        }
        let text = self.text();
        let temporary = self.path.with_extension("conf.new");
        write(&temporary, &self.path, &text).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn is_the_users(&self) -> bool {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        !text.starts_with(MARK) && text.lines().any(|line| line.trim_start().starts_with("nameserver"))
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
}
