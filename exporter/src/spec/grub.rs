//! What is asked of GRUB's menu.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextFormat;
use super::setup::Secret;

/// GRUB's menu; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grub {
    /// The password of GRUB's user `root`: only with it entries are edited, and GRUB's console is to be had. All entries
    /// boot without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<GrubPassword>,
}

/// A password of GRUB's: a hash, or a secret of the build with a password or a hash in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GrubPassword {
    /// A hash, as `grub-mkpasswd-pbkdf2` prints it.
    Hash(#[schemars(extend("format" = TextFormat::GrubPasswordHash))] String),
    /// A secret of the build.
    Secret(Secret),
}

impl Grub {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The id of the secret that it needs, if it needs one.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.password {
            Some(GrubPassword::Secret(secret)) => Some(&secret.secret),
            Some(GrubPassword::Hash(_)) | None => None,
        }
    }
}
