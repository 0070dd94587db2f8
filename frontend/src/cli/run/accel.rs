//! How the guest's instructions run: by the processor (KVM) or emulated (TCG).
//!
//! `/dev/kvm` may be there and still be of no use: in a nested or cut-down virtual machine QEMU aborts, the guest
//! crawls, or only real mode works. So KVM is tried by a machine that does what firmware and kernels do, and ends.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use exporter::spec::Architecture;

use super::probe::probe_kvm;

/// Says how guests run, wherever nothing else does: for tests, the demo and benches.
pub(crate) const VARIABLE: &str = "VMIMAGE_ACCEL";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// KVM if it works, else TCG
    Auto,
    /// The host's processor
    Kvm,
    /// Emulation: works everywhere, slower
    Tcg,
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accel {
    /// The host's processor.
    Kvm,
    /// Emulation.
    Tcg,
}

impl AccelChoice {
    /// Decides by probing where there is a choice.
    pub(crate) fn decide(self, arch: Architecture, qemu: &Path) -> Accel {
        match self {
            Self::Kvm => Accel::Kvm,
            Self::Tcg => Accel::Tcg,
            Self::Auto if probe_kvm(arch, qemu).is_ok() => Accel::Kvm,
            Self::Auto => Accel::Tcg,
        }
    }
}

impl Accel {
    /// QEMU's arguments, each with all the processor features there are.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulation (TCG)",
        })
    }
}
