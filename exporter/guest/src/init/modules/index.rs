//! `modules.dep` and `modules.alias` of depmod(8).
//!
//! ```text
//! kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz
//! alias virtio:d00000001v* virtio_net
//! ```

use std::collections::HashMap;

use super::glob;

/// Which modules there are and what they are for.
#[derive(Default)]
pub(super) struct Index {
    /// By name: the file, and the files it needs, in the reverse of the order they are loaded in.
    files: HashMap<String, Vec<String>>,
    /// Patterns of aliases, and the name of the module.
    aliases: Vec<(String, String)>,
}

impl Index {
    pub(super) fn parse(dep: &str, alias: &str) -> Self {
        let files = dep.lines().filter_map(|line| {
            let (file, needs) = line.split_once(':')?;
            let files = std::iter::once(file).chain(needs.split_whitespace()).map(str::to_owned);
            Some((name_of(file), files.collect()))
        });
        let aliases = alias.lines().filter_map(|line| {
            let mut words = line.strip_prefix("alias ")?.split_whitespace();
            Some((words.next()?.to_owned(), normal(words.next()?)))
        });
        Self { files: files.collect(), aliases: aliases.collect() }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The names of the modules that `wanted`, an alias or a name, stands for.
    pub(super) fn find(&self, wanted: &str) -> impl Iterator<Item = &str> {
        // Most patterns are for other buses, which the part before the colon tells at once. Patterns may have
        // a star before theirs: `acpi*:`.
        let bus = wanted.split_once(':').map_or("", |(bus, _)| bus);
        let matches = move |pattern: &str| {
            pattern.starts_with(bus) && glob::matches(pattern.as_bytes(), wanted.as_bytes())
        };
        let by_alias = self.aliases.iter().filter(move |(pattern, _)| matches(pattern));
        let by_name = self.files.get_key_value(&normal(wanted)).map(|(name, _)| name.as_str());
        by_name.into_iter().chain(by_alias.map(|(_, name)| name.as_str()))
    }

    /// The files to load for a module, in their order. One that is built in has none.
    pub(super) fn with_dependencies(&self, name: &str) -> Vec<String> {
        self.files.get(name).into_iter().flatten().rev().cloned().collect()
    }
}

/// `kernel/net/core/failover.ko.xz` as `failover`.
fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    normal(base.split('.').next().unwrap_or(base))
}

/// Hyphens and underscores are the same in names.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/input/touch-screen.ko.xz:
broken line
";
    const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias virtio:d00000001v* virtio_net
alias net-pf-10 ipv6
alias input:b*v*p*e*-e*k* touch-screen
alias input:* evdev
alias acpi*:LNXPWRBN:* button
alias broken
";

    fn files(wanted: &str) -> Vec<String> {
        let index = Index::parse(DEP, ALIAS);
        index.find(wanted).flat_map(|name| index.with_dependencies(name)).collect()
    }

    #[test]
    fn dependencies_come_first() {
        let expected = [
            "kernel/net/core/failover.ko",
            "kernel/drivers/net/net_failover.ko",
            "kernel/drivers/net/virtio_net.ko",
        ];
        assert_eq!(files("virtio:d00000001v00001AF4"), expected);
        assert_eq!(files("virtio_net"), expected);
        assert_eq!(files("virtio-net"), expected);
    }

    #[test]
    fn an_alias_may_mean_several_modules_or_none() {
        let index = Index::parse(DEP, ALIAS);
        let names = |wanted| index.find(wanted).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names("input:b0019v0000p0001e0000-e0,1,k74,"), ["touch_screen", "evdev"]);
        assert_eq!(names("net-pf-10"), ["ipv6"]);
        assert_eq!(names("acpi:LNXPWRBN:"), ["button"]);
        assert!(files("net-pf-10").is_empty());
        assert!(names("virtio:d00000002v00001AF4").is_empty());
        assert!(names("").is_empty());
    }
}
