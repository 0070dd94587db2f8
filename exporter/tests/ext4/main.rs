//! The ext4 writer, judged by e2fsck, debugfs, the kernel and another reader.

mod fsck;
mod support;
