//! Platforms as the OCI image specification names them, and their normal form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// What an image runs on: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// CPU architecture as Go names it.
    pub architecture: String,
    /// Operating system as Go names it.
    pub os: String,
    /// Exact version, of Windows only.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Required features, of Windows only.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// CPU variant; empty is the baseline.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Reads `os/arch[/variant]`, or an architecture of Linux alone, into the normal form.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = text.trim().split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, ""),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] if !variant.is_empty() => (os, architecture, variant),
            _ => ("", "", ""),
        };
        if os.is_empty() || architecture.is_empty() {
            return Err(Failure::new(format!("platform {text:?} is not os/arch or os/arch/variant")));
        }
        let platform = Self {
            os: os.to_lowercase(),
            architecture: architecture.to_lowercase(),
            variant: variant.to_lowercase(),
            ..Self::default()
        };
        Ok(platform.normalized())
    }

    /// The same platform under its usual name: `aarch64/v8` is `arm64`.
    fn normalized(self) -> Self {
        let (architecture, variant) = match (self.architecture.as_str(), self.variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386", _) => ("386", ""),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        Self { architecture: architecture.to_owned(), variant: variant.to_owned(), ..self }
    }
}

impl fmt::Display for Platform {
    /// The id of the platform: `os/arch` or `os/arch/variant`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl From<Platform> for llb::Platform {
    fn from(platform: Platform) -> Self {
        let Platform { architecture, os, os_version, os_features, variant } = platform;
        Self { architecture, os, variant, os_version, os_features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_one_name() {
        let cases = [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v2", "linux/amd64/v2"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("Linux/AMD64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/riscv64", "linux/riscv64"),
        ];
        for (text, expected) in cases {
            assert_eq!(Platform::parse(text).expect(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn half_a_platform_is_refused() {
        for text in ["", "linux/", "/amd64", "linux/amd64/", "linux/arm/v7/x"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_uses_the_names_of_the_image_specification() {
        let platform = Platform::parse("linux/arm/v7").unwrap();
        let json = r#"{"architecture":"arm","os":"linux","variant":"v7"}"#;
        assert_eq!(serde_json::to_string(&platform).unwrap(), json);
        assert_eq!(serde_json::from_str::<Platform>(json).unwrap(), platform);
    }
}
