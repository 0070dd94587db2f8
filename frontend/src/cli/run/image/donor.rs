//! Which image gives an image its kernel: the plain one of its distribution and release, so that all have one in common.

use exporter::tree::os::Os;

/// The one of images of which nothing better is known.
const DEBIAN: &str = "docker.io/library/debian:12";

/// How much of a release is in the names of a distribution's images.
enum Release {
    /// All of it: `12`, `22.04`.
    Whole,
    /// Its first number: `9` of `9.4`.
    Major,
    /// Two numbers: `3.23` of `3.23.6`.
    Minor,
}

/// Distributions by their `ID` (os-release(5)), with their images.
const DISTRIBUTIONS: [(&str, &str, Release); 7] = [
    ("debian", "docker.io/library/debian", Release::Whole),
    ("ubuntu", "docker.io/library/ubuntu", Release::Whole),
    ("alpine", "docker.io/library/alpine", Release::Minor),
    ("fedora", "docker.io/library/fedora", Release::Whole),
    ("almalinux", "docker.io/library/almalinux", Release::Major),
    ("rocky", "docker.io/rockylinux/rockylinux", Release::Major),
    ("opensuse-leap", "docker.io/opensuse/leap", Release::Whole),
];

/// The image for files of this system.
pub(super) fn of(os: &Os) -> String {
    let known = DISTRIBUTIONS.iter().find(|(id, ..)| *id == os.id);
    let found = known.zip(os.version_id.as_deref()).and_then(|((_, image, release), version)| {
        let numbers = match release {
            Release::Whole => usize::MAX,
            Release::Major => 1,
            Release::Minor => 2,
        };
        let tag = version.split('.').take(numbers).collect::<Vec<_>>().join(".");
        // It is part of a command line, and a stranger's.
        let is_tag =
            matches!(tag.len(), 1..=16) && tag.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_tag.then(|| format!("{image}:{tag}"))
    });
    found.unwrap_or_else(|| DEBIAN.to_owned())
}

#[cfg(test)]
mod tests {
    use exporter::tree::os::Family;

    use super::*;

    #[test]
    fn an_image_has_the_kernel_of_its_distribution_and_others_debians() {
        let of = |id: &str, version: &str| {
            super::of(&Os {
                id: id.to_owned(),
                id_like: Vec::new(),
                version_id: Some(version.to_owned()).filter(|version| !version.is_empty()),
                pretty_name: String::new(),
                family: Family::Other,
                init: None,
            })
        };
        for (id, version, image) in [
            ("debian", "12", "docker.io/library/debian:12"),
            ("ubuntu", "24.04", "docker.io/library/ubuntu:24.04"),
            ("alpine", "3.23.6", "docker.io/library/alpine:3.23"),
            ("rocky", "9.4", "docker.io/rockylinux/rockylinux:9"),
            ("debian", "", DEBIAN),
            ("linux", "", DEBIAN),
            ("wolfi", "20230201", DEBIAN),
            ("debian", "12 --push", DEBIAN),
            ("debian", "12/../x", DEBIAN),
            ("alpine", "3.", DEBIAN_OF_ALPINE),
        ] {
            assert_eq!(of(id, version), image, "{id} {version}");
        }
    }

    /// A release that is none has no image, which whoever asks for it says.
    const DEBIAN_OF_ALPINE: &str = "docker.io/library/alpine:3.";
}
