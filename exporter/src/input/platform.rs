//! For which machines an image is.

use std::fmt;

/// An operating system and a processor, by the names of Go (`linux`, `amd64`, `arm64`), as OCI images
/// have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// GOOS.
    pub os: String,
    /// GOARCH.
    pub architecture: String,
    /// Of the processor: `v7` of `arm`. `None` takes any, if there is only one.
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on a processor of this name.
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image of this platform is what was asked for.
    pub(super) fn accepts(&self, image: &Self) -> bool {
        let variant = |platform: &Self| match (&*platform.architecture, platform.variant.as_deref()) {
            // There is no other that an image could mean.
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
        self.os == image.os
            && self.architecture == image.architecture
            && (self.variant.is_none() || variant(self) == variant(image))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}
