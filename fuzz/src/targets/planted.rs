//! Targets with faults: what they do to a driver that looks away.

use crate::{Target, repair};

const HARMLESS: Target = Target {
    name: "",
    seeds: || vec![vec![0; 64]],
    words: &[],
    grain: 1,
    repair: repair::nothing,
    run: |_| Ok(()),
};

/// As good as every damaged input has it.
fn is_met(input: &[u8]) -> bool {
    input.iter().any(|&byte| byte != 0)
}

pub(super) const PANIC: Target = Target {
    name: "planted-panic",
    run: |input| {
        assert!(!is_met(input), "planted");
        Ok(())
    },
    ..HARMLESS
};

/// On a thread of the target's own, whose end nobody looks at.
pub(super) const THREAD: Target = Target {
    name: "planted-thread",
    run: |input| {
        let is_met = is_met(input);
        let _ = std::thread::spawn(move || assert!(!is_met, "planted")).join();
        Ok(())
    },
    ..HARMLESS
};

pub(super) const ALLOCATION: Target = Target {
    name: "planted-allocation",
    run: |input| {
        let len = if is_met(input) { 300 << 20 } else { 100 << 20 };
        std::hint::black_box(vec![0_u8; len]);
        Ok(())
    },
    ..HARMLESS
};

pub(super) const ENDLESS: Target = Target {
    name: "planted-endless",
    run: |input| {
        while is_met(std::hint::black_box(input)) {}
        Ok(())
    },
    ..HARMLESS
};

/// A recursion that the input decides on.
pub(super) const DEEP: Target = Target {
    name: "planted-deep",
    run: |input| {
        fn descend(left: usize) -> usize {
            let frame = std::hint::black_box([left; 64]);
            if left == 0 { 0 } else { descend(left - 1) + frame[0] }
        }
        std::hint::black_box(descend(if is_met(input) { usize::MAX } else { 3 }));
        Ok(())
    },
    ..HARMLESS
};

pub(super) const SILENT: Target = Target {
    name: "planted-silence",
    run: |input| if is_met(input) { Err(" ".to_owned()) } else { Ok(()) },
    ..HARMLESS
};

/// A target that never gets anywhere.
pub(super) const REFUSES: Target =
    Target { name: "planted-refusal", run: |_| Err("never".to_owned()), ..HARMLESS };
