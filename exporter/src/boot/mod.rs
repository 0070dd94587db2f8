//! Boot loaders: what makes the firmware find the kernel.
//!
//! ```text
//! BIOS:  MBR boot.img ─▶ BIOS boot partition core.img ─┐   (of an MBR disk: in front of the first partition)
//! UEFI:  ESP \EFI\BOOT\BOOTX64.EFI (shim) ─▶ grubx64 ──┴▶ ESP \EFI\<vendor>\grub.cfg ─▶ /boot/grub/grub.cfg
//! ```
//!
//! Both ways meet in one stub on the ESP, which finds the file system with `/boot` by its UUID: the root, or one of its own. Of
//! a machine with [slots] it chooses one.
//!
//! Or UEFI starts systemd-boot, which has its menu and the kernels beside it on the ESP; or a [uki], which is all in one.

mod bios;
pub mod choice;
mod core_image;
mod defaults;
pub mod entries;
mod esp;
mod files;
mod grub;
mod grub_key;
mod images;
mod lzma;
pub mod medium;
pub mod password;
mod shell;
pub mod slots;
pub mod systemd_boot;
mod unlock;
pub mod verity;

pub use bios::BiosBoot;
pub use core_image::core_modules;
pub use defaults::{Defaults, Written, write as write_defaults, write_kernel_cmdline};
pub use esp::{esp_tree, medium_tree, stub_path};
pub use files::{BiosImages, BootFiles, CheckingFiles, MediumFiles};
pub use grub::{BootVolume, Entry, FIRST_BOOT, Root, asked_words, entry, fixed_words, menu};
pub use images::{Enroll, Images, signed};
pub use unlock::{KEY_SCRIPT, ROOT_DEVICE, Unlock};
