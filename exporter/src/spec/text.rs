//! Texts with a form of their own: what is right for each, as one table.
//!
//! What comes from outside is held against it where it comes in: the words of a command, the keys of a
//! `vmimage.toml`, the files and secrets that these name.

use std::str::FromStr;

use crate::choice::by_name;
use crate::limits;

/// A form that texts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// A user or a group.
    UserName,
    /// A field of passwd(5).
    PasswdField,
    /// A place on the machine.
    AbsolutePath,
    /// A place in the build context.
    ContextPath,
    /// Permissions.
    FileMode,
    /// The owner of a file.
    Owner,
    /// A password as shadow(5) has it.
    PasswordHash,
    /// A line of authorized_keys(5).
    SshKey,
    /// A secret of the build.
    SecretId,
    /// The file of a repository of packages.
    RepositoryName,
    /// A unit of systemd or a script of OpenRC.
    ServiceName,
    /// A time zone.
    TimeZone,
    /// A locale.
    Locale,
    /// A kernel module.
    KernelModule,
    /// A proxy.
    Proxy,
    /// A package, perhaps with its version.
    Package,
    /// An image.
    Image,
    /// A mirror of a distribution.
    Mirror,
    /// The name of a machine.
    Hostname,
    /// Words of the kernel command line.
    KernelArguments,
    /// The name of a disk's files.
    FileName,
}

/// What there is to know of a form.
struct Traits {
    name: &'static str,
    expected: &'static str,
    is_right: fn(&str) -> bool,
}

impl TextFormat {
    /// Every form.
    pub const ALL: [Self; 21] = [
        Self::UserName,
        Self::PasswdField,
        Self::AbsolutePath,
        Self::ContextPath,
        Self::FileMode,
        Self::Owner,
        Self::PasswordHash,
        Self::SshKey,
        Self::SecretId,
        Self::RepositoryName,
        Self::ServiceName,
        Self::TimeZone,
        Self::Locale,
        Self::KernelModule,
        Self::Proxy,
        Self::Package,
        Self::Image,
        Self::Mirror,
        Self::Hostname,
        Self::KernelArguments,
        Self::FileName,
    ];

    fn traits(self) -> Traits {
        let form = |name, expected, is_right| Traits { name, expected, is_right };
        match self {
            Self::UserName => {
                form("user-name", "a name of lower-case letters, digits, - and _, at most 32", is_user_name)
            }
            Self::PasswdField => form("passwd-field", "a text without colons on one line", is_passwd_field),
            Self::AbsolutePath => form(
                "absolute-path",
                "a path from the root on, without . and .., such as /etc/motd",
                is_absolute_path,
            ),
            Self::ContextPath => form(
                "context-path",
                "a path in the build context, without .., such as files/motd",
                is_context_path,
            ),
            Self::FileMode => form("file-mode", "permissions in octal, such as 0644", is_mode),
            Self::Owner => form("owner", "USER or USER:GROUP, by name or number", is_owner),
            Self::PasswordHash => form(
                "password-hash",
                "a crypt(5) hash ($y$, $7$, $6$, $5$ or $2b$); a password itself is given as { secret = \"id\" }",
                is_password_hash,
            ),
            Self::SshKey => {
                form("ssh-key", "one public key, such as \"ssh-ed25519 AAAA… me@here\"", is_ssh_key)
            }
            Self::SecretId => form("secret-id", "the id of a secret: letters, digits, -, _ and .", |text| {
                is_word(text, "-_.")
            }),
            Self::RepositoryName => {
                form("repository-name", "a name of letters, digits, - and _", |text| is_word(text, "-_"))
            }
            Self::ServiceName => {
                form("service-name", "the name of a service, such as nginx or apt-daily.timer", is_service)
            }
            Self::TimeZone => {
                form("time-zone", "a name of the tz database, such as Europe/Berlin or UTC", is_time_zone)
            }
            Self::Locale => {
                form("locale", "a locale, such as de_DE.UTF-8 or C.UTF-8", |text| is_word(text, "_.@-"))
            }
            Self::KernelModule => {
                form("kernel-module", "the name of a kernel module, such as nbd", |text| is_word(text, "-_"))
            }
            Self::Proxy => form(
                "proxy",
                "the URL of a proxy, without a login, such as http://proxy.example:3128",
                is_url,
            ),
            Self::Package => form("package", "the name of a package, such as openssh-server", is_package),
            Self::Image => form("image", "a reference to an image, such as debian:12", is_image),
            Self::Mirror => {
                form("mirror", "the URL of a mirror, without a login, such as http://mirror.example", is_url)
            }
            Self::Hostname => form(
                "hostname",
                "a name of letters, digits and hyphens, at most 64, such as web-1",
                is_hostname,
            ),
            Self::KernelArguments => {
                form("kernel-arguments", "kernel arguments on one line, at most 4096 bytes", are_arguments)
            }
            Self::FileName => form("file-name", "a file name without its ending", is_file_name),
        }
    }

    /// Its name, the `format` of the JSON schema.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// Check a text against it.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let Traits { expected, is_right, .. } = self.traits();
        if is_right(text) { Ok(()) } else { Err(expected) }
    }
}

impl FromStr for TextFormat {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
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

fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_form_has_right_and_wrong_texts() {
        let mut untried: BTreeSet<_> = TextFormat::ALL.into_iter().map(TextFormat::name).collect();
        for (name, right, wrong) in [
            (
                "user-name",
                &["ada", "_apt", "www-data"][..],
                &["", "Ada", "0ada", "a:b", "a\nb", "-a", "a b"][..],
            ),
            ("passwd-field", &["", "Ada Lovelace,,,"], &["a:b", "a\nb"]),
            ("absolute-path", &["/etc/motd"], &["etc", "/", "/etc/../x", "//x", "/a\nb", "/a:b", "/etc/"]),
            ("context-path", &["a", "files/motd"], &["", "/etc", "../x", "a//b", "./a"]),
            ("file-mode", &["0644", "755", "4755"], &["", "888", "0o644", "07777", "rw"]),
            ("owner", &["ada", "0", "ada:1000", "1:2"], &["", ":", "a:", "a:b:c", "-1"]),
            (
                "password-hash",
                &["$6$salt$hash", "$y$j9T$salt$hash"],
                &["", "hunter2", "$1$salt$hash", "$6$", "$6$a:b$c", "$6$a$b\n", "!$6$a$b"],
            ),
            (
                "ssh-key",
                &["ssh-ed25519 AAAAC3 me", "no-pty ssh-rsa AAAAB3", "sk-ssh-ed25519@openssh.com AAAAG"],
                &["", "ssh-ed25519", "AAAAC3", "ssh-rsa AAAA\nssh-rsa AAAA", "ssh-rsa BBBB"],
            ),
            ("secret-id", &["root.password-1"], &["", "../x", "a/b", "a,b"]),
            ("repository-name", &["company-1"], &["", "a.b", "a/b", "-a"]),
            ("service-name", &["nginx", "getty@tty1.service"], &["", "../x", "a/b", "a b"]),
            ("time-zone", &["UTC", "Europe/Berlin", "Etc/GMT+1"], &["", "../etc", "Europe/", "/Europe"]),
            ("locale", &["C.UTF-8", "de_DE.UTF-8@euro"], &["", "a b", "../de"]),
            ("kernel-module", &["nbd", "nf_nat"], &["", "a b", "a/b", "-r"]),
            (
                "proxy",
                &["http://proxy.example:3128"],
                &["proxy.example:3128", "http://me:pass@proxy.example", "socks5://a"],
            ),
            ("package", &["nginx", "linux-image-amd64=6.1", "libc6:i386"], &["", "-y", "$(x)", "a b"]),
            ("image", &["debian:12", "host:5000/kernel@sha256:00"], &["", "-v", "a b", "$(x)"]),
            (
                "mirror",
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
                "hostname",
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
            (
                "kernel-arguments",
                &["", "quiet a=b", &"a".repeat(limits::KERNEL_ARGUMENTS)],
                &["quiet\n}", &"a".repeat(limits::KERNEL_ARGUMENTS + 1)],
            ),
            ("file-name", &["web", "..a"], &["", ".", "..", "../web", "a\0"]),
        ] {
            let format: TextFormat = name.parse().unwrap();
            assert!(untried.remove(name), "{name} is tried twice");
            for text in right {
                assert_eq!(format.check(text), Ok(()), "{name}: {text}");
            }
            for text in wrong {
                assert!(format.check(text).is_err(), "{name}: {text:?}");
            }
        }
        assert!(untried.is_empty(), "{untried:?}");
    }

    #[test]
    fn a_form_that_is_not_known_allows_nothing() {
        let said = "hostnam".parse::<TextFormat>().unwrap_err();
        assert!(said.starts_with("one of user-name, passwd-field, "), "{said}");
    }
}
