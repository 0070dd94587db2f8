//! `/etc/hosts` (hosts(5)) and `/etc/resolv.conf` (resolv.conf(5)). A file that is not there says nothing.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

/// How much of either is read.
const LONGEST: u64 = 1 << 20;
/// As the C library does: `MAXNS`, `MAXDNSRCH` and the highest values of options.
const SERVERS: usize = 3;
const DOMAINS: usize = 6;
const DOTS: usize = 15;
const SECONDS: u64 = 30;
const ATTEMPTS: u32 = 5;

/// The addresses of `name`, which is in lower case.
pub(super) fn hosts(path: &Path, name: &str) -> Vec<IpAddr> {
    let text = read(path);
    let address_of = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(address_of).collect()
}

/// Whom to ask, and for what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) addresses: Vec<IpAddr>,
    /// What a short name may be completed with.
    pub(super) search: Vec<String>,
    /// A name with so many dots is not short.
    pub(super) dots: usize,
    /// For each question.
    pub(super) timeout: Duration,
    /// Of all servers.
    pub(super) attempts: u32,
}

impl Servers {
    pub(super) fn read(path: &Path) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in read(path).lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    servers.addresses.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                // The last of them counts.
                Some("search" | "domain") => {
                    servers.search = words.take(DOMAINS).map(str::to_owned).collect()
                }
                Some("options") => words.for_each(|option| servers.set(option)),
                _ => {}
            }
        }
        servers.addresses.truncate(SERVERS);
        if servers.addresses.is_empty() {
            servers.addresses.push(Ipv4Addr::LOCALHOST.into());
        }
        servers
    }

    fn set(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.dots = (value as usize).min(DOTS),
            "timeout" => self.timeout = Duration::from_secs(u64::from(value).clamp(1, SECONDS)),
            "attempts" => self.attempts = value.clamp(1, ATTEMPTS),
            _ => {}
        }
    }

    /// The names that `host` may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<_> =
            self.search.iter().map(|domain| format!("{host}.{}", domain.trim_matches('.'))).collect();
        let is_short = host.matches('.').count() < self.dots;
        names.insert(if is_short { names.len() } else { 0 }, host.to_owned());
        names
    }
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hosts_have_names_and_aliases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, "# x\n10.0.0.1 a.example a # b\n::2\tA.example\nnothing a\n10.0.0.3 c\n").unwrap();
        let both: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "::2".parse().unwrap()];
        assert_eq!(hosts(&path, "a.example"), both);
        assert_eq!(hosts(&path, "a"), both[..1]);
        assert!(hosts(&path, "b").is_empty() && hosts(&path, "nothing").is_empty());
        assert!(hosts(&folder.path().join("none"), "a").is_empty());
    }

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let text = "; by hand\nnameserver 10.0.2.3\nnameserver nobody\nnameserver ::1 # x\nnameserver 1.1.1.1\n\
                    nameserver 2.2.2.2\nsearch old\nsearch a.example. b\noptions ndots:2 timeout:900 attempts:0 rotate\n";
        fs::write(&path, text).unwrap();
        let servers = Servers::read(&path);
        assert_eq!(
            servers.addresses,
            ["10.0.2.3", "::1", "1.1.1.1"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert_eq!((servers.dots, servers.timeout.as_secs(), servers.attempts), (2, 30, 1));
        assert_eq!(servers.candidates("u.x"), ["u.x.a.example", "u.x.b", "u.x"]);
        assert_eq!(servers.candidates("u.x.y"), ["u.x.y", "u.x.y.a.example", "u.x.y.b"]);
        assert_eq!(servers.candidates("u."), ["u"]);
        let none = Servers::read(&folder.path().join("none"));
        assert_eq!((none.addresses.len(), none.candidates("u")), (1, vec!["u".to_owned()]));
    }
}
