//! What a registry wants to see: the header `WWW-Authenticate` of RFC 9110, section 11.6.1.

use std::collections::HashMap;

/// One way to say who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request (RFC 7617).
    Basic,
    /// A token that another server gives, as in <https://distribution.github.io/distribution/spec/auth/token/>.
    Bearer {
        /// The address of that server.
        realm: String,
        /// What it calls this registry.
        service: Option<String>,
        /// What the token has to be for.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best of those in the headers: a token is good for one repository only, a password for everything.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut chosen = None;
        for (scheme, mut parameters) in headers.flat_map(parse) {
            let mut take = |name: &str| parameters.remove(name);
            match &*scheme {
                "bearer" => {
                    let (service, scope) = (take("service"), take("scope"));
                    if let Some(realm) = take("realm") {
                        return Some(Self::Bearer { realm, service, scope });
                    }
                }
                "basic" => chosen = Some(Self::Basic),
                _ => {}
            }
        }
        chosen
    }
}

/// All challenges of one header: the scheme in lower case, and its parameters.
fn parse(header: &str) -> Vec<(String, HashMap<String, String>)> {
    let mut challenges: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(['=', ' ', '\t', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return challenges;
        }
        rest = match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.insert(word.to_ascii_lowercase(), value);
                }
                after
            }
            None => {
                challenges.push((word.to_ascii_lowercase(), HashMap::new()));
                after
            }
        };
    }
}

/// The value at the start of a text, a word or quoted, and what comes after it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
            Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
        };
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:library/kiosk:pull,push\"";
        let scope = Some("repository:library/kiosk:pull,push");
        for (headers, expected) in [
            (&["Basic realm=\"Registry Realm\""][..], Some(Challenge::Basic)),
            (&[hub], bearer("https://auth.docker.io/token", Some("registry.docker.io"), scope)),
            (&["Basic realm=\"a\", Bearer realm=\"https://b\""], bearer("https://b", None, None)),
            (&["Basic realm=a", "Bearer realm=https://b , service=c"], bearer("https://b", Some("c"), None)),
            (&["Bearer service=\"no realm\"", "Basic"], Some(Challenge::Basic)),
            (&["bearer  realm=\"https://a/?b=\\\"c\\\"\""], bearer("https://a/?b=\"c\"", None, None)),
            (&["Negotiate", "Digest realm=\"a\", qop=\"auth\""], None),
            (&["", ",,", "=", "Bearer realm=\"unterminated"], bearer("unterminated", None, None)),
            (&[], None),
        ] {
            assert_eq!(Challenge::choose(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
