//! What the machine runs: the image's own configuration.
//!
//! The file is the object `config` of an image's configuration, as the disk's builder got it:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>.

use std::fs;

use serde::Deserialize;

/// Where the disk's builder leaves it.
const PATH: &str = "/usr/lib/vmimage/container.json";

/// The one service of the machine. What is empty was not said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Service {
    /// The program and its first arguments.
    pub(crate) entrypoint: Vec<String>,
    /// Further arguments; without an entrypoint, the program too.
    pub(crate) cmd: Vec<String>,
    /// Variables, `NAME=value`.
    pub(crate) env: Vec<String>,
    /// `USER`, `USER:GROUP`, by name or number; empty: root.
    pub(crate) user: String,
    /// Where it starts; empty: `/`.
    pub(crate) working_dir: String,
    /// The signal that asks it to end, by name or number; empty: SIGTERM.
    pub(crate) stop_signal: String,
}

impl Service {
    /// The description on the disk.
    pub(crate) fn read() -> Result<Self, String> {
        let text = fs::read(PATH).map_err(|error| format!("{PATH}: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("{PATH}: {error}"))
    }

    /// The program and its arguments.
    pub(crate) fn command(&self) -> impl Iterator<Item = &str> {
        self.entrypoint.iter().chain(&self.cmd).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_an_image_is_understood() {
        let text = r#"{"User":"65532","Entrypoint":["/app"],"Cmd":["--port","80"],"WorkingDir":"/srv",
            "Env":["A=b"],"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGQUIT","Healthcheck":null}"#;
        let service: Service = serde_json::from_str(text).unwrap();
        assert_eq!(service.command().collect::<Vec<_>>(), ["/app", "--port", "80"]);
        assert_eq!(
            (&*service.user, &*service.working_dir, &*service.stop_signal),
            ("65532", "/srv", "SIGQUIT")
        );
        assert_eq!(service.env, ["A=b"]);
        let empty: Service = serde_json::from_str("{}").unwrap();
        assert_eq!(empty.command().count(), 0);
    }
}
