//! Where the content of a partition is from, if not from the folder at its mount point.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::TextFormat;

/// A folder for a file system, or without one a file whose bytes the partition has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// Of the image from `/` on, else of the build context, as in `files`.
    Path(#[schemars(extend("format" = TextFormat::PartitionSource))] String),
    /// Of another stage or a named context of the build.
    Stage(StageSource),
}

/// What `COPY --from=` copies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StageSource {
    /// The stage, or the named context.
    #[schemars(extend("format" = TextFormat::StageName), example = &"assets")]
    pub from: String,
    /// The path in it.
    #[schemars(extend("format" = TextFormat::PlainPath), example = &"/site")]
    pub path: String,
}

impl Source {
    /// The path in the image itself.
    pub(crate) fn in_image(&self) -> Option<&str> {
        match self {
            Self::Path(path) if path.starts_with('/') => Some(path),
            Self::Path(_) | Self::Stage(_) => None,
        }
    }

    /// The path in the build context.
    pub(crate) fn in_context(&self) -> Option<&str> {
        match self {
            Self::Path(path) if !path.starts_with('/') => Some(path),
            Self::Path(_) | Self::Stage(_) => None,
        }
    }

    /// The stage or named context.
    pub(crate) fn stage(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Stage(StageSource { from, .. }) => Some(from),
        }
    }

    /// What is wrong with its words.
    pub(in crate::spec) fn problem(&self) -> Option<String> {
        let (text, expected) = match self {
            Self::Path(path) => (path, TextFormat::PartitionSource.check(path).err()?),
            Self::Stage(StageSource { from, path }) => {
                let [from, path] = [(from, TextFormat::StageName), (path, TextFormat::PlainPath)]
                    .map(|(text, format)| Some((text, format.check(text).err()?)));
                from.or(path)?
            }
        };
        Some(format!("{text:?} is not {expected}"))
    }
}

impl fmt::Display for Source {
    /// As `COPY` has it: `assets:/site`, `site`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Stage(StageSource { from, path }) => write!(f, "{from}:{path}"),
        }
    }
}
