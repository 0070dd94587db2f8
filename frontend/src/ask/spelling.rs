//! How the user of each role types a setting that a hint names.

use exporter::choice::by_name;
use exporter::hint::{Setting, Spelling};

use super::attribute::{flag_of, variable};
use super::request::{HINTS, PACKAGES_CONTEXT};

/// What the hints of a build are spelled as: what whoever asked for it has typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hints {
    /// As every client takes them.
    #[default]
    BuildArguments,
    /// As `vmimage build` takes them.
    Flags,
    /// As `--output type=vmdisk` takes them.
    Attributes,
}

impl Hints {
    pub(super) const ALL: [Self; 3] = [Self::BuildArguments, Self::Flags, Self::Attributes];

    /// Their name: `build-argument`, `flag`, `attribute`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BuildArguments => "build-argument",
            Self::Flags => "flag",
            Self::Attributes => "attribute",
        }
    }

    /// Those of a name, where it may be wrong or missing.
    pub(crate) fn named(name: Option<&str>) -> Self {
        let found = name.map(|name| by_name(&Self::ALL, Self::name, name));
        found.and_then(Result::ok).unwrap_or_default()
    }

    /// The build argument that a client asks for them with: its name and its value.
    pub(crate) fn argument(self) -> (String, String) {
        (HINTS.to_owned(), self.name().to_owned())
    }

    /// How each setting is typed.
    pub(crate) fn spelling(self) -> Spelling {
        match self {
            Self::BuildArguments => build_argument,
            Self::Flags => flag,
            Self::Attributes => attribute,
        }
    }
}

/// A flag of this program: `--size 10G`.
pub(crate) fn flag(setting: Setting, value: Option<&str>) -> String {
    let flag = flag_of(setting.name());
    match value {
        Some(value) => format!("{flag} {value}"),
        None => flag,
    }
}

/// An attribute of `--output type=vmdisk`: `size=10G`.
pub(crate) fn attribute(setting: Setting, value: Option<&str>) -> String {
    match (setting, value) {
        (Setting::Packages, _) => context(value),
        (_, Some(value)) => format!("{}={value}", setting.name()),
        (_, None) => setting.name().to_owned(),
    }
}

/// A build argument, which every client of a build has: `--build-arg VMIMAGE_SIZE=10G`.
fn build_argument(setting: Setting, value: Option<&str>) -> String {
    match (setting, value) {
        (Setting::Packages, _) => context(value),
        (_, Some(value)) => format!("--build-arg {}={value}", variable(setting.name())),
        (_, None) => variable(setting.name()),
    }
}

/// A folder of the client's is no text, so no attribute has it.
fn context(folder: Option<&str>) -> String {
    match folder {
        Some(folder) => format!("--build-context {PACKAGES_CONTEXT}={folder}"),
        None => format!("--build-context {PACKAGES_CONTEXT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Attribute;

    #[test]
    fn a_setting_is_spelled_as_the_role_takes_it() {
        for (setting, value, flag, attribute, argument) in [
            (Setting::Size, Some("10G"), "--size 10G", "size=10G", "--build-arg VMIMAGE_SIZE=10G"),
            (Setting::Service, None, "--service", "service", "VMIMAGE_SERVICE"),
            (
                Setting::Packages,
                Some("DIR"),
                "--packages DIR",
                "--build-context vmimage-packages=DIR",
                "--build-context vmimage-packages=DIR",
            ),
        ] {
            let spelled = Hints::ALL.map(|hints| hints.spelling()(setting, value));
            assert_eq!(spelled, [argument, flag, attribute]);
        }
    }

    #[test]
    fn hints_are_asked_for_by_name_and_none_is_an_error() {
        for hints in Hints::ALL {
            assert_eq!(Hints::named(Some(&hints.argument().1)), hints);
        }
        assert_eq!([None, Some("verse")].map(Hints::named), [Hints::BuildArguments; 2]);
    }

    #[test]
    fn every_setting_is_an_attribute_by_its_name() {
        for setting in Setting::ALL.into_iter().filter(|setting| *setting != Setting::Packages) {
            assert!(Attribute::by_name(setting.name()).is_some(), "{setting:?}");
        }
    }
}
