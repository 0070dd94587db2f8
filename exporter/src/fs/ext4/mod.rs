//! ext4.
