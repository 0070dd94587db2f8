//! For which machines an image is.
//!
//! Which image fits is judged as containerd does (`platforms.Only`), so that a disk holds what its engines and
//! docker would pull: <https://github.com/containerd/platforms/blob/v1.0.0-rc.4/compare.go>. Two things differ. A
//! 64-bit processor also runs 32-bit programs, but a machine of them would be another one than was asked for. And
//! where no variant was asked for and the plain one is not there, the lowest variant is better than none.

use std::cmp::Reverse;
use std::fmt;

/// An operating system and a processor, by the names of Go (`linux`, `amd64`, `arm64`), as OCI images
/// have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// GOOS.
    pub os: String,
    /// GOARCH.
    pub architecture: String,
    /// Of the processor: `v3` of `amd64`. An image for a lower one runs there too.
    pub variant: Option<String>,
    /// What the system can beyond the usual (`os.features`): an image wants no other.
    pub features: Vec<String>,
}

/// How an image fits what was asked for: the least fits best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    /// From the variant that was asked for.
    steps: u32,
    /// An image that uses more of what the system can comes first.
    features: Reverse<usize>,
}

/// Steps to variants that were not asked for, and that not every machine has.
const BEYOND: u32 = 1000;
/// The level of arm64's v9, behind all there are of v8.
const ARM64_V9: u32 = 10;

impl Platform {
    /// Linux on a processor of this name.
    pub fn linux(architecture: &str) -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
            features: Vec::new(),
        }
    }

    /// From text as docker takes it: `linux/arm64/v8`, `linux(+FEATURE)/amd64`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (system, architecture, variant) = (parts.next()?, parts.next()?, parts.next());
        let (os, features) = match system.split_once("(+") {
            Some((os, features)) => (os, features.strip_suffix(')')?.split('+').map(str::to_owned).collect()),
            None => (system, Vec::new()),
        };
        let variant = variant.map(str::to_owned);
        let platform = Self { os: os.to_owned(), architecture: architecture.to_owned(), variant, features };
        parts.next().is_none().then_some(platform)
    }

    /// How an image of this platform fits what was asked for; `None` if it is for other machines.
    pub(super) fn fit(&self, image: &Self) -> Option<Fit> {
        let is_known = |feature| self.features.contains(feature);
        let fits = self.os == image.os
            && self.architecture() == image.architecture()
            && image.features.iter().all(is_known);
        let steps = self.steps(image).filter(|_| fits)?;
        Some(Fit { steps, features: Reverse(image.features.len()) })
    }

    /// How far the image's variant is from the one that was asked for, if that is one for it.
    fn steps(&self, image: &Self) -> Option<u32> {
        if self.variant() == image.variant() {
            return Some(0);
        }
        let is_asked = !self.variant().is_empty();
        match (self.level(), image.level()) {
            (Some(asked), Some(image)) if self.runs(asked, image) => Some(asked - image),
            (_, Some(image)) if !is_asked => Some(BEYOND + image),
            (_, None) if !is_asked => Some(u32::MAX),
            _ => None,
        }
    }

    /// Whether a processor of the level `asked` runs what is for the level `image`.
    fn runs(&self, asked: u32, image: u32) -> bool {
        // Arm's v9.0 came with what v8.5 has, and so on.
        let v8_max = asked.checked_sub(ARM64_V9).map(|minor| minor + 5);
        let is_v8 = self.architecture() == "arm64" && image < ARM64_V9;
        image <= asked && (!is_v8 || v8_max.is_none_or(|max| image <= max))
    }

    /// The variants of a processor in the order in which each runs what is for those before.
    fn level(&self) -> Option<u32> {
        let version = self.variant().trim_start_matches('v');
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        match (self.architecture(), major.parse().ok(), minor.parse().ok()?) {
            ("amd64", None, _) if version.is_empty() => Some(1),
            ("arm", None, _) if version.is_empty() => Some(7),
            ("arm64", None, _) if version.is_empty() => Some(0),
            ("amd64", Some(major @ 1..=4), 0) | ("arm", Some(major @ 5..=8), 0) => Some(major),
            ("arm64", Some(8), minor @ 0..ARM64_V9) => Some(minor),
            ("arm64", Some(9), minor @ 0..100) => Some(ARM64_V9 + minor),
            _ => None,
        }
    }

    fn variant(&self) -> &str {
        self.variant.as_deref().unwrap_or_default()
    }

    /// By Go's name, where the system's own is in use too.
    fn architecture(&self) -> &str {
        match &*self.architecture {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            name => name,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if !self.features.is_empty() {
            write!(f, "(+{})", self.features.join("+"))?;
        }
        write!(f, "/{}", self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of `there` is taken for `asked`, best first.
    fn order<'a>(asked: &str, there: &[&'a str]) -> Vec<&'a str> {
        let asked = Platform::parse(asked).unwrap();
        let fit = |text: &&'a str| Some((asked.fit(&Platform::parse(text).unwrap())?, *text));
        let mut fitting: Vec<_> = there.iter().filter_map(fit).collect();
        fitting.sort_by_key(|(fit, _)| *fit);
        fitting.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn variants_are_taken_in_the_order_of_containerd() {
        for (asked, there, expected) in [
            ("linux/amd64/v3", "v1 v4 v2 v3", "v3 v2 v1"),
            ("linux/amd64", "v3 v2 v1", "v1 v2 v3"),
            ("linux/amd64/v1", "v2 v1", "v1"),
            ("linux/arm64", "v9 v8.2 v8", "v8 v8.2 v9"),
            ("linux/arm64/v9.1", "v8 v8.7 v9.2 v8.6 v9 v9.1", "v9.1 v9 v8.6 v8"),
            ("linux/arm64/v8.4", "v9 v8.5 v8.4 v8", "v8.4 v8"),
            ("linux/arm", "v5 v8 v6", "v6 v5 v8"),
            ("linux/ppc64le", "power10", "power10"),
            ("linux/ppc64le/power9", "power10", ""),
        ] {
            let architecture = asked.split('/').nth(1).unwrap();
            let full: Vec<_> =
                there.split(' ').map(|variant| format!("linux/{architecture}/{variant}")).collect();
            let there: Vec<_> = full.iter().map(String::as_str).collect();
            let taken: Vec<_> =
                order(asked, &there).iter().map(|text| text.rsplit('/').next().unwrap()).collect();
            assert_eq!(taken.join(" "), expected, "{asked}");
        }
    }

    #[test]
    fn a_processor_has_one_plain_variant_and_several_names() {
        for (asked, image) in [
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64", "linux/x86_64"),
            ("linux/arm64", "linux/aarch64/v8.0"),
        ] {
            assert_eq!(order(asked, &[image]), [image], "{asked}");
        }
        for image in ["linux/386", "linux/arm64", "windows/amd64", "unknown/unknown", "linux/arm/v7"] {
            assert!(order("linux/amd64", &[image]).is_empty(), "{image}");
        }
    }

    #[test]
    fn features_that_were_not_asked_for_are_not_taken() {
        let there = ["linux/amd64/v1", "linux(+erofs)/amd64", "linux(+erofs+x)/amd64", "linux(+y)/amd64"];
        assert_eq!(order("linux/amd64", &there), ["linux/amd64/v1"]);
        assert_eq!(order("linux(+x+erofs)/amd64", &there), [there[2], there[1], there[0]]);
        assert_eq!(order("linux/amd64", &there[1..]), [""; 0]);
        for text in ["linux(+erofs+x)/amd64/v2", "linux/arm64"] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), text);
        }
        for text in ["linux", "linux/arm64/v8/x", "linux(+x/amd64"] {
            assert_eq!(Platform::parse(text), None);
        }
    }
}
