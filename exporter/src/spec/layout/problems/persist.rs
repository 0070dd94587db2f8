//! What is kept, where that cannot be.

use super::mounts::lies_at_or_below;
use super::{Search, TextFormat};
use crate::disk::TableKind;
use crate::fs::FileSystem;
use crate::spec::Persist;
use crate::spec::layout::Slot;

/// Keys of the table, as the configuration has them.
const TABLE: &str = "persist";
const OVERLAY: &str = "persist.overlay";
const BIND: &str = "persist.bind";
const CREATE: &str = "persist.create";

/// Whose content is the image's, so that an update can replace it, or nobody's.
const NOT_KEPT: [(&str, &str); 14] = [
    ("/boot", OF_THE_IMAGE),
    ("/bin", OF_THE_IMAGE),
    ("/sbin", OF_THE_IMAGE),
    ("/lib", OF_THE_IMAGE),
    ("/lib64", OF_THE_IMAGE),
    ("/usr/bin", OF_THE_IMAGE),
    ("/usr/sbin", OF_THE_IMAGE),
    ("/usr/lib", OF_THE_IMAGE),
    ("/usr/lib64", OF_THE_IMAGE),
    ("/usr/libexec", OF_THE_IMAGE),
    ("/dev", OF_THE_KERNEL),
    ("/proc", OF_THE_KERNEL),
    ("/sys", OF_THE_KERNEL),
    ("/run", OF_THE_KERNEL),
];
const OF_THE_IMAGE: &str = "is the image's, with programs that an update replaces";
const OF_THE_KERNEL: &str = "is made anew at each boot";

/// What the partition has of its own.
const OWN: [&str; 5] = ["bind", "overlay", "work", "new", "lost+found"];

impl Search<'_> {
    pub(super) fn persist(&mut self) {
        let Some(kept) = self.spec.kept() else { return };
        let slot = self.slots.iter().find(|slot| slot.label == Persist::LABEL);
        match slot {
            Some(slot) => self.partition_of_persist(slot),
            None => {
                let message = "what is kept lies on a partition with label = \"persist\", and there is none";
                self.add(None, TABLE, message);
            }
        }
        let directories: Vec<_> = kept.directories().collect();
        for (at, (key, path)) in directories.iter().enumerate() {
            let key = if *key == "bind" { BIND } else { OVERLAY };
            self.kept_directory(key, path, slot);
            for (_, other) in directories.iter().enumerate().filter(|(other, _)| *other != at) {
                self.kept_within(key, path, other.1, other.0);
            }
        }
        kept.create.iter().for_each(|path| self.created(path));
    }

    fn partition_of_persist(&mut self, slot: &Slot) {
        let Slot { asked, file_system, mount, options, read_only, .. } = slot;
        if self.spec.layout.table == TableKind::Mbr {
            let message = "an MBR has no labels, by which the partition of what is kept is found: a GPT has";
            self.add(None, "table", message);
        }
        if *file_system != Some(FileSystem::Ext4) {
            self.add(*asked, "filesystem", "what is kept lies on an ext4");
        }
        if mount.as_deref().is_none_or(|point| point == "/") {
            self.add(*asked, "mount", "what is kept needs a place in the machine, such as /persist");
        }
        if *read_only {
            self.add(*asked, "read-only", "what is kept is written to");
        } else if !options.is_empty() {
            let message = "it is mounted before the init, by vmimage-early, with options of its own";
            self.add(*asked, "options", message);
        }
    }

    /// A directory by itself, and beside the partitions.
    fn kept_directory(&mut self, key: &'static str, path: &str, persist: Option<&Slot>) {
        if TextFormat::PlainPath.check(path).is_err() || path == "/" {
            self.add(None, key, format!("{path:?} is no plain path of a directory below /"));
        }
        if let Some((_, why)) = NOT_KEPT.iter().find(|(folder, _)| lies_at_or_below(path, folder)) {
            self.add(None, key, format!("{path} {why}"));
        } else if path == "/usr" {
            self.add(None, key, format!("{path} {OF_THE_IMAGE}"));
        }
        for slot in self.slots {
            let Some(point) = slot.mount.as_deref().filter(|point| *point != "/") else { continue };
            if Some(slot) == persist && (lies_at_or_below(point, path) || lies_at_or_below(path, point)) {
                let message = format!("{path} and {point}, where the partition itself is, lie in each other");
                self.add(None, key, message);
            } else if lies_at_or_below(path, point) {
                let message = format!("{path} is on {}, a partition that is mounted over it", slot.label);
                self.add(None, key, message);
            }
        }
    }

    /// What lies in another one is kept by that.
    fn kept_within(&mut self, key: &'static str, path: &str, other: &str, other_key: &str) {
        if path == other {
            self.add(None, key, format!("{path} is kept twice"));
        } else if lies_at_or_below(path, other) {
            self.add(None, key, format!("{path} lies in {other}, which {other_key} keeps as a whole"));
        }
    }

    fn created(&mut self, path: &str) {
        let first = path.split('/').nth(1).unwrap_or_default();
        if TextFormat::PlainPath.check(path).is_err() || path == "/" {
            self.add(None, CREATE, format!("{path:?} is no plain path of a directory of the partition"));
        } else if OWN.contains(&first) {
            self.add(None, CREATE, format!("/{first} of the partition is vmimage's own"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems;
    use crate::spec::layout::slots;
    use crate::spec::{Profile, Spec, Volatile};

    fn said(layout: &str, persist: &str) -> Vec<String> {
        let layout = serde_json::from_str(layout).unwrap();
        let spec = Spec { layout, persist: serde_json::from_str(persist).unwrap(), ..Spec::default() };
        let found = problems(&spec, &slots(&spec));
        found.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    fn with(partition: &str) -> String {
        format!(r#"{{"preset":"simple","partitions":[{partition}]}}"#)
    }

    const PERSIST: &str = r#"{"type":"linux-generic","label":"persist","mount":"/persist","grow":true}"#;

    #[test]
    fn what_can_be_kept_has_no_problems() {
        for (layout, persist) in [
            (with(PERSIST), "{}"),
            (with(PERSIST), r#"{"overlay":["/etc","/usr/local"],"bind":["/var","/srv"],"create":["/a/b"]}"#),
            (with(PERSIST), r#"{"overlay":[],"bind":[]}"#),
            // A partition in what is kept is one of the machine's, and keeps what it has.
            (with(&format!(r#"{PERSIST},{{"type":"linux-generic","mount":"/var/log"}}"#)), "{}"),
            (with(&format!(r#"{PERSIST},{{"type":"var"}}"#)), r#"{"bind":[]}"#),
            // Nothing is kept, so that the name is one like any other.
            (with(r#"{"type":"swap","label":"persist","size":"1G"}"#), "null"),
        ] {
            assert_eq!(said(&layout, persist), [""; 0], "{layout} {persist}");
        }
    }

    #[test]
    fn each_problem_of_what_is_kept_is_said_with_its_key() {
        let of = |more: &str| PERSIST.replace(r#","grow":true"#, more);
        for (layout, persist, expected) in [
            (
                "{}".to_owned(),
                "{}",
                "persist: what is kept lies on a partition with label = \"persist\", and",
            ),
            (with(&of(r#","filesystem":"xfs""#)), "{}", "filesystem: what is kept lies on an ext4"),
            (with(&of(r#","read-only":true"#)), "{}", "read-only: what is kept is written to"),
            (with(&of(r#","options":"noatime""#)), "{}", "options: it is mounted before the init"),
            (
                with(r#"{"type":"linux-generic","label":"persist"}"#),
                "{}",
                "mount: what is kept needs a place",
            ),
            (
                with(PERSIST).replace("{\"preset", "{\"table\":\"mbr\",\"preset"),
                "{}",
                "table: an MBR has no labels",
            ),
            (
                with(PERSIST),
                r#"{"bind":["/var","/etc/ssh"]}"#,
                "persist.bind: /etc/ssh lies in /etc, which overlay",
            ),
            (
                with(PERSIST),
                r#"{"overlay":["/var/lib"]}"#,
                "persist.overlay: /var/lib lies in /var, which bind",
            ),
            (with(PERSIST), r#"{"overlay":["/var"]}"#, "persist.overlay: /var is kept twice"),
            (with(PERSIST), r#"{"bind":["/"]}"#, "persist.bind: \"/\" is no plain path"),
            (with(PERSIST), r#"{"bind":["/a/../b"]}"#, "persist.bind: \"/a/../b\" is no plain path"),
            (with(PERSIST), r#"{"bind":["/usr"]}"#, "persist.bind: /usr is the image's, with programs"),
            (with(PERSIST), r#"{"overlay":["/usr/lib/x"]}"#, "persist.overlay: /usr/lib/x is the image's"),
            (with(PERSIST), r#"{"bind":["/run/x"]}"#, "persist.bind: /run/x is made anew at each boot"),
            (with(PERSIST), r#"{"bind":["/persist/x"]}"#, "persist.bind: /persist/x and /persist, where"),
            (
                with(&format!(r#"{PERSIST},{{"type":"srv"}}"#)),
                r#"{"bind":["/srv/www"]}"#,
                "persist.bind: /srv/www is on srv, a partition that is mounted over it",
            ),
            (
                with(PERSIST),
                r#"{"create":["/bind/x"]}"#,
                "persist.create: /bind of the partition is vmimage's",
            ),
            (with(PERSIST), r#"{"create":["data"]}"#, "persist.create: \"data\" is no plain path"),
        ] {
            let said = said(&layout, persist);
            assert!(said.iter().any(|problem| problem.starts_with(expected)), "{expected}: {said:?}");
        }
    }

    #[test]
    fn a_root_beside_what_is_kept_is_only_read() {
        let erofs =
            with(&format!(r#"{PERSIST},{{"type":"root","filesystem":"erofs"}},{{"type":"xbootldr"}}"#));
        assert_eq!(said(&erofs, "{}"), [""; 0]);
        assert!(!said(&erofs, "null").is_empty());
        let written = with(&format!(r#"{PERSIST},{{"type":"root","read-only":false}}"#));
        assert_eq!(
            said(&written, "{}"),
            ["read-only: something is kept (persist), which makes the root read-only"]
        );
        let spec = Spec {
            layout: serde_json::from_str(&with(PERSIST)).unwrap(),
            persist: Some(Default::default()),
            ..Spec::default()
        };
        for volatile in [Volatile::No, Volatile::State, Volatile::Overlay] {
            let slots = slots(&Spec { volatile, ..spec.clone() });
            let is_covered: Vec<_> = slots.iter().map(|slot| slot.is_covered).collect();
            assert_eq!(is_covered, [false, false, volatile == Volatile::Overlay, true]);
            assert!(slots[2].read_only && !slots[2].grow && slots[3].grow);
        }
        let data = Spec { profile: Profile::Data, ..spec };
        assert!(slots(&data).iter().all(|slot| !slot.is_covered));
    }
}
