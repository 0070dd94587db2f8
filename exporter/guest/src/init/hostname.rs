//! What the machine is called, and that it knows itself by this name.

use std::fs;
use std::path::Path;

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
/// The address that stands for this machine beside 127.0.0.1, as Debian has it.
const OWN_ADDRESS: &str = "127.0.1.1";

/// Call the machine what it is told, or what its disk says.
pub(crate) fn set(told: Option<&str>) -> Result<(), String> {
    let built = fs::read_to_string(HOSTNAME).unwrap_or_default();
    let name = told.unwrap_or(&built).trim();
    if name.is_empty() {
        return Ok(());
    }
    rustix::system::sethostname(name.as_bytes()).map_err(|error| format!("host name {name}: {error}"))?;
    match told {
        Some(_) => list(Path::new(HOSTS), name).map_err(|error| format!("{HOSTS}: {error}")),
        // The disk's builder has done so.
        None => Ok(()),
    }
}

/// Add the name to the file of addresses, unless it is there.
fn list(hosts: &Path, name: &str) -> std::io::Result<()> {
    let text = fs::read_to_string(hosts).unwrap_or_default();
    let names = |line: &str| {
        line.split('#').next().unwrap_or_default().split_whitespace().skip(1).any(|one| one == name)
    };
    if text.lines().any(names) || name.contains(char::is_whitespace) {
        return Ok(());
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    fs::write(hosts, format!("{text}{end}{OWN_ADDRESS}\t{name}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        for (before, after) in [
            ("", "127.0.1.1\tweb\n"),
            ("127.0.0.1 localhost # web", "127.0.0.1 localhost # web\n127.0.1.1\tweb\n"),
            ("10.0.0.2 web.example web\n", "10.0.0.2 web.example web\n"),
        ] {
            fs::write(&hosts, before).unwrap();
            list(&hosts, "web").unwrap();
            list(&hosts, "web").unwrap();
            assert_eq!(fs::read_to_string(&hosts).unwrap(), after);
        }
    }
}
