//! What the system on a disk is called, whichever distribution it is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextFormat;

/// The identity of what was built; nothing by default, and then the machine is only its distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Image")]
pub struct Identity {
    /// What it is, the same in all its versions: `IMAGE_ID` of os-release(5).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ImageId), example = &"kiosk")]
    pub id: Option<String>,
    /// Which build of it: `IMAGE_VERSION` of os-release(5).
    /// By a flag: `--image-version`, `VMIMAGE_IMAGE_VERSION`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ImageId), example = &"1.4.0")]
    pub version: Option<String>,
    /// The machines that it is for, in RAUC's sense: an update of another kind is refused. By default `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::Compatible), example = &"acme kiosk-2")]
    pub compatible: Option<String>,
}

impl Identity {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What this says, and `other` where it says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            id: self.id.or(other.id),
            version: self.version.or(other.version),
            compatible: self.compatible.or(other.compatible),
        }
    }

    /// The machines that it is for, if that is said.
    pub fn compatible(&self) -> Option<&str> {
        self.compatible.as_deref().or(self.id.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_last_counts_and_the_rest_stays() {
        let of = |json: &str| serde_json::from_str::<Identity>(json).unwrap();
        let file = of(r#"{"id":"kiosk","version":"1"}"#);
        assert_eq!(of(r#"{"version":"2"}"#).or(file.clone()), of(r#"{"id":"kiosk","version":"2"}"#));
        assert_eq!((file.compatible(), Identity::default().compatible()), (Some("kiosk"), None));
        assert_eq!(of(r#"{"id":"kiosk","compatible":"kiosk-2"}"#).compatible(), Some("kiosk-2"));
        assert!(serde_json::from_str::<Identity>(r#"{"name":"kiosk"}"#).is_err());
    }
}
