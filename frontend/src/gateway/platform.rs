//! Platforms as the OCI image specification names them.

use std::fmt;

use serde::Deserialize;

/// What an image runs on: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Platform {
    /// CPU architecture as Go names it.
    pub architecture: String,
    /// Operating system as Go names it.
    pub os: String,
    /// Exact version, of Windows only.
    #[serde(rename = "os.version", default)]
    pub os_version: String,
    /// Required features, of Windows only.
    #[serde(rename = "os.features", default)]
    pub os_features: Vec<String>,
    /// CPU variant; empty is the baseline.
    #[serde(default)]
    pub variant: String,
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
    fn json_uses_the_names_of_the_image_specification() {
        let read = |json| serde_json::from_str::<Platform>(json).unwrap();
        assert_eq!(read(r#"{"architecture":"amd64","os":"linux"}"#).to_string(), "linux/amd64");
        let arm = read(r#"{"architecture":"arm","os":"linux","variant":"v7"}"#);
        assert_eq!(arm.to_string(), "linux/arm/v7");
        let windows =
            read(r#"{"architecture":"amd64","os":"windows","os.version":"10","os.features":["x"]}"#);
        assert_eq!((windows.os_version.as_str(), windows.os_features[0].as_str()), ("10", "x"));
    }
}
