//! The proxy that the environment asks for, by the rules that docker, podman and curl share.

use ureq::Proxy;

use crate::source::loopback;

/// The proxy for requests to `host`; none for this machine itself.
pub(super) fn from_environment(scheme: &str, host: &str) -> Option<Proxy> {
    choose(scheme, host, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn choose(scheme: &str, host: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<Proxy> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
    if loopback::is_loopback(host) {
        return None;
    }
    let own = if scheme == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let proxy = Proxy::new(&either(own).or_else(|| either("ALL_PROXY"))?).ok()?;
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    builder = proxy.username().into_iter().fold(builder, |builder, name| builder.username(name));
    builder = proxy.password().into_iter().fold(builder, |builder, password| builder.password(password));
    let exceptions = either("NO_PROXY").unwrap_or_default();
    for name in exceptions.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        // `example.com` stands for what is below it, too.
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        builder = builder.no_proxy(name).no_proxy(&format!(".{name}"));
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses_the_proxy() {
        let environment = |name: &str| {
            let value = match name {
                "HTTPS_PROXY" => "http://me:se%40cret@proxy.example:3128",
                "http_proxy" => "plain.example:80",
                "no_proxy" => "internal.example, .dotted.example,10.0.0.1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let https = choose("https", "quay.io", &environment).unwrap();
        assert_eq!((https.host(), https.port()), ("proxy.example", 3128));
        assert_eq!((https.username(), https.password()), (Some("me"), Some("se@cret")));
        assert!(!format!("{https:?}").contains("cret"));
        assert_eq!(choose("http", "quay.io", &environment).unwrap().host(), "plain.example");
        for (url, is_direct) in [
            ("https://internal.example/v2/", true),
            ("https://a.internal.example/v2/", true),
            ("https://a.dotted.example:5000/", true),
            ("https://10.0.0.1:5000/", true),
            ("https://notinternal.example/", false),
            ("https://quay.io/", false),
        ] {
            assert_eq!(https.is_no_proxy(&url.parse().unwrap()), is_direct, "{url}");
        }
        assert!(choose("https", "localhost:5000", &environment).is_none());
        assert!(choose("https", "quay.io", &|_| None).is_none());
        assert!(choose("https", "a", &|name| (name == "ALL_PROXY").then(|| "http://b".to_owned())).is_some());
    }
}
