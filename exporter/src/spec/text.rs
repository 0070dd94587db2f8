//! Texts with a form of their own: what is right for each, as one table.
//!
//! What comes from outside is held against it where it comes in: the words of a command, the keys of a
//! `vmimage.toml`, the files and secrets that these name.

use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Size;
use super::layout::PartitionType;
use super::network::{Host, InterfaceId, Mac, Prefix};
use super::update::{Every, Window};
use crate::limits;
use crate::seed::Uuid;

/// A form that texts have. Its name, in kebab case, is the `format` of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the table below says what is expected of each")]
pub enum TextFormat {
    UserName,
    PasswdField,
    AbsolutePath,
    ContextPath,
    FileMode,
    Owner,
    PasswordHash,
    GrubPasswordHash,
    SshKey,
    SecretId,
    RepositoryName,
    ServiceName,
    TimeZone,
    Locale,
    KernelModule,
    Proxy,
    Package,
    Image,
    Mirror,
    Hostname,
    Domain,
    IpAddress,
    Prefix,
    MacAddress,
    InterfaceName,
    InterfacePattern,
    InterfaceId,
    HostAddress,
    KernelArguments,
    FileName,
    Size,
    Uuid,
    PartitionType,
    PartitionLabel,
    PartitionSource,
    StageName,
    PlainPath,
    MountOptions,
    ImageId,
    Compatible,
    UpdateSource,
    Interval,
    Window,
    MinisignKey,
    Capability,
}

/// What is expected, for a message, and whether a text is it.
type Row = (&'static str, fn(&str) -> bool);

impl TextFormat {
    fn row(self) -> Row {
        match self {
            Self::UserName => ("a name of lower-case letters, digits, - and _, at most 32", is_user_name),
            Self::PasswdField => ("a text without colons on one line", is_passwd_field),
            Self::AbsolutePath => {
                ("a path from the root on, without . and .., such as /etc/motd", is_absolute_path)
            }
            Self::ContextPath => {
                ("a path in the build context, without .., such as files/motd", is_context_path)
            }
            Self::FileMode => ("permissions in octal, such as 0644", is_mode),
            Self::Owner => ("USER or USER:GROUP, by name or number", is_owner),
            Self::PasswordHash => (
                "a crypt(5) hash ($y$, $7$, $6$, $5$ or $2b$); a password itself is given as { secret = \"id\" }",
                is_password_hash,
            ),
            Self::GrubPasswordHash => (
                "a hash of grub-mkpasswd-pbkdf2 (grub.pbkdf2.sha512.…); a password itself is given as { secret = \"id\" }",
                is_grub_password_hash,
            ),
            Self::SshKey => ("one public key, such as \"ssh-ed25519 AAAA… me@here\"", is_ssh_key),
            Self::SecretId => {
                ("the id of a secret: letters, digits, -, _ and .", |text| is_word(text, "-_."))
            }
            Self::RepositoryName => ("a name of letters, digits, - and _", |text| is_word(text, "-_")),
            Self::ServiceName => ("the name of a service, such as nginx or apt-daily.timer", is_service),
            Self::TimeZone => ("a name of the tz database, such as Europe/Berlin or UTC", is_time_zone),
            Self::Locale => ("a locale, such as de_DE.UTF-8 or C.UTF-8", |text| is_word(text, "_.@-")),
            Self::KernelModule => ("the name of a kernel module, such as nbd", |text| is_word(text, "-_")),
            Self::Proxy => ("the URL of a proxy, without a login, such as http://proxy.example:3128", is_url),
            Self::Package => ("the name of a package, such as openssh-server", is_package),
            Self::Image => ("a reference to an image, such as debian:12", is_image),
            Self::Mirror => ("the URL of a mirror, without a login, such as http://mirror.example", is_url),
            Self::Hostname => {
                ("a name of letters, digits and hyphens, at most 64, such as web-1", is_hostname)
            }
            Self::Domain => ("a domain, such as corp.example", is_domain),
            Self::IpAddress => ("an IP address, such as 1.1.1.1", is_parsed::<IpAddr>),
            Self::Prefix => {
                ("an address with the length of its prefix, such as 10.0.2.50/24", is_parsed::<Prefix>)
            }
            Self::MacAddress => ("the MAC address of a card, such as 52:54:00:12:34:57", is_parsed::<Mac>),
            Self::InterfaceName => {
                ("the name of an interface, at most 15 letters, digits, -, _ and .", is_interface)
            }
            Self::InterfacePattern => {
                ("the name of an interface, or a pattern with *, ? and […], such as en*", is_pattern)
            }
            Self::InterfaceId => {
                ("the name of an interface, such as eth0, or its MAC address", is_parsed::<InterfaceId>)
            }
            Self::HostAddress => ("a name with its address, such as db:10.0.0.5", is_parsed::<Host>),
            Self::KernelArguments => ("kernel arguments on one line, at most 4096 bytes", are_arguments),
            Self::FileName => ("a file name without its extension", is_file_name),
            Self::Size => ("a number with K, M, G or T, such as 10G", is_parsed::<Size>),
            Self::Uuid => ("a UUID, such as 01234567-89ab-4def-8123-456789abcdef", is_parsed::<Uuid>),
            Self::PartitionType => (
                "esp, xbootldr, root, usr, home, srv, var, tmp, swap, linux-generic, bios-boot or a GUID",
                is_parsed::<PartitionType>,
            ),
            Self::PartitionLabel => ("a name of letters, digits, -, _ and .", |text| is_word(text, "-_.")),
            Self::PartitionSource => (
                "a path of the image such as /usr/share/site, or one of the build context without .., such as site",
                is_partition_source,
            ),
            Self::StageName => ("the name of a stage or a named context, such as assets", is_image),
            Self::PlainPath => {
                ("/ or a path of letters, digits, -, _ and . without .., such as /srv/data", is_plain_path)
            }
            Self::MountOptions => {
                ("mount options with commas between them, such as noatime,nodev", are_mount_options)
            }
            Self::ImageId => ("lower-case letters, digits, -, _ and ., such as 1.4.0", is_image_id),
            Self::Compatible => ("a text on one line, such as \"acme kiosk-2\"", is_compatible),
            Self::UpdateSource => (
                "the URL of a folder, or a reference in a registry, without a login, such as https://updates.example.com/kiosk/ or registry.example.com/kiosk:stable",
                is_update_source,
            ),
            Self::Interval => {
                ("a time from 10s to 365d, a number with s, m, h or d, such as 6h", is_parsed::<Every>)
            }
            Self::Window => ("two times of day, such as 02:00-04:00", is_parsed::<Window>),
            Self::MinisignKey => ("a public key of minisign, RW and 54 characters more", is_minisign_key),
            Self::Capability => ("a capability, such as NET_ADMIN, or ALL", is_capability),
        }
    }

    /// Holds a text against the form.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let (expected, is_right) = self.row();
        if is_right(text) { Ok(()) } else { Err(expected) }
    }

    /// The JSON schema of such texts.
    pub fn schema(self) -> serde_json::Value {
        serde_json::json!({ "type": "string", "format": self })
    }
}

fn is_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

fn is_passwd_field(text: &str) -> bool {
    is_line(text) && !text.contains(':')
}

fn are_arguments(text: &str) -> bool {
    is_line(text) && text.len() <= limits::KERNEL_ARGUMENTS
}

/// Letters and digits, and of others only these; the first is none of the others.
fn is_word(text: &str, others: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// What useradd(8) recommends. A first digit would be taken for a number.
fn is_user_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
}

fn is_absolute_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(is_context_path) && !text.contains(':')
}

fn is_context_path(text: &str) -> bool {
    is_line(text) && text.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

fn is_mode(text: &str) -> bool {
    (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
}

fn is_owner(text: &str) -> bool {
    let is_id = |text: &str| is_user_name(text) || text.parse::<u32>().is_ok();
    match text.split_once(':') {
        Some((user, group)) => is_id(user) && is_id(group),
        None => is_id(text),
    }
}

/// The methods of crypt(5) that are not broken.
fn is_password_hash(text: &str) -> bool {
    let is_known =
        ["$y$", "$gy$", "$7$", "$6$", "$5$", "$2b$", "$2y$", "$2a$"].iter().any(|id| text.starts_with(id));
    is_known
        && text.matches('$').count() >= 3
        && text.chars().all(|c| c.is_ascii_graphic() && !":;*!\\".contains(c))
}

/// Rounds, salt and hash, as GRUB's `password_pbkdf2` reads them.
fn is_grub_password_hash(text: &str) -> bool {
    let Some(parts) = text.strip_prefix("grub.pbkdf2.sha512.") else { return false };
    let is_hex = |text: &str| {
        !text.is_empty()
            && text.len().is_multiple_of(2)
            && text.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    match parts.split('.').collect::<Vec<_>>()[..] {
        [rounds, salt, hash] => {
            rounds.parse::<u32>().is_ok_and(|rounds| rounds > 0)
                && is_hex(salt)
                && is_hex(hash)
                && text.len() <= limits::PATH
        }
        _ => false,
    }
}

/// A line of authorized_keys(5): the type is its first word, or comes after options.
fn is_ssh_key(text: &str) -> bool {
    let types = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
    let mut words = text.split_whitespace();
    is_line(text)
        && words.any(|word| types.iter().any(|kind| word.starts_with(kind)))
        && words.next().is_some_and(|key| key.starts_with("AAAA"))
}

/// A unit's name may have an instance, `getty@tty1.service`, and escapes.
fn is_service(text: &str) -> bool {
    is_word(text, "-_.@:\\") && text.len() <= 255
}

fn is_time_zone(text: &str) -> bool {
    text.split('/').all(|part| is_word(part, "-_+"))
}

/// What apt and apk accept as a name, with a version; nothing a shell or an option parser would take for
/// something else.
fn is_package(text: &str) -> bool {
    is_word(text, "+-.:=~_")
}

/// What a reference to an image consists of; whether there is such an image is the engine's to know.
fn is_image(text: &str) -> bool {
    is_word(text, "+-._:/@")
}

/// A URL that stands for a host. Logins have no place in a build argument or in a file of the sources; all else
/// that is left out has a meaning for sed.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c))
    })
}

/// Labels by RFC 1123, and Linux's limit of 64 bytes for the whole (`HOST_NAME_MAX`).
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| label.len() <= 63 && is_word(label, "-") && !label.ends_with('-');
    text.len() <= 64 && text.split('.').all(is_label)
}

/// Labels like those of host names, and DNS's limit for the whole.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| label.len() <= 63 && is_word(label, "-_") && !label.ends_with('-');
    text.len() <= 253 && text.split('.').all(is_label)
}

/// What needs no quotes in the files of any manager; the kernel's limit is `IFNAMSIZ`.
fn is_interface(text: &str) -> bool {
    text.len() <= 15 && is_word(text, "-_.") && text != "all" && text != "default"
}

/// What a shell, systemd and netplan all take for the same pattern.
fn is_pattern(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.*?[]".contains(c);
    let open = text.split(['[', ']']).count();
    let closed =
        text.split('[').skip(1).all(|class| class.split_once(']').is_some_and(|(set, _)| !set.is_empty()));
    is_interface(text)
        || text.contains(['*', '?', '['])
            && text.len() <= limits::NAME
            && !text.starts_with(['-', '.'])
            && text.chars().all(is_plain)
            && open % 2 == 1
            && closed
}

fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '\0'])
}

fn is_parsed<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

fn is_partition_source(text: &str) -> bool {
    if text.starts_with('/') { is_plain_path(text) } else { is_context_path(text) }
}

/// What needs no quotes in fstab, in units and in scripts, and leads nowhere else.
fn is_plain_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut names = text.split('/');
    let are_plain = names.next() == Some("")
        && names.clone().next().is_some()
        && names.all(|name| !matches!(name, "" | "." | "..") && name.bytes().all(is_plain));
    (text == "/" || are_plain) && text.len() <= limits::PATH
}

/// What `IMAGE_ID` and `IMAGE_VERSION` of os-release(5) may be.
fn is_image_id(text: &str) -> bool {
    is_word(text, "-_.") && !text.contains(|c: char| c.is_ascii_uppercase()) && text.len() <= limits::NAME
}

/// A value in a file of RAUC's, which takes off blanks.
fn is_compatible(text: &str) -> bool {
    is_line(text) && !text.is_empty() && text.trim() == text && text.len() <= limits::NAME
}

/// What registries call images has no scheme but those that say that it is one, over TLS or without.
fn is_update_source(text: &str) -> bool {
    let stripped = ["docker://", "docker+http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let reference = stripped.unwrap_or(text);
    is_url(text) || is_image(reference) && !reference.contains("//")
}

/// The letters of the algorithm, the number of the key and the key: 2, 8 and 32 bytes
/// (<https://jedisct1.github.io/minisign/>, "Public key format").
fn is_minisign_key(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok_and(|key| key.len() == 42 && key.starts_with(b"Ed"))
}

/// Which there are, the kernel knows.
fn is_capability(text: &str) -> bool {
    is_word(text, "_") && !text.contains(|c: char| c.is_ascii_lowercase()) && text.len() <= limits::NAME
}

/// The fourth field of fstab(5); a comment would begin with `#`.
fn are_mount_options(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() && !"#\\\"'".contains(c)) && text.len() <= limits::PATH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_right_and_wrong_texts() {
        for (format, right, wrong) in [
            (
                TextFormat::UserName,
                &["ada", "_apt", "www-data"][..],
                &["", "Ada", "0ada", "a:b", "a\nb", "-a", "a b"][..],
            ),
            (TextFormat::PasswdField, &["", "Ada Lovelace,,,"], &["a:b", "a\nb"]),
            (
                TextFormat::AbsolutePath,
                &["/etc/motd"],
                &["etc", "/", "/etc/../x", "//x", "/a\nb", "/a:b", "/etc/"],
            ),
            (TextFormat::ContextPath, &["a", "files/motd"], &["", "/etc", "../x", "a//b", "./a"]),
            (TextFormat::FileMode, &["0644", "755", "4755"], &["", "888", "0o644", "07777", "rw"]),
            (TextFormat::Owner, &["ada", "0", "ada:1000", "1:2"], &["", ":", "a:", "a:b:c", "-1"]),
            (
                TextFormat::PasswordHash,
                &["$6$salt$hash", "$y$j9T$salt$hash"],
                &["", "hunter2", "$1$salt$hash", "$6$", "$6$a:b$c", "$6$a$b\n", "!$6$a$b"],
            ),
            (
                TextFormat::GrubPasswordHash,
                &["grub.pbkdf2.sha512.10000.AB01.cd"],
                &[
                    "",
                    "hunter2",
                    "grub.pbkdf2.sha512.0.AB.CD",
                    "grub.pbkdf2.sha512.1.AB",
                    "grub.pbkdf2.sha512.1.AB.CDE",
                    "grub.pbkdf2.sha512.1.AB.",
                    "grub.pbkdf2.sha512.1.AB.C;",
                ],
            ),
            (
                TextFormat::SshKey,
                &["ssh-ed25519 AAAAC3 me", "no-pty ssh-rsa AAAAB3", "sk-ssh-ed25519@openssh.com AAAAG"],
                &["", "ssh-ed25519", "AAAAC3", "ssh-rsa AAAA\nssh-rsa AAAA", "ssh-rsa BBBB"],
            ),
            (TextFormat::SecretId, &["root.password-1"], &["", "../x", "a/b", "a,b"]),
            (TextFormat::RepositoryName, &["company-1"], &["", "a.b", "a/b", "-a"]),
            (TextFormat::ServiceName, &["nginx", "getty@tty1.service"], &["", "../x", "a/b", "a b"]),
            (
                TextFormat::TimeZone,
                &["UTC", "Europe/Berlin", "Etc/GMT+1"],
                &["", "../etc", "Europe/", "/Europe"],
            ),
            (TextFormat::Locale, &["C.UTF-8", "de_DE.UTF-8@euro"], &["", "a b", "../de"]),
            (TextFormat::KernelModule, &["nbd", "nf_nat"], &["", "a b", "a/b", "-r"]),
            (
                TextFormat::Proxy,
                &["http://proxy.example:3128"],
                &["proxy.example:3128", "http://me:pass@proxy.example", "socks5://a"],
            ),
            (
                TextFormat::Package,
                &["nginx", "linux-image-amd64=6.1", "libc6:i386"],
                &["", "-y", "$(x)", "a b"],
            ),
            (TextFormat::Image, &["debian:12", "host:5000/kernel@sha256:00"], &["", "-v", "a b", "$(x)"]),
            (
                TextFormat::Mirror,
                &["http://a", "https://a.example/deb", "http://[::1]:80/x", "http://10.0.0.1:3142"],
                &[
                    "",
                    "mirror.example",
                    "ftp://a",
                    "http://",
                    "http:///a",
                    "http://a b",
                    "http://a#b",
                    "http://a&b",
                    "http://user:password@a",
                ],
            ),
            (
                TextFormat::Hostname,
                &["web-1.example", "a", &"a.".repeat(31)[..61]],
                &[
                    "",
                    "-a",
                    "a-",
                    "a b",
                    "a..b",
                    ".a",
                    "über",
                    "a\nb",
                    &"a".repeat(64),
                    &"a.".repeat(33)[..65],
                ],
            ),
            (TextFormat::Domain, &["corp.example", "local"], &["", ".", "a..b", "a b", "-a", "a\n"]),
            (TextFormat::IpAddress, &["1.1.1.1", "fd00::5"], &["", "1.1.1", "one", "1.1.1.1/8"]),
            (TextFormat::Prefix, &["10.0.2.50/24", "fd00::5/64"], &["", "10.0.2.50", "10.0.2.50/33"]),
            (TextFormat::MacAddress, &["52:54:00:12:34:57"], &["", "52:54:00", "ff:ff:ff:ff:ff:ff"]),
            (
                TextFormat::InterfaceName,
                &["eth0", "eth0.5", "a23456789012345"],
                &["", "en*", "a/b", "a b", "a234567890123456", "all", ".."],
            ),
            (
                TextFormat::InterfacePattern,
                &["eth0", "en*", "e?h[0-9]", "*"],
                &["", "a/*", "a b*", "[", "[]", "a]*", "-*", "*\n", "$(x)*"],
            ),
            (TextFormat::InterfaceId, &["eth0", "52:54:00:12:34:57"], &["", "a/b", "52:54:00:12:34:5x"]),
            (TextFormat::HostAddress, &["db:10.0.0.5", "db=fd00::5"], &["", "db", "a b:10.0.0.5"]),
            (
                TextFormat::KernelArguments,
                &["", "quiet a=b", &"a".repeat(limits::KERNEL_ARGUMENTS)],
                &["quiet\n}", &"a".repeat(limits::KERNEL_ARGUMENTS + 1)],
            ),
            (TextFormat::FileName, &["web", "..a"], &["", ".", "..", "../web", "a\0"]),
            (TextFormat::Size, &["10G", "512MiB"], &["", "big", "0", "1.5G"]),
            (TextFormat::Uuid, &["01234567-89ab-4def-8123-456789abcdef"], &["", "0123"]),
            (
                TextFormat::PartitionType,
                &["srv", "swap", "root-arm64", "01234567-89ab-4def-8123-456789abcdef"],
                &["", "server", "ESP"],
            ),
            (TextFormat::PartitionLabel, &["data", "a-b_c.1"], &["", "a b", "-a", "a/b", "ä"]),
            (
                TextFormat::PlainPath,
                &["/", "/srv", "/srv/log-1.d"],
                &["", "srv", "/srv/", "//", "/a/../b", "/a b", "/a'b", "/a\nb"],
            ),
            (
                TextFormat::MountOptions,
                &["", "noatime,umask=0077", "x-systemd.device-timeout=10s"],
                &["a b", "a#b", "a\nb", "a\\040b", "a'b"],
            ),
            (
                TextFormat::ImageId,
                &["kiosk", "1.4.0", "2026-11-30_2"],
                &["", "Kiosk", "1 4", "1+2", "-a", "a\nb"],
            ),
            (TextFormat::Compatible, &["acme kiosk-2", "Kiosk"], &["", " a", "a\nb"]),
            (
                TextFormat::UpdateSource,
                &[
                    "https://a.example/kiosk/",
                    "http://10.0.2.2:8000",
                    "a.example/kiosk:stable",
                    "docker+http://a:5000/b",
                ],
                &[
                    "",
                    "/srv/update",
                    "ftp://a",
                    "docker://",
                    "https://me:x@a",
                    "docker://https://a",
                    "a b",
                    "-",
                ],
            ),
            (TextFormat::Capability, &["NET_ADMIN", "CAP_BPF", "ALL"], &["", "net_admin", "-A", "A B"]),
            (TextFormat::Interval, &["6h", "10s"], &["", "6", "1w", "5s"]),
            (TextFormat::Window, &["02:00-04:00", "23:00-01:00"], &["", "2-4", "02:00-02:00"]),
            (
                TextFormat::MinisignKey,
                &["RWQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV"],
                &[
                    "",
                    "RWQ",
                    "RUQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV",
                    "RWQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV\n",
                ],
            ),
        ] {
            for text in right {
                assert_eq!(format.check(text), Ok(()), "{format:?}: {text}");
            }
            for text in wrong {
                assert!(format.check(text).is_err(), "{format:?}: {text:?}");
            }
        }
    }
}
