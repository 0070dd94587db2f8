//! What the init is told: a file that the disk's builder leaves, and over it a [drive](super::drive) that whoever starts the
//! machine gives it. Both are one JSON object, of which every member may be missing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;

use serde::Deserialize;

use crate::init::asked::Interface;
use crate::init::confine::Capabilities;
use crate::init::drive;
use crate::init::service::Service;
use crate::init::shares::Share;
use crate::init::ulimits::{self, Ulimit};
use crate::init::words::Words;

/// Where the disk's builder leaves it.
const PATH: &str = "/usr/lib/vmimage/init.json";

/// What was said.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Told {
    pub(crate) hostname: Option<String>,
    /// Of the service, with docker's names, in place of what the image's configuration says.
    container: Option<Service>,
    /// Variables of the service beside those of its configuration, `NAME=value`.
    env: Option<Vec<String>>,
    /// Whether the service waits for a host that starts it, by the agent.
    held: Option<bool>,
    on_crash: Option<OnCrash>,
    /// Whether the service may do no more than in a container.
    confined: Option<bool>,
    capabilities: Option<Capabilities>,
    ulimits: Option<BTreeMap<String, Ulimit>>,
    shares: Option<Vec<Share>>,
    /// As in the network file.
    pub(crate) network: Option<Vec<Interface>>,
    /// In place of all other name servers.
    pub(crate) resolvers: Option<Vec<IpAddr>>,
    /// Whether the service gets the console as its terminal.
    terminal: Option<bool>,
    /// The clock is no earlier, in seconds since 1970.
    pub(crate) not_before: Option<u64>,
}

/// What the machine does when the service has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnCrash {
    /// It starts the service again.
    #[default]
    Restart,
    #[serde(rename = "poweroff")]
    PowerOff,
    /// It stays, without the service.
    Halt,
}

/// Why nothing can be run, and what the machine does then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: String,
    pub(crate) on_crash: OnCrash,
}

impl Told {
    /// What the disk and the drive say.
    pub(crate) fn read(words: &Words) -> Result<Self, Refused> {
        let refused = |on_crash| move |error| Refused { error, on_crash };
        let built = Self::of_disk().map_err(refused(OnCrash::PowerOff))?;
        let on_crash = built.on_crash();
        let given = drive::read(words).map_err(refused(on_crash))?;
        let told = given.over(built);
        told.check().map_err(refused(told.on_crash()))?;
        Ok(told)
    }

    fn of_disk() -> Result<Self, String> {
        match fs::read(PATH) {
            Ok(text) => Self::parse(&text).map_err(|error| format!("{PATH}: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{PATH}: {error}")),
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        // A list would be taken for the members in their order.
        if text.first().is_some_and(|byte| *byte != b'{') {
            return Err("not a JSON object".to_owned());
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Each member of this where it has it, else that of `below`.
    fn over(self, below: Self) -> Self {
        Self {
            hostname: self.hostname.or(below.hostname),
            container: match (self.container, below.container) {
                (Some(this), Some(below)) => Some(this.over(below)),
                (this, below) => this.or(below),
            },
            env: self.env.or(below.env),
            held: self.held.or(below.held),
            on_crash: self.on_crash.or(below.on_crash),
            confined: self.confined.or(below.confined),
            capabilities: self.capabilities.or(below.capabilities),
            ulimits: self.ulimits.or(below.ulimits),
            shares: self.shares.or(below.shares),
            network: self.network.or(below.network),
            resolvers: self.resolvers.or(below.resolvers),
            terminal: self.terminal.or(below.terminal),
            not_before: self.not_before.or(below.not_before),
        }
    }

    /// What would fail later: names that mean nothing.
    fn check(&self) -> Result<(), String> {
        if let Some(capabilities) = &self.capabilities {
            capabilities.kept()?;
        }
        self.ulimits().try_for_each(|(name, _)| ulimits::resource(name).map(drop))?;
        self.network.iter().flatten().try_for_each(Interface::check)?;
        self.shares().iter().try_for_each(Share::check)
    }

    /// The service: what is told of it over the image's own configuration. `None`: there is none.
    pub(crate) fn service(&self) -> Result<Option<Service>, String> {
        let image = Service::of_image()?;
        let service = match (self.container.clone(), image) {
            (Some(this), Some(image)) => Some(this.over(image)),
            (this, image) => this.or(image),
        };
        Ok(service.map(|service| service.with_env(self.env.iter().flatten().cloned())))
    }

    /// Whether it is a host that starts the service.
    pub(crate) fn is_held(&self) -> bool {
        self.held.unwrap_or_default()
    }

    pub(crate) fn on_crash(&self) -> OnCrash {
        self.on_crash.unwrap_or_default()
    }

    /// The capabilities that the service may have, by number; `None`: all.
    pub(crate) fn capabilities(&self) -> Result<Option<u64>, String> {
        let asked = self.capabilities.as_ref();
        match (self.is_confined(), asked) {
            (false, None) => Ok(None),
            (_, Some(asked)) => asked.kept().map(Some),
            (true, None) => Capabilities::default().kept().map(Some),
        }
    }

    pub(crate) fn ulimits(&self) -> impl Iterator<Item = (&str, Ulimit)> {
        self.ulimits.iter().flatten().map(|(name, limit)| (name.as_str(), *limit))
    }

    pub(crate) fn shares(&self) -> &[Share] {
        self.shares.as_deref().unwrap_or_default()
    }

    pub(crate) fn has_terminal(&self) -> bool {
        self.terminal.unwrap_or_default()
    }

    /// The same for a program that has its own input and output.
    pub(crate) fn without_terminal(self) -> Self {
        Self { terminal: Some(false), ..self }
    }

    /// Whether this machine is made for its service alone: then nothing is waited for that a server may send late.
    pub(crate) fn is_for_service(&self) -> bool {
        self.is_confined()
    }

    /// Whether programs see no more of the machine than in a container.
    pub(crate) fn is_confined(&self) -> bool {
        self.confined.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        Told::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn all_that_can_be_said_is_understood() {
        let told = told(
            r#"{"hostname":"web","container":{"Cmd":["a"],"Labels":{}},"env":["A=b"],"held":true,"on_crash":"halt","confined":true,
            "capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]},"ulimits":{"nofile":{"soft":1024,"hard":524288}},
            "shares":[{"tag":"src","at":"/src","type":"virtiofs","read_only":true}],"network":[{"dhcp":"none"}],
            "resolvers":["10.0.2.3","fd00::3"],"terminal":false,"not_before":1700000000}"#,
        );
        assert_eq!(told.check(), Ok(()));
        assert_eq!((told.on_crash(), told.has_terminal(), told.is_held()), (OnCrash::Halt, false, true));
        let service = told.service().unwrap().unwrap();
        assert_eq!(service.env().collect::<Vec<_>>(), [("A", "b")]);
        assert_eq!(told.capabilities(), Ok(Some(1 << 12)));
        assert_eq!(
            told.ulimits().map(|(name, limit)| (name, limit.hard)).collect::<Vec<_>>(),
            [("nofile", 524_288)]
        );
        assert_eq!((told.shares().len(), told.not_before), (1, Some(1_700_000_000)));
    }

    #[test]
    fn what_is_given_replaces_what_was_built_by_member() {
        let built = told(
            r#"{"hostname":"a","on_crash":"poweroff","confined":true,"container":{"Entrypoint":["/a"],"Cmd":["b"]},"ulimits":{}}"#,
        );
        let given = told(
            r#"{"hostname":"b","container":{"Cmd":[],"User":"u"},"ulimits":{"core":{"soft":0,"hard":-1}}}"#,
        );
        let both = given.over(built);
        assert_eq!((both.hostname.as_deref(), both.on_crash()), (Some("b"), OnCrash::PowerOff));
        let service = both.container.as_ref().unwrap();
        assert_eq!(service.command().collect::<Vec<_>>(), ["/a"]);
        assert_eq!((service.user(), both.ulimits().count()), ("u", 1));
        assert_eq!(both.capabilities().unwrap().map(u64::count_ones), Some(14));
    }

    #[test]
    fn without_a_word_all_is_as_on_a_machine() {
        let told = told("{}");
        assert_eq!((told.on_crash(), told.capabilities()), (OnCrash::Restart, Ok(None)));
        assert!(!told.has_terminal() && !told.is_for_service() && told.shares().is_empty());
        assert!(!told.is_held());
    }

    #[test]
    fn what_means_nothing_is_an_error() {
        for text in [
            "",
            "[]",
            r#"{"host":"web"}"#,
            r#"{"on_crash":"reboot"}"#,
            r#"{"resolvers":["here"]}"#,
            r#"{"not_before":-1}"#,
            r#"{"shares":[{"tag":"a","at":"/a","type":"nfs"}]}"#,
            r#"{"hostname":"a"} {}"#,
        ] {
            assert!(Told::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            r#"{"capabilities":{"add":["FLY"]}}"#,
            r#"{"ulimits":{"files":{"soft":1,"hard":1}}}"#,
            r#"{"shares":[{"tag":"a","at":"a","type":"9p"}]}"#,
            r#"{"network":[{"addresses":["10.0.2.50"]}]}"#,
            r#"{"network":[{"addresses":["10.0.2.50/33"]}]}"#,
        ] {
            assert!(told(text).check().is_err(), "{text}");
        }
    }
}
