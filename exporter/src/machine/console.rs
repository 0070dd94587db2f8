//! Logins on the screen and on the serial port.
//!
//! systemd starts one on every `console=` of the kernel command line by itself; for the others
//! `/etc/inittab` says it.

use super::{lines, read, systemd};
use crate::error::Result;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

const INITTAB: &str = "/etc/inittab";

/// What Alpine ships: busybox init without an inittab would not start OpenRC.
const OPENRC_INITTAB: &str = "\
::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default
::ctrlaltdel:/sbin/reboot
::shutdown:/sbin/openrc shutdown
";

/// What busybox init does without one (its `init.c`), but for the shells on the screen: a file takes the
/// place of all of it.
const BUSYBOX_INITTAB: &str = "\
::sysinit:/etc/init.d/rcS
::ctrlaltdel:/sbin/reboot
::shutdown:/sbin/swapoff -a
::shutdown:/bin/umount -a -r
";

pub(super) fn add_logins(editor: &mut Editor<'_>, os: &Os, serial: Option<&str>) -> Result<Vec<String>> {
    match os.init {
        Some(Init::Systemd) => {
            let added = systemd::enable(editor, "getty@tty1.service")?;
            Ok(added.then(|| "systemd: login on tty1 enabled".into()).into_iter().collect())
        }
        Some(init) => inittab(editor, init, serial),
        None => Ok(Vec::new()),
    }
}

fn inittab(editor: &mut Editor<'_>, init: Init, serial: Option<&str>) -> Result<Vec<String>> {
    let mut text = current(editor.tree(), init)?;
    let by_runlevel = has_runlevels(&text);
    let mut notes = Vec::new();
    for port in
        std::iter::once("tty1").chain(serial).filter(|port| !has_login(&text, port)).collect::<Vec<_>>()
    {
        text.extend(login(port, by_runlevel).as_bytes());
        notes.push(format!("{INITTAB}: login on {port} added"));
    }
    if !notes.is_empty() {
        editor.write_file(INITTAB, text, 0o644)?;
    }
    Ok(notes)
}

/// Add a line to `/etc/inittab`, once.
pub(super) fn add_to_inittab(editor: &mut Editor<'_>, init: Init, line: &str) -> Result<()> {
    let mut text = current(editor.tree(), init)?;
    if lines(&text).any(|known| known.trim_ascii() == line.as_bytes()) {
        return Ok(());
    }
    text.extend(format!("{line}\n").as_bytes());
    editor.write_file(INITTAB, text, 0o644).map(drop)
}

/// The file as it is, or what its absence means, with a line feed at the end.
fn current(tree: &Tree, init: Init) -> Result<Vec<u8>> {
    let mut text = read(tree, INITTAB)?;
    match init {
        Init::OpenRc if text.is_empty() => text.extend(OPENRC_INITTAB.as_bytes()),
        Init::Busybox if text.is_empty() => text.extend(BUSYBOX_INITTAB.as_bytes()),
        _ => {}
    }
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    Ok(text)
}

/// The four fields of an active line.
fn entries(text: &[u8]) -> impl Iterator<Item = [String; 4]> {
    lines(text).filter_map(|line| {
        let line = String::from_utf8_lossy(line).trim().to_owned();
        let fields: Vec<_> = line.splitn(4, ':').map(str::to_owned).collect();
        <[String; 4]>::try_from(fields).ok().filter(|_| !line.starts_with('#'))
    })
}

/// Whether this is the inittab of sysvinit, where the second field says runlevels; busybox has none.
fn has_runlevels(text: &[u8]) -> bool {
    entries(text).any(|[_, runlevels, ..]| !runlevels.is_empty())
}

fn has_login(text: &[u8], port: &str) -> bool {
    entries(text).any(|[id, _, action, command]| {
        let names_port = id == port || command.split_whitespace().any(|word| word == port);
        names_port && matches!(&*action, "respawn" | "askfirst")
    })
}

fn login(port: &str, by_runlevel: bool) -> String {
    let getty = if port.starts_with("tty1") {
        format!("/sbin/getty 38400 {port}")
    } else {
        format!("/sbin/getty -L 115200 {port} vt100")
    };
    // sysvinit wants an id of at most four characters.
    let id: String = port.chars().skip(port.len().saturating_sub(4)).collect();
    if by_runlevel { format!("{id}:2345:respawn:{getty}\n") } else { format!("{port}::respawn:{getty}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    fn edit(old: &str, init: Init) -> (String, usize) {
        let mut tree = tree(&[(INITTAB, old)]);
        let notes = inittab(&mut Editor::new(&mut tree, Time::default()), init, Some("ttyS0")).unwrap();
        (text(&tree, INITTAB).unwrap(), notes.len())
    }

    #[test]
    fn logins_are_added_where_there_are_none() {
        let busybox =
            "tty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n";
        let (text, notes) = edit(busybox, Init::OpenRc);
        assert_eq!(
            (text, notes),
            (format!("{busybox}ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n"), 1)
        );

        let sysvinit = "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1";
        let (text, notes) = edit(sysvinit, Init::Sysvinit);
        assert_eq!(
            (text, notes),
            (format!("{sysvinit}\ntyS0:2345:respawn:/sbin/getty -L 115200 ttyS0 vt100\n"), 1)
        );
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let whole = "tty1::askfirst:/bin/sh\nS0:12345:respawn:/sbin/agetty -L ttyS0 115200\n";
        assert_eq!(edit(whole, Init::Sysvinit), (whole.to_owned(), 0));
    }

    #[test]
    fn an_inittab_says_what_its_absence_meant() {
        let (text, notes) = edit("", Init::OpenRc);
        assert!(text.starts_with("::sysinit:/sbin/openrc sysinit\n"), "{text}");
        assert_eq!(notes, 2);
        let (text, _) = edit("", Init::Busybox);
        assert!(text.starts_with("::sysinit:/etc/init.d/rcS\n"), "{text}");
    }
}
