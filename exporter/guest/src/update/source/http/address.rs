//! Addresses of HTTP and HTTPS, and whom one talks to there.

use std::fmt;

use ureq::http::Uri;

/// An absolute address, without a login in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    origin: Origin,
}

/// Whom one talks to: another port is another server, and so is the same one without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_https: bool,
    /// In lower case; of IPv6 in brackets.
    host: String,
    port: u16,
}

impl Address {
    /// `None` for anything but an absolute address of HTTP or HTTPS.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.split('#').next()?;
        let uri: Uri = text.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            scheme if scheme.eq_ignore_ascii_case("https") => true,
            scheme if scheme.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let usual_port = if is_https { 443 } else { 80 };
        // `Authority::port` takes what is no number for none at all.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" | ":" => usual_port,
            port => port.strip_prefix(':').filter(|port| !port.starts_with('+'))?.parse().ok()?,
        };
        let origin = Origin { is_https, host: authority.host().to_ascii_lowercase(), port };
        Some(Self { text: text.to_owned(), origin })
    }

    /// A folder with files below it: it ends in a slash, and asks nothing.
    pub(crate) fn folder(text: &str) -> Option<Self> {
        let address = Self::parse(text).filter(|address| !address.text.contains('?'))?;
        match address.text.ends_with('/') {
            true => Some(address),
            false => Self::parse(&format!("{}/", address.text)),
        }
    }

    /// The file of that name in this folder.
    pub(crate) fn file(&self, name: &str) -> Self {
        Self { text: format!("{}{}", self.text, encoded(name)), origin: self.origin.clone() }
    }

    /// The same with another value in its query.
    pub(crate) fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.text.contains('?') { '&' } else { '?' };
        Self { text: format!("{}{separator}{name}={}", self.text, encoded(value)), ..self.clone() }
    }

    /// The one that is meant by `location` in an answer from here (RFC 3986, section 4.2).
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme = self.text.find("://")?;
        let authority = self.text.get(scheme + 3..)?;
        let path = scheme + 3 + authority.find(['/', '?']).unwrap_or(authority.len());
        let query = self.text.find('?').unwrap_or(self.text.len());
        let folder = self.text.get(path..query)?.rfind('/').map_or(path, |slash| path + slash);
        let has_scheme = location.split(['/', '?', '#']).next()?.contains(':');
        let end = match location {
            _ if has_scheme => return Self::parse(location),
            location if location.starts_with("//") => scheme + 1,
            location if location.starts_with('/') => path,
            location if location.starts_with('?') => query,
            _ => return Self::parse(&format!("{}/{location}", self.text.get(..folder)?)),
        };
        Self::parse(&format!("{}{location}", self.text.get(..end)?))
    }

    /// As requests take it. One that was sent on to may be signed, so it is not shown.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether one who is sent there from `self` could be read by others from then on.
    pub(crate) fn gives_up_tls_at(&self, next: &Self) -> bool {
        self.is_https && !next.is_https
    }

    /// Whether what proves who asks may be told there: over TLS, or within this machine.
    pub(crate) fn may_know_login(&self) -> bool {
        self.is_https || is_loopback(&self.host)
    }
}

impl fmt::Display for Origin {
    /// The host, with the port where it is not the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// Whether `host`, with or without a port, is this machine, whatever a name server says.
pub(crate) fn is_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default().parse::<std::net::Ipv6Addr>();
        return address.is_ok_and(|address| address.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// A part of a path, or a value of a query (RFC 3986, section 2.1).
fn encoded(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        let own = address("https://a.example/v2/").origin;
        for same in ["https://A.example:443/x?y", "HTTPS://a.example", "https://a.example?sig=1"] {
            assert_eq!(address(same).origin, own, "{same}");
        }
        for other in
            ["https://a.example:8443/", "http://a.example/", "http://a.example:443/", "https://b.a.example/"]
        {
            assert_ne!(address(other).origin, own, "{other}");
        }
        assert_eq!(address("http://[::1]:5000/").origin.to_string(), "[::1]:5000");
        assert_eq!(own.to_string(), "a.example");
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in ["", "/v2/", "a.example/", "ftp://a.example/", "https://", "https:///v2/", "http://a b/"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        for text in ["https://me:secret@a.example/", "https://a:99999/", "https://a:+443/", "https://[::1]a/"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn files_lie_below_their_folder() {
        for folder in ["http://10.0.2.2:8000/", "http://10.0.2.2:8000"] {
            let file = Address::folder(folder).unwrap().file("kiosk_1.4.0+b ~1.root.zst");
            assert_eq!(file.as_str(), "http://10.0.2.2:8000/kiosk_1.4.0%2Bb%20~1.root.zst");
        }
        let folder = Address::folder("https://a.example/kiosk#top").unwrap();
        assert_eq!(folder.file("../x").as_str(), "https://a.example/kiosk/..%2Fx");
        assert_eq!(Address::folder("https://a.example/kiosk?signed=1"), None);
    }

    #[test]
    fn a_location_is_meant_from_where_it_was_given() {
        let here = address("https://a.example:5000/v2/app/blobs/x?y=/z");
        for (location, meant) in [
            ("http://b/c", "http://b/c"),
            ("//b/c", "https://b/c"),
            ("/c?d=http://e", "https://a.example:5000/c?d=http://e"),
            ("c", "https://a.example:5000/v2/app/blobs/c"),
            ("?c", "https://a.example:5000/v2/app/blobs/x?c"),
        ] {
            assert_eq!(here.join(location).unwrap().as_str(), meant, "{location}");
        }
        assert_eq!(address("https://a").join("c").unwrap().as_str(), "https://a/c");
        for wrong in ["nowhere://there/", "javascript:0", "//me@b/", "http://a b/"] {
            assert_eq!(here.join(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_login_goes_over_tls_or_stays_on_this_machine() {
        for may in ["https://a.example", "http://127.0.0.1:5000", "http://localhost", "http://[::1]:1/x"] {
            assert!(address(may).origin.may_know_login(), "{may}");
        }
        for may_not in
            ["http://a.example", "http://localhost.a.example", "http://[::2]/", "http://127.0.0.1.a/"]
        {
            assert!(!address(may_not).origin.may_know_login(), "{may_not}");
        }
    }

    #[test]
    fn a_query_is_added_to() {
        let token = address("https://a/token?x=1#f").with_query("scope", "repository:t/a:pull &");
        assert_eq!(token.as_str(), "https://a/token?x=1&scope=repository%3At%2Fa%3Apull%20%26");
    }
}
