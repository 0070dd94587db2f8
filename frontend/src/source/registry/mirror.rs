//! `--registry-mirror HOST=URL`: another place to ask for the images of a registry.

use std::fmt;
use std::str::FromStr;

/// A registry that has the images of another one, under the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Whose images it has.
    of: String,
    /// `http` or `https`.
    pub(super) scheme: String,
    /// Its host, with its port if it has one.
    pub(super) host: String,
    /// What comes before the names of images there: nothing, or `some/folder/`.
    pub(super) prefix: String,
}

impl Mirror {
    /// Whether images of this registry may be there.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.of.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.host, self.prefix)
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it as HOST=URL, such as docker.io=https://mirror.example:5000".to_owned();
        let (of, url) = text.split_once('=').filter(|(of, _)| !of.is_empty()).ok_or_else(wrong)?;
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (host, folder) = rest.split_once('/').unwrap_or((rest, ""));
        if !["http", "https"].contains(&scheme) || host.is_empty() {
            return Err(wrong());
        }
        if host.contains('@') {
            return Err("a login belongs into the files of docker login, not into a URL".to_owned());
        }
        let folder = folder.trim_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let [of, scheme, host] = [of, scheme, host].map(str::to_owned);
        Ok(Self { of, scheme, host, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_host_and_a_url() {
        let mirror: Mirror = "docker.io=https://mirror.example:5000/hub/".parse().unwrap();
        assert!(mirror.is_for("docker.io") && !mirror.is_for("quay.io"));
        assert_eq!(mirror.to_string(), "https://mirror.example:5000/hub/");
        assert_eq!("a=http://[::1]:5000".parse::<Mirror>().unwrap().to_string(), "http://[::1]:5000/");
        for text in
            ["", "docker.io", "=https://a", "docker.io=mirror", "docker.io=ftp://a", "docker.io=https://"]
        {
            assert!(text.parse::<Mirror>().unwrap_err().starts_with("write it as"), "{text}");
        }
        assert!(!"a=https://me:secret@b".parse::<Mirror>().unwrap_err().contains("secret"));
    }
}
