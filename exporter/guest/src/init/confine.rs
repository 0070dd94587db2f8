//! What the service may do of what root may: capabilities(7), docker's by default.
//!
//! They leave the bounding set, which no program that is executed gets over, as root or by a file's capabilities. Users other
//! than root have none of them, as in a container.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use serde::Deserialize;

/// Their names, at their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
const ALL: &str = "ALL";
/// What the kernel may get more of.
const EVERY: u64 = u64::MAX;

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE and
/// SETFCAP.
const DOCKERS: u64 = 0xa804_25fb;

/// Changes to docker's capabilities, by name with or without `CAP_`; `ALL` is all of them.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Capabilities {
    add: Vec<String>,
    drop: Vec<String>,
}

impl Capabilities {
    /// Those that are left, a bit for each number.
    pub(crate) fn kept(&self) -> Result<u64, String> {
        let (add, drop) = (numbers(&self.add)?, numbers(&self.drop)?);
        // What is named is meant before ALL, as docker has it.
        Ok(match (add, drop) {
            (EVERY, EVERY) => return Err("capabilities: ALL cannot be added and dropped".to_owned()),
            (add, EVERY) => add,
            (add, drop) => (DOCKERS | add) & !drop,
        })
    }
}

fn numbers(names: &[String]) -> Result<u64, String> {
    names.iter().try_fold(0, |all, name| Ok(all | number(name)?))
}

fn number(name: &str) -> Result<u64, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let known = NAMES.iter().position(|known| *known == short).map(|bit| 1 << bit);
    known
        .or((short == ALL).then_some(EVERY))
        .ok_or_else(|| format!("capability {name}: there is none of this name"))
}

/// Leave nothing but these capabilities to what this process executes.
pub(crate) fn keep_only(kept: u64) -> Result<(), String> {
    for bit in (0..u64::BITS).map(|number| 1 << number).filter(|bit| kept & bit == 0) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // The numbers of this kernel end here.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(format!("capabilities cannot be dropped: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(add: &[&str], drop: &[&str]) -> Result<u64, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Capabilities { add: owned(add), drop: owned(drop) }.kept()
    }

    #[test]
    fn names_are_the_kernels_numbers() {
        for (name, number) in [
            ("CHOWN", 0),
            ("SETPCAP", 8),
            ("NET_ADMIN", 12),
            ("SYS_ADMIN", 21),
            ("MKNOD", 27),
            ("SETFCAP", 31),
            ("SYSLOG", 34),
            ("CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(kept(&[name], &["ALL"]), Ok(1 << number), "{name}");
        }
        // Those of this library, where both have names.
        for (bit, name) in NAMES.iter().enumerate() {
            assert_eq!(CapabilitySet::from_name(name).map(|set| set.bits()), Some(1 << bit), "{name}");
        }
    }

    #[test]
    fn dockers_are_the_default() {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "NET_RAW",
            "SYS_CHROOT",
            "MKNOD",
            "AUDIT_WRITE",
            "SETFCAP",
        ];
        assert_eq!(kept(&[], &[]), Ok(DOCKERS));
        assert_eq!(kept(&names, &["ALL"]), Ok(DOCKERS));
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        assert_eq!(kept(&["cap_net_admin"], &["CHOWN"]), Ok(DOCKERS & !1 | 1 << 12));
        assert_eq!(kept(&["ALL"], &["SYS_ADMIN"]), Ok(!(1 << 21)));
        assert_eq!(kept(&["KILL"], &["KILL"]), Ok(DOCKERS & !(1 << 5)));
        assert_eq!(kept(&[], &["all"]), Ok(0));
        for (add, drop) in [(&["FLY"][..], &[][..]), (&[], &["CAP_"]), (&["ALL"], &["ALL"])] {
            assert!(kept(add, drop).is_err(), "{add:?} {drop:?}");
        }
    }
}
