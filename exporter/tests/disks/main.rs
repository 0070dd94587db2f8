//! Whole disks, from the input to the files: what is on them stays what it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod encrypted;
mod grub_key;
mod images;
mod inputs;
mod kernels;
mod layouts;
mod loaders;
mod medium;
mod microvm;
mod persist;
mod planner;
mod random;
mod same_bytes;
mod served;
mod slots;
mod updates;
mod verity;
mod verity_microvm;
mod verity_signature;
mod volatile;
