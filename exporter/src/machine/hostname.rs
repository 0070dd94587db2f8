//! `/etc/hostname` and `/etc/hosts`.
//!
//! During a build both are bind mounts of the builder, of which empty files are left.

use super::{fields, lines, read};
use crate::error::{Error, Kind, Result};
use crate::spec::TextFormat;
use crate::tree::Editor;
use crate::tree::os::Os;

/// Name the machine as it was asked, else as the image or the distribution is called. Returns a line for each change.
///
/// # Errors
/// If links lead a file that is written nowhere, or the name cannot be one.
pub fn write(editor: &mut Editor<'_>, asked: Option<&str>, os: &Os) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let own = String::from_utf8_lossy(&read(editor.tree(), "/etc/hostname")?).trim().to_owned();
    let is_name = |text: &str| TextFormat::Hostname.check(text).is_ok();
    let name = match asked {
        Some(name) => TextFormat::Hostname.check(name).map(|()| name).map_err(|expected| {
            Error::new(Kind::Input, "hostname", format!("{name:?} is no host name")).with_hint(expected)
        })?,
        None if is_name(&own) && !is_leftover(&own) => &own,
        None if is_name(&os.id) => &os.id,
        None => "linux",
    };
    if name != own {
        editor.write_file("/etc/hostname", format!("{name}\n").as_bytes(), 0o644)?;
        notes.push(format!("/etc/hostname: {name}"));
    }
    let added = add_hosts(editor, name)?;
    if !added.is_empty() {
        notes.push(format!("/etc/hosts: {} added", added.join(", ")));
    }
    Ok(notes)
}

/// A name that a builder gave, or that means nothing: the short id of a container, `localhost`.
fn is_leftover(name: &str) -> bool {
    name.starts_with("localhost")
        || name == "debuerreotype"
        || name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Add what every machine resolves without DNS to the user's lines. Returns the names added.
fn add_hosts(editor: &mut Editor<'_>, name: &str) -> Result<Vec<String>> {
    let mut text = read(editor.tree(), "/etc/hosts")?;
    let known: Vec<_> = lines(&text).map(fields).collect();
    let short = name.split('.').next().unwrap_or(name);
    let names = if short == name { name.to_owned() } else { format!("{name} {short}") };
    let wanted =
        [("127.0.0.1", "localhost"), ("::1", "localhost ip6-localhost ip6-loopback"), ("127.0.1.1", &*names)];
    let mut added = Vec::new();
    for (address, names) in wanted {
        let first = names.split(' ').next().unwrap_or(names);
        // One's own name may have any address; localhost has one in each family.
        let is_known = |fields: &Vec<String>| {
            fields.iter().skip(1).any(|known| known == first)
                && (first != "localhost" || fields.first().is_some_and(|known| known == address))
        };
        if known.iter().any(is_known) {
            continue;
        }
        if text.last().is_some_and(|&last| last != b'\n') {
            text.push(b'\n');
        }
        text.extend(format!("{address}\t{names}\n").as_bytes());
        added.push(format!("{address} {first}"));
    }
    if !added.is_empty() {
        editor.write_file("/etc/hosts", text, 0o644)?;
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    /// The files after the edit.
    fn edit(files: &[(&str, &str)], asked: Option<&str>) -> Result<(String, String)> {
        let mut tree =
            tree(&[("/etc/os-release", "ID=debian\n")].iter().chain(files).copied().collect::<Vec<_>>());
        let os = os::detect(&tree)?;
        write(&mut Editor::new(&mut tree, Time::default()), asked, &os)?;
        Ok((text(&tree, "/etc/hostname").unwrap(), text(&tree, "/etc/hosts").unwrap()))
    }

    #[test]
    fn the_asked_name_wins_then_the_images_then_the_distributions() {
        for (own, asked, name) in [
            ("web\n", Some("db.example.org"), "db.example.org\n"),
            ("web\n", None, "web\n"),
            ("", None, "debian\n"),
            ("localhost\n", None, "debian\n"),
            ("0123456789ab\n", None, "debian\n"),
            ("not a name\n", None, "debian\n"),
        ] {
            assert_eq!(edit(&[("/etc/hostname", own)], asked).unwrap().0, name);
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let message = edit(&[], Some("-web")).unwrap_err().to_string();
        assert_eq!(message, "hostname: \"-web\" is no host name");
    }

    #[test]
    fn hosts_of_the_user_are_kept_and_completed() {
        let all =
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tvm.example vm\n";
        assert_eq!(edit(&[("/etc/hosts", "")], Some("vm.example")).unwrap().1, all);
        let own = "10.0.0.1 vm db # mine\n127.0.0.1 localhost";
        let hosts = edit(&[("/etc/hosts", own)], Some("vm")).unwrap().1;
        assert_eq!(hosts, format!("{own}\n::1\tlocalhost ip6-localhost ip6-loopback\n"));
    }

    #[test]
    fn a_link_to_a_file_is_replaced_and_its_target_left() {
        let files = [("/etc/hosts", "-> /srv/hosts"), ("/srv/hosts", "10.0.0.1 db\n")];
        let mut tree = tree(&files);
        add_hosts(&mut Editor::new(&mut tree, Time::default()), "vm").unwrap();
        assert_eq!(text(&tree, "/srv/hosts").unwrap(), "10.0.0.1 db\n");
        assert!(text(&tree, "/etc/hosts").unwrap().starts_with("10.0.0.1 db\n127.0.0.1\tlocalhost\n"));
    }
}
