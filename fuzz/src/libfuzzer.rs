//! The same targets under libFuzzer, for cargo-fuzz: `FUZZ_TARGET` says which.

#![no_main]

use std::sync::LazyLock;

use fuzz::Target;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    Target::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} is no target"))
});

fuzz_target!(|input: &[u8]| {
    if let Err(message) = (TARGET.run)(input) {
        assert!(!message.trim().is_empty(), "a refusal without a reason");
    }
});

// What libFuzzer has changed gets its checksums again.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    (TARGET.repair)(&mut data[..size]);
    size
});
