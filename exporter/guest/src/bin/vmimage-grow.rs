//! `vmimage-grow [--root MOUNTPOINT]`: grow the root partition and its ext4 to the disk, while mounted.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = root(std::env::args_os().skip(1).collect()).and_then(|root| guest::grow::grow(&root));
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
