//! Limits of what the service may use (getrlimit(2)), by docker's names.

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Deserialize;

/// A limit; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ulimit {
    /// What counts, which the service may raise.
    pub(crate) soft: i64,
    /// Up to this.
    pub(crate) hard: i64,
}

const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// What a name limits.
pub(crate) fn resource(name: &str) -> Result<Resource, String> {
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource);
    known.ok_or_else(|| format!("ulimit {name}: there is none of this name"))
}

/// Hold this process to a limit, and what it executes.
pub(crate) fn set(name: &str, limit: Ulimit) -> Result<(), String> {
    let rlimit = Rlimit { current: limit.soft.try_into().ok(), maximum: limit.hard.try_into().ok() };
    setrlimit(resource(name)?, rlimit)
        .map_err(|error| format!("ulimit {name}={}:{}: {error}", limit.soft, limit.hard))
}

#[cfg(test)]
mod tests {
    use rustix::process::getrlimit;

    use super::*;

    #[test]
    fn a_limit_is_set_and_one_that_cannot_be_is_not() {
        let before = getrlimit(Resource::Core);
        set("core", Ulimit { soft: 0, hard: before.maximum.map_or(-1, |maximum| maximum as i64) }).unwrap();
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), ..before });
        assert!(set("core", Ulimit { soft: 2, hard: 1 }).unwrap_err().starts_with("ulimit core=2:1: "));
        assert!(set("cores", Ulimit { soft: 1, hard: 1 }).is_err());
    }
}
