//! Random trees: whatever they are, fsck.erofs is content, and the kernel gives them back.

use proptest::prelude::*;

use crate::kernel::assert_comes_back;
use crate::trees::random::{build, config, steps};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..config() })]

    #[test]
    fn random_trees_come_back(steps in steps()) {
        let host = tempfile::tempdir().unwrap();
        assert_comes_back(build(steps, host.path()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..config() })]

    #[test]
    #[ignore = "long: make matrix"]
    fn many_random_trees_come_back(steps in steps()) {
        let host = tempfile::tempdir().unwrap();
        assert_comes_back(build(steps, host.path()));
    }
}
