//! Which operating system a tree holds: its os-release(5), its family, its init.

use std::collections::BTreeMap;

use super::{InodeKind, Tree};
use crate::error::{Result, show_text};

/// Larger than any os-release; a file beyond it is not one.
const OS_RELEASE_LIMIT: u64 = 64 << 10;

/// What is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Os {
    /// `ID`; `linux` if there is none, as os-release(5) says.
    pub id: String,
    /// `ID_LIKE`, the closest first.
    pub id_like: Vec<String>,
    /// `VERSION_ID`; rolling distributions have none.
    pub version_id: Option<String>,
    /// `PRETTY_NAME`; `Linux` if there is none.
    pub pretty_name: String,
    /// Whose tools and paths it uses.
    pub family: Family,
    /// What runs as `/sbin/init`.
    pub init: Option<Init>,
}

/// Distributions that share package manager and paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian, Ubuntu and what comes from them.
    Debian,
    /// Alpine and Wolfi.
    Alpine,
    /// Fedora, RHEL and its rebuilds, openEuler.
    RedHat,
    /// openSUSE and SLES.
    Suse,
    /// Arch.
    Arch,
    /// None of these.
    Other,
}

/// The first process of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC, started by busybox init, sysvinit or openrc-init.
    OpenRc,
    /// sysvinit with the scripts of `/etc/rc*.d`.
    Sysvinit,
    /// busybox init alone.
    Busybox,
}

/// Look at `tree`.
pub fn detect(tree: &Tree) -> Result<Os> {
    let text = match tree.read("/etc/os-release", OS_RELEASE_LIMIT)? {
        Some(text) => text,
        None => tree.read("/usr/lib/os-release", OS_RELEASE_LIMIT)?.unwrap_or_default(),
    };
    let text = String::from_utf8_lossy(&text);
    let mut fields = parse_release(&text);
    let id = fields.remove("ID").unwrap_or_else(|| "linux".into());
    let id_like: Vec<_> =
        fields.remove("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Ok(Os {
        family: family(tree, std::iter::once(&id).chain(&id_like)),
        init: init(tree),
        id,
        id_like,
        version_id: fields.remove("VERSION_ID"),
        pretty_name: fields
            .remove("PRETTY_NAME")
            .map_or_else(|| "Linux".into(), |name| show_text(&name).into_owned()),
    })
}

/// The assignments of an os-release(5) file; the last of a name counts.
pub fn parse_release(text: &str) -> BTreeMap<&str, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name, unquote(value))).collect()
}

/// A shell word without its quotes: backslashes count outside of quotes and, before ``"$`\``, in `"…"`.
fn unquote(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '\\') => text.extend(characters.next()),
            (Some('"'), '\\') if characters.peek().is_some_and(|next| "\"$`\\".contains(*next)) => {
                text.extend(characters.next());
            }
            _ => text.push(character),
        }
    }
    text
}

/// By name, the closest first; else by the package manager that is there. Not the other way round: Fedora
/// packages dpkg, and Debian dnf.
fn family<'id>(tree: &Tree, mut ids: impl Iterator<Item = &'id String>) -> Family {
    let managers = [
        ("/usr/bin/dpkg", Family::Debian),
        ("/sbin/apk", Family::Alpine),
        ("/usr/bin/apk", Family::Alpine),
        ("/usr/bin/pacman", Family::Arch),
        ("/usr/bin/zypper", Family::Suse),
        ("/usr/bin/dnf", Family::RedHat),
        ("/usr/bin/microdnf", Family::RedHat),
        ("/usr/bin/yum", Family::RedHat),
    ];
    let by_name = ids.find_map(|id| match &**id {
        "debian" | "ubuntu" => Some(Family::Debian),
        "alpine" | "wolfi" => Some(Family::Alpine),
        "fedora" | "rhel" | "centos" | "openEuler" | "amzn" => Some(Family::RedHat),
        "suse" | "opensuse" | "sles" => Some(Family::Suse),
        "arch" => Some(Family::Arch),
        _ => None,
    });
    let by_manager = || managers.into_iter().find(|(path, _)| tree.resolve(path).is_some());
    by_name.or_else(|| by_manager().map(|(_, family)| family)).unwrap_or(Family::Other)
}

/// What `/sbin/init` is; without one, a systemd that is there counts.
fn init(tree: &Tree) -> Option<Init> {
    let program = |path| tree.resolve(path).filter(|&id| matches!(tree.inode(id).kind, InodeKind::File(_)));
    let there = |path| program(path).is_some();
    let same = |path| there("/sbin/init") && program("/sbin/init") == program(path);
    let systemd = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
    if systemd.into_iter().any(same) || !there("/sbin/init") && systemd.into_iter().any(there) {
        Some(Init::Systemd)
    } else if there("/sbin/init") && (there("/sbin/openrc") || there("/usr/sbin/openrc")) {
        Some(Init::OpenRc)
    } else if same("/bin/busybox") {
        Some(Init::Busybox)
    } else if there("/sbin/init") && there("/etc/inittab") {
        Some(Init::Sysvinit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    #[test]
    fn values_lose_their_shell_quotes() {
        for (word, value) in [
            ("debian", "debian"),
            (r#""Debian GNU/Linux 12 (bookworm)""#, "Debian GNU/Linux 12 (bookworm)"),
            ("'single $x \\ quoted'", "single $x \\ quoted"),
            (r#""a \"b\" \$c \`d\` \\ \e""#, r#"a "b" $c `d` \ \e"#),
            (r"a\ b", "a b"),
            (r#"a"b"'c'"#, "abc"),
            (r#""open"#, "open"),
            (r"end\", "end"),
        ] {
            assert_eq!(unquote(word), value, "{word}");
        }
    }

    #[test]
    fn distributions_are_told_apart() {
        let debian = tree(&[
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            (
                "/usr/lib/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
            ),
            ("/usr/bin/dpkg", ""),
            ("/sbin", "-> usr/sbin"),
            ("/lib", "-> usr/lib"),
            ("/usr/sbin/init", "-> /lib/systemd/systemd"),
            ("/usr/lib/systemd/systemd", ""),
        ]);
        let os = detect(&debian).unwrap();
        assert_eq!(
            (&*os.id, os.version_id.as_deref(), os.family, os.init),
            ("debian", Some("12"), Family::Debian, Some(Init::Systemd))
        );

        let alpine = tree(&[
            ("/usr/lib/os-release", "# comment\nID=alpine\nVERSION_ID=3.23.6\n"),
            ("/sbin/init", "-> /bin/busybox"),
            ("/bin/busybox", ""),
            ("/sbin/openrc", ""),
        ]);
        let os = detect(&alpine).unwrap();
        assert_eq!((os.family, os.init, &*os.pretty_name), (Family::Alpine, Some(Init::OpenRc), "Linux"));

        let rocky = tree(&[("/etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n")]);
        let os = detect(&rocky).unwrap();
        assert_eq!((os.family, os.init, os.id_like.len()), (Family::RedHat, None, 3));
    }

    #[test]
    fn a_name_says_more_than_a_package_manager() {
        for (id, tool, family) in [
            ("fedora", "/usr/bin/dpkg", Family::RedHat),
            ("debian", "/usr/bin/dnf", Family::Debian),
            ("other", "/usr/bin/dnf", Family::RedHat),
            ("mine", "/usr/bin/zypper", Family::Suse),
            ("mine", "/usr/bin/none", Family::Other),
        ] {
            let release = format!("ID={id}\n");
            let os = detect(&tree(&[("/etc/os-release", &*release), (tool, "")])).unwrap();
            assert_eq!(os.family, family, "{id} with {tool}");
        }
    }

    #[test]
    fn a_tree_without_os_release_is_some_linux() {
        let os = detect(&tree(&[("/bin/busybox", ""), ("/sbin/init", "-> ../bin/busybox")])).unwrap();
        assert_eq!((&*os.id, os.family, os.init), ("linux", Family::Other, Some(Init::Busybox)));
    }
}
