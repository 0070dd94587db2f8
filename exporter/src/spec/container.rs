//! What an image says about the containers that run it.
//!
//! The fields are those of `config` in an image's configuration:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>, and for the health check
//! <https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md>.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// What runs in a container, and how. It is read and written by the names that images use (`Entrypoint`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Container {
    /// `ENTRYPOINT`: the program and its first arguments.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// `CMD`: further arguments; without an entrypoint, the program too.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// `ENV`: `NAME=value`; of one name, the last counts.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// `USER`: a name or number, and perhaps `:` and a group; empty for root.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// `WORKDIR`; empty for `/`.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// `STOPSIGNAL`: a name or number; empty for SIGTERM.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
    /// `VOLUME`: directories.
    #[serde(with = "keys")]
    pub volumes: BTreeSet<String>,
    /// `EXPOSE`: ports, such as `80/tcp`.
    #[serde(with = "keys")]
    pub exposed_ports: BTreeSet<String>,
    /// `HEALTHCHECK`.
    pub healthcheck: Option<Healthcheck>,
    /// `SHELL`: what runs a health check that is a line of shell; empty for `/bin/sh -c`.
    #[serde(deserialize_with = "or_default")]
    pub shell: Vec<String>,
    /// `LABEL org.opencontainers.image.title`: what the image is called. Of the labels, engines add some of their own.
    #[serde(rename = "Labels", with = "title", skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// How to find out whether the program still works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", program, …]` or `["CMD-SHELL", line]`; empty for none.
    #[serde(deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Nanoseconds between two checks, as all times here; 0 for the default.
    pub interval: u64,
    /// How long a check may take.
    pub timeout: u64,
    /// How long failures do not count after the start.
    pub start_period: u64,
    /// Nanoseconds between two checks in the start period.
    pub start_interval: u64,
    /// How many failures in a row make it unhealthy; 0 for the default.
    pub retries: u32,
}

impl Container {
    /// `PATH` where an image sets none, as docker has it.
    pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    /// The program and its arguments.
    pub fn command(&self) -> impl Iterator<Item = &str> {
        self.entrypoint.iter().chain(&self.cmd).map(String::as_str)
    }

    /// The words of the program that checks its health; `None` if there is no check.
    pub fn health_command(&self) -> Option<Vec<String>> {
        let (form, words) = self.healthcheck.as_ref()?.test.split_first()?;
        match &**form {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" => {
                let shell = ["/bin/sh", "-c"].map(str::to_owned);
                let shell = if self.shell.is_empty() { &shell[..] } else { &self.shell };
                Some([shell, words].concat())
            }
            _ => None,
        }
    }

    /// The value of a variable, if it has one.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .rev()
            .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }
}

impl Healthcheck {
    /// 30 seconds by default.
    pub fn interval(&self) -> Duration {
        or(self.interval, 30)
    }

    /// 30 seconds by default.
    pub fn timeout(&self) -> Duration {
        or(self.timeout, 30)
    }

    /// None by default.
    pub fn start_period(&self) -> Duration {
        Duration::from_nanos(self.start_period)
    }

    /// 5 seconds by default.
    pub fn start_interval(&self) -> Duration {
        or(self.start_interval, 5)
    }

    /// 3 by default.
    pub fn retries(&self) -> u32 {
        if self.retries == 0 { 3 } else { self.retries }
    }
}

fn or(nanoseconds: u64, seconds: u64) -> Duration {
    if nanoseconds == 0 { Duration::from_secs(seconds) } else { Duration::from_nanos(nanoseconds) }
}

/// Go writes what is empty as `null`.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A set as the keys of an object, whose values mean nothing: `{"80/tcp": {}}`.
mod keys {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::IgnoredAny;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let keys: Option<BTreeMap<String, IgnoredAny>> = Option::deserialize(deserializer)?;
        Ok(keys.unwrap_or_default().into_keys().collect())
    }

    pub(super) fn serialize<S: Serializer>(
        keys: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(keys.iter().map(|key| (key, BTreeMap::<(), ()>::new())))
    }
}

/// A label among others, which mean nothing here.
mod title {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::Value;

    use crate::container::image::TITLE;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        let labels = Value::deserialize(deserializer)?;
        Ok(labels.get(TITLE).and_then(Value::as_str).map(str::to_owned))
    }

    pub(super) fn serialize<S: Serializer>(title: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(title.iter().map(|title| (TITLE, title)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ImageConfig;

    fn read(image: &str) -> Container {
        ImageConfig::read(&serde_json::from_str(image).unwrap()).unwrap().container
    }

    const NGINX: &str = r#"{"architecture":"amd64","os":"linux","config":{
        "Env":["PATH=/bin","A=1","A=2","ODD"],"Entrypoint":["/docker-entrypoint.sh"],"Cmd":["nginx","-g","daemon off;"],
        "WorkingDir":"","User":"","StopSignal":"SIGQUIT","ExposedPorts":{"80/tcp":{}},"Volumes":null,"OnBuild":null,
        "Healthcheck":{"Test":["CMD-SHELL","curl -f http://localhost/"],"Interval":5000000000,"Retries":2}}}"#;

    #[test]
    fn what_docker_writes_is_read() {
        let container = read(NGINX);
        assert_eq!(
            container.command().collect::<Vec<_>>(),
            ["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"]
        );
        assert_eq!((container.variable("A"), container.variable("ODD")), (Some("2"), None));
        assert_eq!((&*container.stop_signal, container.volumes.len()), ("SIGQUIT", 0));
        assert_eq!(container.exposed_ports.iter().collect::<Vec<_>>(), ["80/tcp"]);
        let check = container.healthcheck.as_ref().unwrap();
        assert_eq!((check.interval().as_secs(), check.timeout().as_secs(), check.retries()), (5, 30, 2));

        let json = serde_json::to_string(&container).unwrap();
        assert!(json.contains(r#""ExposedPorts":{"80/tcp":{}}"#), "{json}");
        assert_eq!(serde_json::from_str::<Container>(&json).unwrap(), container);
    }

    #[test]
    fn of_the_labels_the_title_is_kept() {
        for (labels, title) in [
            (r#"{"org.opencontainers.image.title":"Shop","io.buildah.version":"1.43"}"#, Some("Shop")),
            (r#"{"io.buildah.version":"1.43"}"#, None),
            (r#"{"org.opencontainers.image.title":7}"#, None),
            ("null", None),
        ] {
            let image = format!(r#"{{"config":{{"Cmd":["a"],"Labels":{labels}}}}}"#);
            let container = read(&image);
            assert_eq!(container.title.as_deref(), title, "{labels}");
            let json = serde_json::to_string(&container).unwrap();
            assert_eq!(serde_json::from_str::<Container>(&json).unwrap(), container);
            assert!(!json.contains("buildah") && json.contains("Labels") == title.is_some(), "{json}");
        }
    }
}
