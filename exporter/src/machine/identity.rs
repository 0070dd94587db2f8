//! What must differ from one machine to the next, and was made once in the build: the machine id, SSH
//! host keys, random seeds, DHCP leases and client ids, zypper's id, what cloud-init knows of its instance. Machines
//! that share them get one address, share keys, or draw the same numbers.

use super::{read, systemd};
use crate::error::Result;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

pub(super) const MACHINE_ID: &str = "/etc/machine-id";
pub(super) const DBUS_MACHINE_ID: &str = "/var/lib/dbus/machine-id";

/// Saved entropy.
pub(super) const SEEDS: [&str; 5] = [
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/misc/random-seed",
    "/var/lib/seedrng/seed.credit",
    "/var/lib/seedrng/seed.no-credit",
];

/// Directories of DHCP clients and network managers.
pub(super) const LEASE_DIRECTORIES: [&str; 6] = [
    "/var/lib/dhcp",
    "/var/lib/dhclient",
    "/var/lib/dhcpcd",
    "/etc/dhcpcd",
    "/var/lib/NetworkManager",
    "/var/lib/systemd/network",
];
/// How names of what they keep there end.
const LEASES: [&[&str]; 6] = [
    &[".lease", ".leases"],
    &[".lease", ".leases"],
    &["duid", "secret", ".lease", ".lease6"],
    &["duid", "secret"],
    &["secret_key", ".lease", "timestamps", "seen-bssids"],
    &[""],
];

/// What cloud-init keeps of an instance it has set up: with it, it would take the machine for that one and
/// do nothing. Seeds and scripts are the user's.
pub(super) const CLOUD_INIT: [&str; 4] =
    ["/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data", "/var/lib/cloud/sem"];

/// By which SUSE's servers count machines; zypper makes another one where there is none (bsc#1098535).
pub(super) const ZYPP_ID: &str = "/var/lib/zypp/AnonymousUniqueId";

const SSH: &str = "/etc/ssh";
pub(super) const SSH_HOST_KEYS: &str = "/etc/ssh/ssh_host_*";
const SSH_KEYS_UNIT: &str = "vmimage-ssh-keys.service";

/// Early enough for a socket that starts sshd, which is why the default dependencies are off: they would
/// put the unit behind the sockets.
const SSH_KEYS: &str = "\
[Unit]
Description=Make the SSH host keys of this machine
DefaultDependencies=no
After=sysinit.target
Before=ssh.service ssh.socket sshd.service sshd.socket shutdown.target
Conflicts=shutdown.target
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
";

/// The key pair that Debian's ssl-cert makes when it is installed, for services that have no other yet.
pub(super) const SNAKE_OIL: [&str; 2] =
    ["/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"];
const SNAKE_OIL_UNIT: &str = "vmimage-snakeoil.service";
/// What makes it.
const MAKE_SSL_CERT: &str = "/usr/sbin/make-ssl-cert";

/// Before every ordinary service: any of them may read the key.
const SNAKE_OIL_KEYS: &str = "\
[Unit]
Description=Make the self-signed certificate of this machine
DefaultDependencies=no
After=sysinit.target
Before=basic.target shutdown.target
Conflicts=shutdown.target
ConditionPathExists=!/etc/ssl/private/ssl-cert-snakeoil.key

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/make-ssl-cert generate-default-snakeoil --force-overwrite

[Install]
WantedBy=basic.target
";

/// Keys that packages make when they are installed and that nothing makes at boot.
pub(super) const SHARED_KEYS: [&str; 4] = [
    "/etc/bind/rndc.key",
    "/etc/xrdp/rsakeys.ini",
    "/etc/xrdp/key.pem",
    "/etc/pki/tls/private/localhost.key",
];

pub(super) fn clear(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    notes.extend(machine_id(editor, os)?);
    notes.extend(ssh_host_keys(editor, os)?);
    notes.extend(snake_oil(editor, os)?);
    let leases = LEASE_DIRECTORIES.iter().zip(LEASES).flat_map(|(directory, endings)| {
        let names = names(editor.tree(), directory).into_iter();
        names
            .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
            .map(move |name| format!("{directory}/{name}"))
    });
    let fixed = SEEDS.iter().chain(&CLOUD_INIT).chain([&ZYPP_ID]).map(|path| (*path).to_owned());
    for path in fixed.chain(leases).collect::<Vec<_>>() {
        if editor.remove(&path) {
            notes.push(format!("{path}: removed"));
        }
    }
    Ok(notes)
}

/// systemd makes an id at boot where the file is empty. Neither no file nor `uninitialized` will do: they
/// would make it a first boot (machine-id(5)), where presets turn services back on that the user
/// turned off, and systemd-firstboot asks questions on the console. Other inits make one where the
/// file is missing.
fn machine_id(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let had_id = editor.tree().resolve_nofollow(MACHINE_ID).is_some();
    if os.init == Some(Init::Systemd) {
        editor.write_file(MACHINE_ID, *b"", 0o444)?;
        notes.push(format!("{MACHINE_ID}: emptied, generated at boot"));
    } else if had_id {
        editor.remove(MACHINE_ID);
        notes.push(format!("{MACHINE_ID}: removed, generated at boot"));
    }
    if editor.remove(DBUS_MACHINE_ID) && os.init == Some(Init::Systemd) {
        editor.symlink(DBUS_MACHINE_ID, MACHINE_ID)?;
    }
    Ok(notes)
}

/// Host keys go where something makes new ones; for systemd without such a unit there is ours.
fn ssh_host_keys(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    let keys: Vec<_> =
        names(editor.tree(), SSH).into_iter().filter(|name| name.starts_with("ssh_host_")).collect();
    let mut notes = Vec::new();
    let tree = editor.tree();
    if ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().any(|path| tree.resolve(path).is_some())
        && !makes_keys(tree)?
    {
        if os.init != Some(Init::Systemd) || tree.resolve("/usr/bin/ssh-keygen").is_none() {
            return Ok(if keys.is_empty() {
                vec![]
            } else {
                vec![format!("{SSH}: host keys kept, nothing would make new ones")]
            });
        }
        editor.write_file(format!("{}/{SSH_KEYS_UNIT}", systemd::USR), SSH_KEYS.as_bytes(), 0o644)?;
        systemd::enable(editor, SSH_KEYS_UNIT)?;
        notes.push(format!("systemd: {SSH_KEYS_UNIT} makes host keys at boot"));
    }
    for key in &keys {
        editor.remove(format!("{SSH}/{key}"));
    }
    if !keys.is_empty() {
        notes.push(format!("{SSH}: {} files of host keys removed", keys.len()));
    }
    Ok(notes)
}

/// The key pair goes where something makes another one.
fn snake_oil(editor: &mut Editor<'_>, os: &Os) -> Result<Option<String>> {
    let [key, certificate] = SNAKE_OIL;
    if editor.tree().resolve_nofollow(key).is_none() {
        return Ok(None);
    }
    if os.init != Some(Init::Systemd) || editor.tree().resolve(MAKE_SSL_CERT).is_none() {
        return Ok(Some(format!(
            "{key}: kept, nothing would make a new one: machines of this image share it"
        )));
    }
    editor.write_file(format!("{}/{SNAKE_OIL_UNIT}", systemd::USR), SNAKE_OIL_KEYS.as_bytes(), 0o644)?;
    systemd::enable(editor, SNAKE_OIL_UNIT)?;
    editor.remove(key);
    editor.remove(certificate);
    Ok(Some(format!("{key}: removed, {SNAKE_OIL_UNIT} makes another one at boot")))
}

/// Whether the distribution makes missing host keys at boot.
fn makes_keys(tree: &Tree) -> Result<bool> {
    for unit in ["sshd-keygen.service", "sshd-keygen@rsa.service", "sshdgenkeys.service"] {
        let Some(path) = systemd::unit_file(tree, unit) else { continue };
        // That of Debian 13: to systemd a machine whose machine-id is empty, as it is here, was booted before.
        if !contains(&read(tree, &path)?, "ConditionFirstBoot=") {
            return Ok(true);
        }
    }
    Ok(contains(&read(tree, "/etc/init.d/sshd")?, "ssh-keygen"))
}

fn contains(text: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(text).contains(words)
}

fn names(tree: &Tree, directory: &str) -> Vec<String> {
    tree.children(directory).filter_map(|(name, _)| String::from_utf8(name.to_vec()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const SYSTEMD: [(&str, &str); 2] =
        [("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
    const SSHD: [(&str, &str); 4] = [
        ("/usr/sbin/sshd", ""),
        ("/usr/bin/ssh-keygen", ""),
        ("/etc/ssh/sshd_config", ""),
        ("/etc/ssh/ssh_host_rsa_key", "secret"),
    ];
    const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/vmimage-ssh-keys.service";

    fn edit(files: &[&[(&str, &str)]]) -> Tree {
        let mut tree = tree(&files.concat());
        let os = os::detect(&tree).unwrap();
        clear(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
        tree
    }

    #[test]
    fn the_machine_id_is_empty_for_systemd_and_gone_for_others() {
        let files = [("/etc/machine-id", "0123\n"), ("/var/lib/dbus/machine-id", "0123\n")];
        let tree = edit(&[&SYSTEMD, &files]);
        assert_eq!(text(&tree, MACHINE_ID).unwrap(), "");
        assert_eq!(tree.inode(tree.lookup(MACHINE_ID).unwrap()).meta.permissions, 0o444);
        assert_eq!(tree.resolve(DBUS_MACHINE_ID), tree.lookup(MACHINE_ID));

        let tree = edit(&[&files]);
        assert!(tree.lookup(MACHINE_ID).is_none() && tree.lookup(DBUS_MACHINE_ID).is_none());
    }

    #[test]
    fn host_keys_go_only_where_new_ones_are_made() {
        let tree = edit(&[&SYSTEMD, &SSHD]);
        assert_eq!(names(&tree, SSH), ["sshd_config"]);
        assert!(tree.resolve(WANTED).is_some());

        let fedora = [("/usr/lib/systemd/system/sshd-keygen@.service", "[Service]\n")];
        let tree = edit(&[&SYSTEMD, &SSHD, &fedora]);
        assert_eq!(names(&tree, SSH), ["sshd_config"]);
        assert!(tree.lookup(WANTED).is_none());

        let debian_13 =
            [("/usr/lib/systemd/system/sshd-keygen.service", "[Unit]\nConditionFirstBoot=yes\n[Service]\n")];
        let tree = edit(&[&SYSTEMD, &SSHD, &debian_13]);
        assert_eq!(names(&tree, SSH), ["sshd_config"]);
        assert!(tree.resolve(WANTED).is_some());

        let alpine = [("/etc/init.d/sshd", "ssh-keygen -A\n")];
        assert_eq!(names(&edit(&[&SSHD, &alpine]), SSH), ["sshd_config"]);
        assert_eq!(names(&edit(&[&SSHD]), SSH), ["ssh_host_rsa_key", "sshd_config"]);
    }

    #[test]
    fn leases_and_seeds_go_and_configuration_stays() {
        let tree = edit(&[&[
            ("/var/lib/systemd/random-seed", "x"),
            ("/var/lib/dhcp/dhclient.eth0.leases", "x"),
            ("/var/lib/dhcp/readme", "x"),
            ("/var/lib/NetworkManager/secret_key", "x"),
            ("/var/lib/NetworkManager/NetworkManager.state", "x"),
            ("/var/lib/systemd/network/anything", "x"),
            ("/var/lib/zypp/AnonymousUniqueId", "x"),
            ("/var/lib/zypp/AutoInstalled", "x"),
            ("/var/lib/cloud/instance", "-> instances/i-1"),
            ("/var/lib/cloud/instances/i-1/sem", "x"),
            ("/var/lib/cloud/seed/nocloud/user-data", "#cloud-config\n"),
        ]]);
        let left: Vec<_> = ["systemd", "dhcp", "NetworkManager", "systemd/network", "zypp"]
            .into_iter()
            .flat_map(|directory| names(&tree, &format!("/var/lib/{directory}")))
            .collect();
        assert_eq!(left, ["network", "readme", "NetworkManager.state", "AutoInstalled"]);
        assert_eq!(names(&tree, "/var/lib/cloud"), ["seed"]);
    }

    #[test]
    fn no_machine_has_the_snake_oil_of_another() {
        let [key, certificate] = SNAKE_OIL;
        let pair = [(key, "secret"), (certificate, "public")];
        let maker = [(MAKE_SSL_CERT, "")];
        let wanted = "/etc/systemd/system/basic.target.wants/vmimage-snakeoil.service";
        for (files, is_gone) in [
            (&[&SYSTEMD[..], &pair, &maker][..], true),
            (&[&SYSTEMD, &pair], false),
            (&[&pair, &maker], false),
        ] {
            let tree = edit(files);
            assert_eq!(
                tree.lookup(key).is_none() && tree.lookup(certificate).is_none(),
                is_gone,
                "{files:?}"
            );
            assert_eq!(tree.resolve(wanted).is_some(), is_gone, "{files:?}");
        }
        assert!(edit(&[&SYSTEMD, &maker]).lookup(wanted).is_none());
    }
}
