//! Addresses that a registry gives in its answers, and whom a login may be told there.

use std::fmt;

use http::Uri;

use crate::source::loopback;

/// An absolute address, without a login in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    text: String,
    origin: Origin,
}

/// Whom one talks to: another port is another server, and so is the same one without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    is_https: bool,
    /// In lower case; of IPv6 in brackets.
    host: String,
    port: u16,
}

impl Address {
    /// `None` for anything but an absolute address of HTTP or HTTPS.
    pub(super) fn parse(text: &str) -> Option<Self> {
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

    /// The one that is meant by `location` in an answer from here (RFC 3986, section 4.2).
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme_len = self.text.find("://")?;
        let authority = self.text.get(scheme_len + 3..)?;
        let path = scheme_len + 3 + authority.find(['/', '?']).unwrap_or(authority.len());
        let end = self.text.find('?').unwrap_or(self.text.len());
        let folder = self.text.get(path..end)?.rfind('/').map_or(path, |slash| path + slash);
        let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
        match location {
            location if has_scheme => Self::parse(location),
            location if location.starts_with("//") => {
                Self::parse(&format!("{}:{location}", self.text.get(..scheme_len)?))
            }
            location if location.starts_with('/') => {
                Self::parse(&format!("{}{location}", self.text.get(..path)?))
            }
            location if location.starts_with('?') => {
                Self::parse(&format!("{}{location}", self.text.get(..end)?))
            }
            location => Self::parse(&format!("{}/{location}", self.text.get(..folder)?)),
        }
    }

    /// The same with another value in its query.
    pub(super) fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.text.contains('?') { '&' } else { '?' };
        Self { text: format!("{}{separator}{name}={}", self.text, encoded(value)), ..self.clone() }
    }

    /// As requests take it. It may be signed, so it is not shown.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
    /// Whether one who is sent there from `self` could be read by others from then on.
    pub(super) fn gives_up_tls_at(&self, next: &Self) -> bool {
        self.is_https && !next.is_https
    }

    /// Whether a registry that is reached here may have a login sent to `realm`: over TLS, or within this machine.
    pub(super) fn may_send_login_to(&self, realm: &Self) -> bool {
        realm.is_https || [self, realm].iter().all(|origin| origin.is_plain_loopback())
    }

    /// Whether it may have what everybody gets fetched there.
    pub(super) fn may_ask(&self, realm: &Self) -> bool {
        !self.gives_up_tls_at(realm)
    }

    fn is_plain_loopback(&self) -> bool {
        !self.is_https && loopback::is_loopback(&self.host)
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

/// A value of a query (RFC 3986, section 2.1).
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

    fn origin(text: &str) -> Origin {
        address(text).origin
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        let own = origin("https://a.example/v2/");
        for same in ["https://A.example:443/x?y", "HTTPS://a.example", "https://a.example?sig=1"] {
            assert_eq!(origin(same), own, "{same}");
        }
        for other in [
            "https://a.example:8443/v2/",
            "http://a.example/v2/",
            "http://a.example:443/v2/",
            "https://b.a.example/",
            "https://a.example.b/",
        ] {
            assert_ne!(origin(other), own, "{other}");
        }
        assert_eq!(origin("http://[::1]:5000/").to_string(), "[::1]:5000");
        assert_eq!([own.to_string(), origin("http://b:443").to_string()], ["a.example", "b:443"]);
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "/v2/",
            "a.example/v2/",
            "ftp://a.example/",
            "https://",
            "https:///v2/",
            "http://a b/",
            "https://me:secret@a.example/",
            "https://a.example@b.example/",
            "https://a.example:99999/",
            "https://a.example:+443/",
            "https://[::1]a/",
            "nowhere://there/",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
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
        for (registry, realm, may) in [
            ("https://a.example", "https://b.example", true),
            ("http://a.example", "https://b.example", true),
            ("https://a.example", "http://a.example", false),
            ("http://a.example", "http://a.example", false),
            ("https://127.0.0.1:5000", "http://127.0.0.1:5001", false),
            ("http://127.0.0.1:5000", "http://localhost:5001", true),
            ("http://[::1]:5000", "http://[::1]/token", true),
            ("http://127.0.0.1:5000", "http://a.example", false),
            ("http://localhost.a.example", "http://127.0.0.1", false),
        ] {
            assert_eq!(origin(registry).may_send_login_to(&origin(realm)), may, "{registry} {realm}");
        }
        assert!(
            origin("http://a").may_ask(&origin("http://b"))
                && origin("http://a").may_ask(&origin("https://b"))
        );
        assert!(!origin("https://a").may_ask(&origin("http://a")));
    }

    #[test]
    fn a_query_is_added_to() {
        let token = address("https://a/token?x=1#f").with_query("scope", "repository:t/a:pull,push \u{e4}&");
        assert_eq!(token.as_str(), "https://a/token?x=1&scope=repository%3At%2Fa%3Apull%2Cpush%20%C3%A4%26");
        assert_eq!(address("https://a").with_query("b", "c~").as_str(), "https://a?b=c~");
    }
}
