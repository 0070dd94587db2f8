//! The name of an update in a registry: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by the rules that docker and podman share
//! ([distribution/reference](https://github.com/distribution/reference/blob/v0.6.0/reference.go)).

use std::fmt;
use std::str::FromStr;

use super::super::http::is_loopback;

/// Where short names come from, and what was its name before.
const HUB: &str = "docker.io";
const OLD_HUB: &str = "index.docker.io";
/// What answers there.
const HUB_SERVER: &str = "registry-1.docker.io";
const DEFAULT_TAG: &str = "latest";
/// `RepositoryNameTotalLengthMax`, and the longest tag.
const PATH_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// What a reference may begin with: the second is for registries without TLS that are not in this machine.
const SCHEMES: [(&str, bool); 2] = [("docker://", false), ("docker+http://", true)];

/// The name of an update, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The registry, with its port if one was given.
    pub(super) host: String,
    /// The repository in it.
    pub(super) path: String,
    tag: String,
    /// `sha256:` and 64 digits. Beside a tag, the digest says which one it is.
    pub(super) digest: Option<String>,
    is_plain: bool,
}

impl Reference {
    /// What a registry is asked for: the digest, or else the tag.
    pub(super) fn version(&self) -> &str {
        self.digest.as_deref().unwrap_or(&self.tag)
    }

    /// The address of all that is in the repository.
    pub(super) fn repository(&self) -> String {
        let server = if self.host == HUB { HUB_SERVER } else { &self.host };
        let scheme = if self.is_plain { "http" } else { "https" };
        format!("{scheme}://{server}/v2/{}/", self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => write!(f, ":{}", self.tag),
        }
    }
}

impl FromStr for Reference {
    type Err = String;

    /// # Errors
    /// What is wrong, to be printed after the name.
    fn from_str(text: &str) -> Result<Self, String> {
        let with_scheme =
            SCHEMES.iter().find_map(|(scheme, is_plain)| Some((text.strip_prefix(scheme)?, *is_plain)));
        let (text, is_asked_plain) = with_scheme.unwrap_or((text, false));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(checked_digest(digest)?)),
            None => (text, None),
        };
        // A colon before the last slash is one of the host.
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last..].split_once(':') {
            Some((path, tag)) => (&name[..last + path.len()], checked_tag(tag)?),
            None => (name, DEFAULT_TAG.to_owned()),
        };
        let (host, path) = split_host(name);
        check_host(host)?;
        check_path(&path)?;
        let is_plain = is_asked_plain || is_loopback(host);
        Ok(Self { host: host.to_owned(), path, tag, digest, is_plain })
    }
}

/// The host, if there is one, and the path with what short names leave out.
fn split_host(name: &str) -> (&str, String) {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        _ => (HUB, name),
    };
    let host = if host == OLD_HUB { HUB } else { host };
    let is_short = host == HUB && !path.contains('/');
    (host, if is_short { format!("library/{path}") } else { path.to_owned() })
}

/// The first component of a name is a host if it cannot be one of a path.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The rest is seen when it becomes part of an address.
fn check_host(host: &str) -> Result<(), String> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    match !host.is_empty() && host.bytes().all(is_fine) {
        true => Ok(()),
        false => Err(format!("{host:?} is no name of a host")),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_MAX {
        return Err(format!("the name has {} characters, {PATH_MAX} are allowed", path.len()));
    }
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().last()];
        ends.iter().all(|end| end.is_some_and(is_word))
            && part.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte))
            && !part.contains("..")
    };
    match path.split('/').find(|part| !is_part(part)) {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} cannot be a part of a name in a registry")),
    }
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
        && tag.bytes().next().is_some_and(is_word)
        && tag.len() <= TAG_MAX;
    is_tag.then(|| tag.to_owned()).ok_or_else(|| format!("{tag:?} is no tag"))
}

/// Of all digests that registries know, sha256 is the one that is checked.
pub(super) fn checked_digest(digest: &str) -> Result<String, String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_digit) => Ok(digest.to_owned()),
        _ => Err(format!("the digest {digest:?} is not sha256: and 64 digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_mean_what_docker_takes_them_for() {
        for (text, repository, version) in [
            ("kiosk", "https://registry-1.docker.io/v2/library/kiosk/", "latest"),
            ("team/kiosk:1.4.0", "https://registry-1.docker.io/v2/team/kiosk/", "1.4.0"),
            ("index.docker.io/team/kiosk", "https://registry-1.docker.io/v2/team/kiosk/", "latest"),
            (
                "docker://registry.example.com/kiosk:stable",
                "https://registry.example.com/v2/kiosk/",
                "stable",
            ),
            ("host:5000/a/b-c_d.e:x", "https://host:5000/v2/a/b-c_d.e/", "x"),
            // This machine needs no TLS.
            ("localhost:5000/kiosk", "http://localhost:5000/v2/kiosk/", "latest"),
            ("127.0.0.1/kiosk", "http://127.0.0.1/v2/kiosk/", "latest"),
            ("[::1]:5000/kiosk", "http://[::1]:5000/v2/kiosk/", "latest"),
            ("docker+http://10.0.2.2:5000/kiosk:a", "http://10.0.2.2:5000/v2/kiosk/", "a"),
            ("10.0.2.2:5000/kiosk:a", "https://10.0.2.2:5000/v2/kiosk/", "a"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((&*reference.repository(), reference.version()), (repository, version), "{text}");
        }
        let pinned: Reference = format!("host:5000/kiosk:1@{DIGEST}").parse().unwrap();
        assert_eq!((pinned.version(), &*pinned.to_string()), (DIGEST, &*format!("host:5000/kiosk@{DIGEST}")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("a.b/{}", "p".repeat(256));
        let long_tag = format!("kiosk:{}", "t".repeat(129));
        for text in [
            "",
            ":tag",
            "/kiosk",
            "kiosk/",
            "a//b",
            "team/Kiosk",
            "kiosk:",
            "kiosk:a b",
            "kiosk:-x",
            "a..b",
            &long,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for text in
            ["me@host/kiosk", "kiosk@sha256:12", "ho st.com/x", "http://host/kiosk", "a.b/../x", &long_tag]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
