//! What is wrong with what is asked of a medium: what its boot loader cannot start, and what is nobody's to do.

use super::{Medium, Mode};
use crate::disk::TableKind;
use crate::spec::layout::{Problem, SectorSize};
use crate::spec::{Architecture, Firmware, Loader, Profile, Spec};

/// Longer than anybody waits at a menu.
const TIMEOUT_MAX: u32 = 3600;

/// All that is wrong, each with its key; nothing, where no medium is asked for.
pub fn problems(spec: &Spec) -> Vec<Problem> {
    let formats = spec.formats.iter().filter(|format| format.is_medium());
    let Some(format) = formats.map(|format| format.name()).next() else { return Vec::new() };
    let problem = |(key, message)| Problem { partition: None, key, message };
    of_machine(spec, format).into_iter().chain(of_table(&spec.medium)).map(problem).collect()
}

/// What a medium is not of.
fn of_machine(spec: &Spec, format: &str) -> Vec<(&'static str, String)> {
    let Spec { profile, loader, layout, architecture, firmware, .. } = spec;
    if *profile != Profile::Machine {
        let message = format!("{format} is of machines, and profile is {}", profile.name());
        return vec![("format", message)];
    }
    let no_bios = *architecture == Architecture::Aarch64 && *firmware == Firmware::Bios;
    [
        (
            *loader == Loader::SystemdBoot,
            "loader",
            format!("{format} has a menu of GRUB's, and systemd-boot reads no other file system than its ESP: ask for grub"),
        ),
        (
            layout.table == TableKind::Mbr,
            "table",
            format!("{format} installs disks with a GPT, which alone can be moved to a larger disk: ask for gpt"),
        ),
        (
            layout.sector_size == SectorSize::Bytes4096,
            "sector-size",
            format!("{format} has a disk of 512-byte sectors, as optical drives and most disks take it"),
        ),
        (no_bios, "firmware", format!("no BIOS is on aarch64, so none starts {format}: ask for uefi")),
    ]
    .into_iter()
    .filter_map(|(is_so, key, message)| is_so.then_some((key, message)))
    .collect()
}

/// The table `[medium]`.
fn of_table(medium: &Medium) -> Vec<(&'static str, String)> {
    let Medium { modes, default, timeout, install } = medium;
    let mut found = Vec::new();
    if modes.is_empty() {
        found.push(("medium.modes", "is empty: a medium does one of live, install, rescue".to_owned()));
    }
    let is_twice = |(at, mode): (usize, &Mode)| modes.iter().take(at).any(|other| other == mode);
    if let Some((_, mode)) = modes.iter().enumerate().find(|each| is_twice(*each)) {
        found.push(("medium.modes", format!("has {} twice", mode.name())));
    }
    if let Some(mode) = default.filter(|mode| !modes.contains(mode)) {
        found.push(("medium.default", format!("{} is not among the modes", mode.name())));
    }
    if *timeout > TIMEOUT_MAX {
        found.push(("medium.timeout", format!("{timeout} seconds are more than {TIMEOUT_MAX}")));
    }
    if install.is_some() && !modes.contains(&Mode::Install) {
        let message = "tells the installer what it does, and install is not among the modes";
        found.push(("medium.install", message.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(spec: &str) -> String {
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let lines = problems(&spec).into_iter();
        let lines = lines.map(|Problem { key, message, .. }| format!("{key}: {message}"));
        lines.collect::<Vec<_>>().join("; ")
    }

    fn of(more: &str) -> String {
        said(&format!(r#"{{"formats":["iso","raw"]{more}}}"#))
    }

    #[test]
    fn what_a_medium_can_be_is_no_problem() {
        for more in [
            "",
            r#","medium":{"modes":["install"],"install":"fleet/install.toml","timeout":0}"#,
            r#","medium":{"default":"rescue"},"layout":{"preset":"ab"}"#,
            r#","firmware":"bios""#,
        ] {
            assert_eq!(of(more), "", "{more}");
        }
        // Of no medium nothing is asked.
        assert_eq!(said(r#"{"loader":"systemd-boot","medium":{"modes":[]}}"#), "");
    }

    #[test]
    fn what_it_cannot_be_is_told_by_its_key() {
        for (more, expected) in [
            (r#","profile":"data""#, "format: iso is of machines, and profile is data"),
            (r#","profile":"microvm""#, "format: iso is of machines, and profile is microvm"),
            (r#","loader":"systemd-boot""#, "loader: iso has a menu of GRUB's"),
            (r#","layout":{"table":"mbr"}"#, "table: iso installs disks with a GPT"),
            (r#","layout":{"sector-size":4096}"#, "sector-size: iso has a disk of 512-byte sectors"),
            (r#","architecture":"aarch64","firmware":"bios""#, "firmware: no BIOS is on aarch64"),
            (r#","medium":{"modes":[]}"#, "medium.modes: is empty"),
            (r#","medium":{"modes":["live","live"]}"#, "medium.modes: has live twice"),
            (r#","medium":{"modes":["live"],"default":"install"}"#, "medium.default: install is not among"),
            (r#","medium":{"timeout":4000}"#, "medium.timeout: 4000 seconds are more than 3600"),
            (
                r#","medium":{"modes":["live"],"install":"install.toml"}"#,
                "medium.install: tells the installer what it does",
            ),
        ] {
            let said = of(more);
            assert!(said.starts_with(expected) && !said.contains("; "), "{more}: {said}");
        }
    }
}
