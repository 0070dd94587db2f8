//! The name of an image in a registry: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! Grammar and short names are those of
//! [distribution/reference](https://github.com/distribution/reference/blob/v0.6.0/reference.go), which docker,
//! podman and skopeo share. `oci_spec::distribution::Reference` is the same but for two kinds of hosts, which
//! are the reason for this file: addresses of IPv6, and names in upper case without a dot.

use std::fmt;
use std::str::FromStr;

/// Where short names come from.
const DEFAULT_HOST: &str = "docker.io";
/// What `docker.io` was called before.
const LEGACY_DEFAULT_HOST: &str = "index.docker.io";
/// Where names of one component lie on `docker.io`.
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// The longest path (`RepositoryNameTotalLengthMax`).
const PATH_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// The name of an image, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The registry, with its port if one was given.
    pub(crate) host: String,
    /// The repository in it.
    pub(crate) path: String,
    /// Always there, unless a digest is.
    pub(crate) tag: Option<String>,
    /// `sha256:` and 64 digits. Beside a tag, the digest says which image it is.
    pub(crate) digest: Option<String>,
}

impl Reference {
    /// What a registry is asked for: the digest, or else the tag.
    pub(crate) fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or(DEFAULT_TAG)
    }

    /// Whether both are versions of the same image.
    pub(crate) fn is_of_repository(&self, other: &Self) -> bool {
        (&self.host, &self.path) == (&other.host, &other.path)
    }

    /// As users write it: without what short names leave out, and without the digest.
    pub(crate) fn short_name(&self) -> String {
        let official = self.path.strip_prefix(OFFICIAL).filter(|name| !name.contains('/'));
        let name = match &*self.host {
            DEFAULT_HOST => official.unwrap_or(&self.path).to_owned(),
            host => format!("{host}/{}", self.path),
        };
        match &self.tag {
            Some(tag) => format!("{name}:{tag}"),
            None => name,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = String;

    /// # Errors
    /// What is wrong, to be printed after the name.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(checked_digest(digest)?)),
            None => (text, None),
        };
        // A colon before the last slash is one of the host.
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last..].split_once(':') {
            Some((path, tag)) => (&name[..last + path.len()], Some(checked_tag(tag)?)),
            None => (name, None),
        };
        let (host, path) = split_host(name);
        check_host(host)?;
        check_path(&path)?;
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self { host: host.to_owned(), path, tag, digest })
    }
}

/// The host, if there is one, and the path with what short names leave out.
fn split_host(name: &str) -> (&str, String) {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        _ => (DEFAULT_HOST, name),
    };
    match host {
        DEFAULT_HOST | LEGACY_DEFAULT_HOST if !path.contains('/') => {
            (DEFAULT_HOST, format!("{OFFICIAL}{path}"))
        }
        LEGACY_DEFAULT_HOST => (DEFAULT_HOST, path.to_owned()),
        host => (host, path.to_owned()),
    }
}

/// The first component of a name is a host if it cannot be one of a path.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("the address of the host has no ]")?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("[{address}] is no address of IPv6"));
            }
            (None, after.strip_prefix(':').or((!after.is_empty()).then_some("")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.is_some_and(|name| !name.split('.').all(is_label)) {
        return Err(format!("{host} is no name of a host"));
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        // `parse` alone would take a sign.
        Some(Ok(_)) if port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) => Ok(()),
        _ => Err(format!("{host} does not end in a port")),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_MAX {
        return Err(format!("the name has {} characters, {PATH_MAX} are allowed", path.len()));
    }
    match path.split('/').find(|component| !is_component(component)) {
        None => Ok(()),
        Some("") => Err("a part of the name is empty".to_owned()),
        Some(part) if part.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Err(format!("{part:?} has upper-case letters, which names of images have not"))
        }
        Some(part) => Err(format!("{part:?} cannot be a part of the name of an image")),
    }
}

/// Lower-case letters and digits, with one `.`, one or two `_`, or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let separators = bytes.split(|&byte| is_word(byte)).filter(|separator| !separator.is_empty());
    let is_separator = |separator: &[u8]| {
        matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&byte| byte == b'-')
    };
    ends.iter().all(|end| end.is_some_and(|&byte| is_word(byte))) && separators.into_iter().all(is_separator)
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
        && tag.bytes().next().is_some_and(is_word)
        && tag.len() <= TAG_MAX;
    is_tag.then(|| tag.to_owned()).ok_or_else(|| format!("{tag:?} is no tag"))
}

/// Of all digests that registries know, sha256 is the one that layers are checked against.
fn checked_digest(digest: &str) -> Result<String, String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_digit) => Ok(digest.to_owned()),
        Some(_) => Err("the digest is not 64 hexadecimal digits in lower case".to_owned()),
        None => Err(format!("the digest {digest:?} is not one of sha256")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_mean_what_docker_takes_them_for() {
        for (text, host, path, tag) in [
            ("debian", "docker.io", "library/debian", "latest"),
            ("debian:12", "docker.io", "library/debian", "12"),
            ("team/app", "docker.io", "team/app", "latest"),
            ("docker.io/debian", "docker.io", "library/debian", "latest"),
            ("index.docker.io/debian", "docker.io", "library/debian", "latest"),
            ("index.docker.io/team/app:v1", "docker.io", "team/app", "v1"),
            ("localhost/app", "localhost", "app", "latest"),
            ("localhost:5000/app", "localhost:5000", "app", "latest"),
            // Without a slash a port is a tag, and a host a repository.
            ("localhost:5000", "docker.io", "library/localhost", "5000"),
            ("test.com:tag", "docker.io", "library/test.com", "tag"),
            ("host:5000/team/app:tag", "host:5000", "team/app", "tag"),
            ("host/team/app", "docker.io", "host/team/app", "latest"),
            ("HOST/app", "HOST", "app", "latest"),
            ("Registry.Example/app:V1", "Registry.Example", "app", "V1"),
            (
                "sub-dom1.foo.com/bar/baz/quux:some-long-tag",
                "sub-dom1.foo.com",
                "bar/baz/quux",
                "some-long-tag",
            ),
            ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com"),
            ("[::1]:5000/app", "[::1]:5000", "app", "latest"),
            ("[2001:db8::1]/team/app:1", "[2001:db8::1]", "team/app", "1"),
            ("192.168.0.1:5000/a", "192.168.0.1:5000", "a", "latest"),
            ("a.b/c__d.e-f--g/h:_x", "a.b", "c__d.e-f--g/h", "_x"),
            ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080"),
        ] {
            let parsed: Reference = text.parse().unwrap();
            let expected = (host, path, Some(tag), None);
            assert_eq!(
                (&*parsed.host, &*parsed.path, parsed.tag.as_deref(), parsed.digest.as_deref()),
                expected
            );
            assert_eq!(parsed.to_string(), format!("{host}/{path}:{tag}"));
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "the full name means the same");
        }
    }

    #[test]
    fn a_short_name_is_what_users_write() {
        for (text, short) in [
            ("docker.io/library/debian:12", "debian:12"),
            ("index.docker.io/team/app:1", "team/app:1"),
            ("host:5000/app:1", "host:5000/app:1"),
            ("host:5000/library/app:1", "host:5000/library/app:1"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
        ] {
            let digest = format!("{text}@{DIGEST}");
            for text in [text, &digest] {
                let parsed: Reference = text.parse().unwrap();
                assert_eq!(parsed.short_name(), short);
                let untagged: Reference = Reference { digest: None, ..parsed.clone() };
                assert_eq!(short.parse(), Ok(untagged), "it means the same image");
            }
        }
    }

    #[test]
    fn versions_of_an_image_are_of_one_repository() {
        let is_one = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.parse::<Reference>().unwrap());
            a.is_of_repository(&b)
        };
        for other in ["a/b:1", "docker.io/a/b", "index.docker.io/a/b:2", &format!("a/b:1@{DIGEST}")] {
            assert!(is_one("a/b", other), "{other}");
        }
        for other in ["a/c", "host:5000/a/b", "b"] {
            assert!(!is_one("a/b", other), "{other}");
        }
    }

    #[test]
    fn a_digest_takes_the_place_of_the_tag() {
        for (text, tag) in [("host:5000/team/app", None), ("host:5000/team/app:v1", Some("v1"))] {
            let text = format!("{text}@{DIGEST}");
            let parsed: Reference = text.parse().unwrap();
            assert_eq!((parsed.tag.as_deref(), parsed.digest.as_deref()), (tag, Some(DIGEST)));
            assert_eq!(parsed.version(), DIGEST);
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!("app:v1".parse::<Reference>().unwrap().version(), "v1");
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let long_tag = format!("app:{}", "t".repeat(129));
        let long_path = format!("a.b/{}", "p".repeat(256));
        for text in [
            "",
            ":tag",
            "/app",
            "app/",
            "a//b",
            "team/App",
            "App",
            "app:",
            "app:a b",
            "app:-x",
            &long_tag,
            &long_path,
            "-app",
            "app-",
            "a..b",
            "a___b",
            "a_.b",
            "host:port/app",
            "host:/app",
            "host:+1/app",
            "host:70000/app",
            "-host.com/app",
            "a..com/app",
            "ho_st.com/app",
            "[::1/app",
            "[::1]5000/app",
            "[::g]/app",
            "::1/app",
            "app@",
            "app@sha256:12",
            "app@md5:e3b0c44298fc1c149afbf4c8996fb924",
            "https://host/app",
            "app@sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert_eq!(
            "team/App".parse::<Reference>(),
            Err("\"App\" has upper-case letters, which names of images have not".into())
        );
    }
}
