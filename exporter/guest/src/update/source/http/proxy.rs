//! The proxy that the environment asks for, by the rules that docker, podman and curl share.

use ureq::Proxy;

/// What is never asked for by way of a proxy: this machine itself.
const OWN: [&str; 3] = ["localhost", "127.*", "[::1]"];

/// The proxy for requests by that scheme.
///
/// # Errors
/// Where what the environment says is no proxy.
pub(super) fn from_environment(is_https: bool) -> Result<Option<Proxy>, String> {
    choose(is_https, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn choose(is_https: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
    let own = if is_https { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let Some(text) = either(own).or_else(|| either("ALL_PROXY")) else { return Ok(None) };
    // The value may hold a password, so it is not shown.
    let wrong = |_| format!("{own}: is no proxy\nhint: it is written as http://HOST:PORT");
    let proxy = Proxy::new(&text).map_err(wrong)?;
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    builder = proxy.username().into_iter().fold(builder, |builder, name| builder.username(name));
    builder = proxy.password().into_iter().fold(builder, |builder, password| builder.password(password));
    builder = OWN.iter().fold(builder, |builder, name| builder.no_proxy(name));
    let exceptions = either("NO_PROXY").unwrap_or_default();
    for name in exceptions.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        // `example.com` stands for what is below it, too.
        let below = name.trim_start_matches("*.").trim_start_matches('.');
        builder = builder.no_proxy(below).no_proxy(&format!(".{below}"));
    }
    builder.build().map(Some).map_err(wrong)
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
        let https = choose(true, &environment).unwrap().unwrap();
        assert_eq!((https.host(), https.port()), ("proxy.example", 3128));
        assert_eq!((https.username(), https.password()), (Some("me"), Some("se@cret")));
        assert_eq!(choose(false, &environment).unwrap().unwrap().host(), "plain.example");
        for (url, is_direct) in [
            ("https://internal.example/", true),
            ("https://a.internal.example/", true),
            ("https://a.dotted.example:5000/", true),
            ("https://10.0.0.1:5000/", true),
            ("https://localhost:5000/", true),
            ("https://127.1.2.3/", true),
            ("https://[::1]:5000/", true),
            ("https://notinternal.example/", false),
            ("https://quay.io/", false),
        ] {
            assert_eq!(https.is_no_proxy(&url.parse().unwrap()), is_direct, "{url}");
        }
        assert!(choose(true, &|_| None).unwrap().is_none());
        assert!(
            choose(true, &|name| (name == "ALL_PROXY").then(|| "http://b".to_owned())).unwrap().is_some()
        );
    }

    #[test]
    fn what_is_no_proxy_is_an_error_without_its_password() {
        let wrong = |name: &str| (name == "https_proxy").then(|| "nothing://me:secret@b".to_owned());
        let error = choose(true, &wrong).unwrap_err();
        assert!(error.starts_with("HTTPS_PROXY: ") && !error.contains("secret"), "{error}");
    }
}
