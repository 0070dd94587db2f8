//! `vmimage-grow [--root MOUNTPOINT]`: grow the root partition and its ext4 to the disk, while mounted.
//!
//! ```text
//! / ─stat─▶ device number ─/sys/dev/block─▶ partition, disk
//! GPT: backup to the end of the disk, last partition to the last usable block ─BLKPG─▶ kernel
//! ext4 ─EXT4_IOC_RESIZE_FS─▶ the whole partition
//! ```
//!
//! It does nothing a second time. What it does not know (another partition table, another file system, a
//! root that is not the last partition) it leaves alone and says so; only what fails is an error.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

mod blkpg;
mod device;
mod ext4;
mod gpt;
mod grow;

fn main() -> ExitCode {
    let result = root(std::env::args_os().skip(1).collect()).and_then(|root| grow::grow(&root));
    match result {
        Ok(done) => {
            println!("vmimage-grow: {done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vmimage-grow: {error}");
            ExitCode::FAILURE
        }
    }
}

fn root(arguments: Vec<OsString>) -> Result<PathBuf, String> {
    match &arguments[..] {
        [] => Ok("/".into()),
        [option, path] if option == "--root" => Ok(path.into()),
        _ => Err("usage: vmimage-grow [--root MOUNTPOINT]".into()),
    }
}
