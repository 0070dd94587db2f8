//! Whether what the image runs becomes a service of the machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `auto`, `off` or the name of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Service {
    /// If the image runs a program that is neither a shell nor an init.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Whatever the image runs, as a service of this name.
    Named(String),
}

/// What a file name and a unit of systemd can be called: 64 bytes are far below both their limits.
const MAX_LEN: usize = 64;

impl Service {
    /// Whether `name` is one for a service: letters, digits, `-`, `_` and `.`.
    pub fn is_name(name: &str) -> bool {
        name.len() <= MAX_LEN
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    }
}

impl FromStr for Service {
    type Err = String;

    /// The error says what would have been right.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            name if Self::is_name(name) => Ok(Self::Named(name.to_owned())),
            _ => Err("auto, off or a name for the service, such as web".to_owned()),
        }
    }
}

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        service.to_string()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Named(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_are_read_and_shown() {
        for text in ["auto", "off", "web", "web-1.example_2"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        for text in ["", "-web", ".web", "a b", "a/b", "a@b", "über", "a\n", &"a".repeat(65)] {
            assert!(text.parse::<Service>().is_err(), "{text}");
        }
    }
}
