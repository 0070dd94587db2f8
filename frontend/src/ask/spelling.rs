//! How the user of each role types a setting that a hint names.

use exporter::hint::Setting;

use super::attribute::variable;
use super::request::PACKAGES_CONTEXT;

/// A flag of this program: `--size 10G`.
pub(crate) fn flag(setting: Setting, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("--{} {value}", setting.name()),
        None => format!("--{}", setting.name()),
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
pub(crate) fn build_argument(setting: Setting, value: Option<&str>) -> String {
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
            assert_eq!(super::flag(setting, value), flag);
            assert_eq!(super::attribute(setting, value), attribute);
            assert_eq!(build_argument(setting, value), argument);
        }
    }

    #[test]
    fn every_setting_is_an_attribute_by_its_name() {
        for setting in Setting::ALL.into_iter().filter(|setting| *setting != Setting::Packages) {
            assert!(Attribute::by_name(setting.name()).is_some(), "{setting:?}");
        }
    }
}
