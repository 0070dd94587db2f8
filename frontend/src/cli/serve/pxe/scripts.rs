//! The scripts of a folder: what of them is said while they are served.
//!
//! They work as they are on any server. What no script can know, it sets in a line of its own at the left margin, and whoever
//! serves it may put another value there:
//!
//! | script | line | says |
//! |---|---|---|
//! | `boot.ipxe` | `set mode live` | what is done where nobody chooses |
//! | `boot.ipxe` | `set base ${cwduri}` | where the other files are, with the slash at its end |
//! | `grub.cfg` | `set mode=live` | as above |
//! | `grub.cfg` | `set server=$net_default_server` | the HTTP server, with its port |

use std::net::SocketAddrV4;

use exporter::spec::Mode;

/// What iPXE runs.
pub(super) const IPXE: &str = "boot.ipxe";
/// What GRUB reads.
pub(super) const GRUB: &str = "grub.cfg";
/// The same where the signed GRUB of Debian and Ubuntu looks for it, whose prefix is built in.
pub(super) const GRUB_BELOW: &str = "grub/grub.cfg";

/// How a script says what; up to the value.
struct Syntax {
    mode: &'static str,
    server: &'static str,
}

fn syntax(name: &str) -> Option<Syntax> {
    match name {
        IPXE => Some(Syntax { mode: "set mode ", server: "set base " }),
        GRUB => Some(Syntax { mode: "set mode=", server: "set server=" }),
        _ => None,
    }
}

/// The script of this name with the server in it, and with the mode if one is asked for; `None` if it is no script.
pub(super) fn set(name: &str, text: &str, server: SocketAddrV4, mode: Option<Mode>) -> Option<String> {
    let syntax = syntax(name)?;
    let value = match name {
        IPXE => format!("http://{server}/"),
        _ => server.to_string(),
    };
    let text = replace(text, syntax.server, &value);
    Some(match mode {
        Some(mode) => replace(&text, syntax.mode, mode.name()),
        None => text,
    })
}

/// The mode that a script sets.
pub(super) fn mode(name: &str, text: &str) -> Option<Mode> {
    let syntax = syntax(name)?;
    by_name(text.lines().find_map(|line| line.strip_prefix(syntax.mode))?.trim())
}

/// The mode of this name.
pub(super) fn by_name(name: &str) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| mode.name() == name)
}

/// The text with another value in the first line that begins so, if there is one.
fn replace(text: &str, begin: &str, value: &str) -> String {
    let mut done = false;
    let lines = text.split_inclusive('\n').map(|line| match line.starts_with(begin) && !done {
        true => {
            done = true;
            format!("{begin}{value}{}", if line.ends_with('\n') { "\n" } else { "" })
        }
        false => line.to_owned(),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::new(10, 9, 0, 1), 8080);

    #[test]
    fn a_script_has_its_server_and_its_mode() {
        let ipxe = "#!ipxe\nset mode live\nset base ${cwduri}\n  set mode install\nkernel ${base}vmlinuz";
        assert_eq!(mode(IPXE, ipxe), Some(Mode::Live));
        assert_eq!(
            set(IPXE, ipxe, SERVER, Some(Mode::Rescue)).unwrap(),
            "#!ipxe\nset mode rescue\nset base http://10.9.0.1:8080/\n  set mode install\nkernel ${base}vmlinuz"
        );
        let grub = "set mode=install\nset server=$net_default_server\nset mode=live\n";
        assert_eq!(mode(GRUB, grub), Some(Mode::Install));
        assert_eq!(
            set(GRUB, grub, SERVER, None).unwrap(),
            "set mode=install\nset server=10.9.0.1:8080\nset mode=live\n"
        );
    }

    #[test]
    fn what_has_no_such_line_stays_as_it_is() {
        assert_eq!(set(GRUB, "# set mode=x\n", SERVER, Some(Mode::Live)).unwrap(), "# set mode=x\n");
        assert_eq!(mode(GRUB, "set mode=other\n"), None);
        assert_eq!(set("vmlinuz", "set mode=live", SERVER, None), None);
    }
}
