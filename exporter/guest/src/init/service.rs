//! What the machine runs: the image's own configuration.
//!
//! The file is the object `config` of an image's configuration, as the disk's builder got it:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>, with docker's `Healthcheck` and `Shell`.

use std::fs;
use std::io;

use serde::Deserialize;

use crate::init::health::Healthcheck;

/// Where the disk's builder leaves it.
pub(crate) const PATH: &str = "/usr/lib/vmimage/container.json";

/// The one service of the machine. What is missing, empty or null was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Service {
    /// The program and its first arguments.
    entrypoint: Option<Vec<String>>,
    /// Further arguments; without an entrypoint, the program too.
    cmd: Option<Vec<String>>,
    /// Variables, `NAME=value`.
    env: Option<Vec<String>>,
    /// `USER`, `USER:GROUP`, by name or number; empty: root.
    user: Option<String>,
    /// Where it starts; empty: `/`.
    working_dir: Option<String>,
    /// The signal that asks it to end, by name or number; empty: SIGTERM.
    stop_signal: Option<String>,
    /// How to find out whether it still works.
    healthcheck: Option<Healthcheck>,
    /// What runs a check that is a line of shell; empty: `/bin/sh -c`.
    shell: Option<Vec<String>>,
}

impl Service {
    /// The description on the disk; `None`: it has none.
    pub(crate) fn of_image() -> Result<Option<Self>, String> {
        match fs::read(PATH) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| format!("{PATH}: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{PATH}: {error}")),
        }
    }

    /// Each member of this where it has it, else that of `below`.
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            entrypoint: self.entrypoint.or(below.entrypoint),
            cmd: self.cmd.or(below.cmd),
            env: self.env.or(below.env),
            user: self.user.or(below.user),
            working_dir: self.working_dir.or(below.working_dir),
            stop_signal: self.stop_signal.or(below.stop_signal),
            healthcheck: self.healthcheck.or(below.healthcheck),
            shell: self.shell.or(below.shell),
        }
    }

    /// The program and its arguments.
    pub(crate) fn command(&self) -> impl Iterator<Item = &str> {
        self.entrypoint.iter().chain(&self.cmd).flatten().map(String::as_str)
    }

    /// Its variables, name and value.
    pub(crate) fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().flatten().filter_map(|variable| variable.split_once('='))
    }

    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }

    pub(crate) fn working_dir(&self) -> &str {
        self.working_dir.as_deref().filter(|directory| !directory.is_empty()).unwrap_or("/")
    }

    pub(crate) fn stop_signal(&self) -> &str {
        self.stop_signal.as_deref().unwrap_or_default()
    }

    /// The same with further variables.
    pub(crate) fn with_env(self, further: impl Iterator<Item = String>) -> Self {
        let env: Vec<_> = self.env.into_iter().flatten().chain(further).collect();
        Self { env: Some(env), ..self }
    }

    /// Another program with its surroundings, as far as others are not named; without words, its own.
    pub(crate) fn with_program(
        self,
        words: Vec<String>,
        env: Vec<String>,
        user: Option<String>,
        working_dir: Option<String>,
    ) -> Self {
        let (entrypoint, cmd) = match words.is_empty() {
            true => (self.entrypoint.clone(), self.cmd.clone()),
            false => (Some(words), None),
        };
        Self {
            entrypoint,
            cmd,
            user: user.or(self.user.clone()),
            working_dir: working_dir.or(self.working_dir.clone()),
            healthcheck: None,
            ..self.with_env(env.into_iter())
        }
    }

    /// The check of its health, if it has one.
    pub(crate) fn healthcheck(&self) -> Option<&Healthcheck> {
        self.healthcheck.as_ref().filter(|_| self.check().is_some())
    }

    /// The program that checks its health, with its surroundings.
    pub(crate) fn check(&self) -> Option<Self> {
        let shell = self.shell.as_deref().unwrap_or_default();
        let words = self.healthcheck.as_ref()?.command(shell)?;
        Some(Self { entrypoint: Some(words), cmd: None, healthcheck: None, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_an_image_is_understood() {
        let text = r#"{"User":"65532","Entrypoint":["/app"],"Cmd":["--port","80"],"WorkingDir":"/srv",
            "Env":["A=b","broken"],"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGQUIT","Healthcheck":null}"#;
        let service: Service = serde_json::from_str(text).unwrap();
        assert_eq!(service.command().collect::<Vec<_>>(), ["/app", "--port", "80"]);
        assert_eq!(
            (service.user(), service.working_dir(), service.stop_signal()),
            ("65532", "/srv", "SIGQUIT")
        );
        assert_eq!(service.env().collect::<Vec<_>>(), [("A", "b")]);
        assert_eq!((service.healthcheck(), service.check()), (None, None));
        let empty: Service = serde_json::from_str(r#"{"Cmd":null,"WorkingDir":""}"#).unwrap();
        assert_eq!((empty.command().count(), empty.working_dir()), (0, "/"));
    }

    #[test]
    fn a_program_of_the_hosts_has_the_services_surroundings_and_may_be_its_own() {
        let text = r#"{"Entrypoint":["/app"],"Cmd":["a"],"Env":["A=b"],"User":"app","WorkingDir":"/srv"}"#;
        let with = |words: &[&str], user: Option<&str>| {
            let service: Service = serde_json::from_str(text).unwrap();
            let words = words.iter().map(|&word| word.to_owned()).collect();
            service.with_program(words, vec!["C=d".to_owned()], user.map(str::to_owned), None)
        };
        let own = with(&[], None);
        assert_eq!(own.command().collect::<Vec<_>>(), ["/app", "a"]);
        assert_eq!(own.env().collect::<Vec<_>>(), [("A", "b"), ("C", "d")]);
        assert_eq!((own.user(), own.working_dir()), ("app", "/srv"));
        let other = with(&["ls"], Some("root"));
        assert_eq!((other.command().collect::<Vec<_>>(), other.user()), (vec!["ls"], "root"));
    }

    #[test]
    fn a_check_is_made_as_the_service_runs() {
        let text = r#"{"User":"app","Cmd":["/app"],"Shell":["/bin/ash","-c"],"Healthcheck":{"Test":["CMD-SHELL","true"]}}"#;
        let check = serde_json::from_str::<Service>(text).unwrap().check().unwrap();
        assert_eq!(check.command().collect::<Vec<_>>(), ["/bin/ash", "-c", "true"]);
        assert_eq!(check.user(), "app");
        let none = r#"{"Cmd":["/app"],"Healthcheck":{"Test":["NONE"]}}"#;
        assert_eq!(serde_json::from_str::<Service>(none).unwrap().healthcheck(), None);
    }
}
