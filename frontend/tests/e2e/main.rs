//! End to end, on real parts: Docker builds with the frontend image, QEMU boots, fsck checks.
//!
//! `make test` prepares what is needed (see `.ci/setup`); a missing part fails the tests.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod arm64;
mod boot;
mod build;
mod buildah;
mod choice;
mod config;
mod container_base;
mod container_disk;
mod convert;
mod disk;
mod distributions;
mod drivers;
mod empty_store;
mod encrypted;
mod errors;
mod external;
mod failures;
mod fall_back;
mod fidelity;
mod field;
mod firmware;
mod formats;
mod grub_key;
mod identity;
mod images;
mod install;
mod installer;
mod iso;
mod kernels;
mod kubeos;
mod lab;
mod lan;
mod layout_rows;
mod layouts;
mod loaders;
mod luks_readers;
mod machines;
mod media;
mod metal;
mod microvm;
mod microvm_agent;
mod microvm_files;
mod microvm_input;
mod microvm_machines;
mod netboot;
mod network;
mod no_network;
mod offline;
mod own_keys;
mod packages;
mod persist;
mod proxy;
mod qmp;
mod rack;
mod rauc;
#[path = "../registry/registry.rs"]
mod registry;
mod remote;
mod rpm;
mod run_images;
mod same_tree;
mod scratch;
mod sealed;
mod sealed_microvm;
mod sealed_slots;
mod served;
mod service;
mod shim;
mod site;
mod slot_changes;
mod slots;
mod sources;
mod sysupdate;
mod tables;
#[path = "../web/tls.rs"]
mod tls;
mod trust;
mod two_disks;
mod unlocking;
mod update_boots;
mod update_broken;
mod update_cuts;
mod update_images;
mod update_machine;
mod update_servers;
mod update_tls;
mod update_window;
mod updates;
mod upgrades;
mod variants;
#[path = "../web/version.rs"]
mod version;
mod volatile;
mod watched;
#[path = "../web/web.rs"]
mod web;
