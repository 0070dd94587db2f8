//! What only a disk's machine can have.

use std::path::PathBuf;

use super::serial::Serial;

/// What can be said of a disk's machine alone.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Disk options")]
pub(super) struct DiskArgs {
    /// One more disk, in any format that QEMU reads
    #[arg(long, value_name = "FILE")]
    pub(super) disk: Vec<PathBuf>,
    /// One more port, /dev/virtio-ports/NAME in the machine: a file that it is written to, a FIFO, or a socket: one that is
    /// there, or one to listen on whose name ends in .sock
    #[arg(long, value_name = "NAME=FILE|SOCKET|PIPE")]
    pub(super) serial: Vec<Serial>,
    /// Boot with the firmware in this file, one that is whole (such as coreboot's, or an OVMF.fd)
    #[arg(id = "firmware-file", long = "firmware", value_name = "FILE", group = "firmware")]
    pub(super) firmware: Option<PathBuf>,
    /// Tell cloud-init this key to log in by: the public one
    #[arg(long, value_name = "FILE")]
    pub(super) ssh_key: Option<PathBuf>,
    /// Tell cloud-init this: a drive of its NoCloud
    #[arg(long, value_name = "FILE")]
    pub(super) user_data: Option<PathBuf>,
}
