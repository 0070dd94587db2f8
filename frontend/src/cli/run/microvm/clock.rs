//! The processor's clock on a machine that has nothing else to measure it by.
//!
//! QEMU's `microvm` has neither an HPET nor ACPI's timer. By emulation the ticks of its PIT come late where the host is busy,
//! and a kernel that cannot measure its TSC by them hangs. The TSC that it sees is this host's own, so its speed is
//! known here (kernel-parameters.txt: `tsc_early_khz=`, `tsc=`).

use std::fs;

/// In kHz, where the host's driver knows it.
const BASE: &str = "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency";
const CPUINFO: &str = "/proc/cpuinfo";

/// What a kernel is told; `None` where this host has no TSC, or does not say how fast it is.
pub(super) fn words() -> Option<String> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let khz = read(BASE).and_then(|text| text.trim().parse().ok());
    let khz = khz.or_else(|| read(CPUINFO).as_deref().and_then(khz_of))?;
    Some(format!("tsc_early_khz={khz} tsc=reliable"))
}

/// Of the first processor in cpuinfo; arm64's say none.
fn khz_of(cpuinfo: &str) -> Option<u32> {
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let mhz: f64 = line.split_once(':')?.1.trim().parse().ok()?;
    (100.0..100_000.0).contains(&mhz).then_some((mhz * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_what_the_host_says() {
        let intel =
            "processor\t: 0\nmodel name\t: x\ncpu MHz\t\t: 2596.120\nprocessor\t: 1\ncpu MHz\t\t: 1.0\n";
        assert_eq!(khz_of(intel), Some(2_596_120));
        for none in [
            "",
            "processor: 0\nBogoMIPS: 50.00\n",
            "cpu MHz\t: fast\n",
            "cpu MHz\t: 0.0\n",
            "cpu MHz\t: NaN\n",
        ] {
            assert_eq!(khz_of(none), None, "{none}");
        }
    }
}
