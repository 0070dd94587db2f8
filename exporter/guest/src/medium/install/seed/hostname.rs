//! The name of the machine: `/etc/hostname`, and a line of `/etc/hosts` by which it knows itself, as
//! `exporter/src/machine/hostname.rs` has it.

use super::files::{Owner, System};

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
/// The address that stands for this machine, as Debian has it.
const OWN_ADDRESS: &str = "127.0.1.1";

pub(super) fn write(system: &System, name: &str) -> Result<String, String> {
    system.write(HOSTNAME, format!("{name}\n").as_bytes(), Owner::ROOT)?;
    let (hosts, owner) = system.read(HOSTS)?.unwrap_or((Vec::new(), Owner::ROOT));
    let text = with(&String::from_utf8_lossy(&hosts), name);
    system.write(HOSTS, text.as_bytes(), owner)?;
    Ok(format!("{HOSTNAME}: {name}"))
}

/// The lines with another name for this machine.
fn with(hosts: &str, name: &str) -> String {
    let short = name.split('.').next().unwrap_or(name);
    let names = if short == name { name.to_owned() } else { format!("{name} {short}") };
    let is_own = |line: &&str| line.split_whitespace().next() == Some(OWN_ADDRESS);
    let others = hosts.lines().filter(|line| !is_own(line)).map(|line| format!("{line}\n"));
    let mut text: String = others.collect();
    text += &format!("{OWN_ADDRESS}\t{names}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_itself_by_its_new_name_alone() {
        let hosts = "127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n::1 localhost";
        assert_eq!(with(hosts, "web"), "127.0.0.1\tlocalhost\n::1 localhost\n127.0.1.1\tweb\n");
        assert_eq!(with("", "web.example"), "127.0.1.1\tweb.example web\n");
    }
}
