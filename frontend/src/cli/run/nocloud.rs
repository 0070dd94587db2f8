//! What cloud-init is told: a drive with two files, by which it knows its data source NoCloud.
//!
//! <https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html>: a FAT or ISO 9660 with the label `cidata`
//! or `CIDATA`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::fs::fat;
use exporter::seed::Seed;
use exporter::tree::{Editor, Meta, Time, Tree};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::disk_args::DiskArgs;
use crate::base::{Error, Result};

const LABEL: &str = "CIDATA";
/// What is told where nothing was said: that nothing is.
const NOTHING: &[u8] = b"#cloud-config\n";
/// The largest file that is told.
const MOST: u64 = 1 << 20;
/// A size is a multiple of this.
const UNIT: u64 = 1 << 20;
/// What public keys begin with (sshd(8), AUTHORIZED_KEYS).
const KEYS: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// The drive, in `folder`; `None`: nothing is told.
///
/// # Errors
/// If a file cannot be read, or is not what it should be.
pub(super) fn make(args: &DiskArgs, folder: &Path) -> Result<Option<PathBuf>> {
    if args.ssh_key.is_none() && args.user_data.is_none() {
        return Ok(None);
    }
    let told = match &args.user_data {
        Some(path) => read(path, "--user-data")?,
        None => NOTHING.to_vec(),
    };
    let keys = args.ssh_key.as_deref().map(keys).transpose()?.unwrap_or_default();
    let path = folder.join("cidata.raw");
    write(&path, &told, &keys)?;
    Ok(Some(path))
}

fn read(path: &Path, flag: &str) -> Result<Vec<u8>> {
    let shown = format!("{flag} {}", path.display());
    let unreadable = |error| Error::user(format!("{shown}: cannot be read")).because(error);
    let there = fs::metadata(path).map_err(unreadable)?;
    if !there.is_file() || there.len() > MOST {
        return Err(Error::user(format!("{shown}: is no file of at most {MOST} bytes")));
    }
    fs::read(path).map_err(unreadable)
}

/// The lines of a file of public keys.
fn keys(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(&read(path, "--ssh-key")?).into_owned();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines.map(str::to_owned).collect();
    let is_key = |line: &String| KEYS.iter().any(|prefix| line.starts_with(prefix)) && line.contains(' ');
    match !keys.is_empty() && keys.iter().all(is_key) {
        true => Ok(keys),
        false => Err(Error::user(format!("--ssh-key {}: is no public key", path.display()))
            .with_hint("name the file that ends in .pub")),
    }
}

fn write(path: &Path, told: &[u8], keys: &[String]) -> Result<()> {
    // cloud-init does its work once for each of these.
    let digest = Sha256::new().chain_update(told).chain_update(keys.join("\n")).finalize();
    let id = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let about = json!({ "instance-id": format!("vmimage-{id}"), "public-keys": keys });
    let mut tree = Tree::new(Meta::default());
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/user-data", told, 0o644)?;
    editor.write_file("/meta-data", about.to_string().into_bytes(), 0o644)?;
    let seed = Seed::new(&digest);
    let options = fat::Options {
        label: LABEL.to_owned(),
        serial: seed.serial("cidata"),
        size: 0,
        sector_size: 512,
        hidden_sectors: 0,
        modified: Time::default(),
        kind: None,
    };
    let size = fat::minimum_size(&tree, &options)?.next_multiple_of(UNIT);
    let volume = fat::plan(&tree, &fat::Options { size, ..options })?;
    let target = Target::new(path.to_owned(), Format::Raw, Compression::None, seed.uuid("cidata"));
    let image = RawImage { size: volume.size, extents: &*volume.extents };
    Ok(container::write(image, &[target], &Run::silent(NonZeroUsize::MIN))?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ test@host";

    fn made(user_data: Option<&str>, key: Option<&str>) -> Result<(tempfile::TempDir, Option<PathBuf>)> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: Option<&str>| {
            text.map(|text| {
                let path = folder.path().join(name);
                fs::write(&path, text).unwrap();
                path
            })
        };
        let args =
            DiskArgs { user_data: file("user", user_data), ssh_key: file("key", key), ..DiskArgs::default() };
        let drive = make(&args, folder.path())?;
        Ok((folder, drive))
    }

    fn file(drive: &Path, name: &str) -> String {
        let output = Command::new("mtype").arg("-i").arg(drive).arg(format!("::{name}")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// mtools and fsck.fat judge it.
    #[test]
    fn cloud_init_finds_two_files_on_a_fat_by_its_label() {
        let (_folder, drive) = made(Some("#!/bin/sh\necho hi\n"), Some(&format!("# mine\n{KEY}\n"))).unwrap();
        let drive = drive.unwrap();
        assert_eq!(file(&drive, "user-data"), "#!/bin/sh\necho hi\n");
        let about: serde_json::Value = serde_json::from_str(&file(&drive, "meta-data")).unwrap();
        assert_eq!(about["public-keys"], json!([KEY]));
        let id = about["instance-id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("vmimage-") && id.len() == 24, "{id}");
        let label = Command::new("mlabel").arg("-s").arg("-i").arg(&drive).arg("::").output().unwrap();
        assert!(String::from_utf8_lossy(&label.stdout).contains(LABEL), "{label:?}");
        let check = Command::new("fsck.fat").arg("-n").arg(&drive).output().unwrap();
        assert!(check.status.success(), "{check:?}");
        let (_folder, other) = made(None, Some(KEY)).unwrap();
        let other = other.unwrap();
        assert_eq!(file(&other, "user-data"), "#cloud-config\n");
        assert!(!file(&other, "meta-data").contains(&id), "another one is done anew");
    }

    #[test]
    fn nothing_is_made_of_nothing_and_a_private_key_is_refused() {
        assert!(made(None, None).unwrap().1.is_none());
        for wrong in ["", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "ssh-rsa", "# none\n"] {
            let error = made(None, Some(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("--ssh-key ") && error.ends_with("is no public key"), "{error}");
        }
        let error = made(Some(&"x".repeat(MOST as usize + 1)), None).unwrap_err().to_string();
        assert!(error.ends_with("is no file of at most 1048576 bytes"), "{error}");
    }
}
