//! A step of a build that packs a file system into the one file of KubeOS's upgrade image, set up as it was asked. With
//! `SOURCE_DATE_EPOCH` it is the same each time, as a disk is.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use exporter::error::Error;
use exporter::spec::Spec;
use exporter::tree::{HostDir, scan};
use exporter::{assemble, image};

use crate::base::make::threads;
use crate::base::{Meter, Result, Stage, Style, terminal};

const NAME: &str = "os.tar";

/// Turn a root file system into a tar of it (a step of a build).
#[derive(Parser)]
#[command(name = "vmimage os-tar")]
struct Args {
    /// The root file system.
    #[arg(long)]
    root: PathBuf,
    /// Folder with the files of the build context that the spec names.
    #[arg(long, default_value = "/context")]
    context: PathBuf,
    /// Folder with the secrets that the spec names.
    #[arg(long, default_value = "/run/secrets")]
    secrets: PathBuf,
    /// Folder for the tar.
    #[arg(long)]
    output: PathBuf,
    /// What the root should be, as JSON.
    #[arg(long, value_parser = |text: &str| serde_json::from_str::<Spec>(text))]
    spec: Spec,
}

pub(crate) fn main() -> ExitCode {
    let args = Args::parse_from(std::env::args_os().skip(1));
    match pack(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(super::hints().spelling());
            error.exit_code()
        }
    }
}

fn pack(args: &Args) -> Result<()> {
    let Args { root, context, secrets, output, spec } = args;
    let meter = Meter::new(Style::Plain);
    meter.begin(Stage::Reading);
    let mut tree = scan(&HostDir::open(root)?, threads(), &mut |_| {})?;
    let materials = super::materials(spec, context, secrets, threads())?;
    let notes = assemble::set_up(spec, &mut tree, &materials)?;
    meter.begin(Stage::Writing);
    let path = output.join(NAME);
    let failed = |error| Error::io(path.display().to_string(), "cannot be written", error);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
    image::write_tar(&tree, &mut file, &|progress| meter.show(Stage::Writing, progress))?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.set_modified(time(spec)).map_err(failed)?;
    meter.finish();
    notes.iter().try_for_each(terminal::print_line)
}

/// That of the tar in its layer, which no clock has a say in.
fn time(spec: &Spec) -> SystemTime {
    let seconds = spec.source_date_epoch.and_then(|seconds| u64::try_from(seconds).ok());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A root with a file of this time and a log of its build, set up and packed: the tar.
    fn packed(seconds: u64, spec: &str) -> Vec<u8> {
        let scratch = tempfile::tempdir().unwrap();
        let folder = |name: &str| scratch.path().join(name);
        for name in ["root/var/log", "root/etc", "context", "secrets", "output"] {
            fs::create_dir_all(folder(name)).unwrap();
        }
        for (name, text) in [
            ("root/var/log/dpkg.log", &*seconds.to_string()),
            ("root/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
            ("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("root/etc/group", "root:x:0:\n"),
            ("context/motd", "hello"),
            ("secrets/token", "hunter2"),
        ] {
            fs::write(folder(name), text).unwrap();
        }
        let file = File::create(folder("root/app")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let [root, context, secrets, output] = ["root", "context", "secrets", "output"].map(folder);
        let epoch = spec.source_date_epoch.unwrap_or_default();
        pack(&Args { root, context, secrets, output, spec }).unwrap();
        let path = folder("output").join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().mtime(), epoch);
        fs::read(path).unwrap()
    }

    #[test]
    fn with_an_epoch_it_is_the_same_whenever_it_was_built() {
        let epoch = r#"{"source_date_epoch":1700000000}"#;
        assert!(packed(1_700_000_001, epoch) == packed(1_700_000_002, epoch));
        assert!(packed(1_700_000_001, "{}") != packed(1_700_000_002, "{}"));
    }

    #[test]
    fn the_root_is_set_up_as_it_was_asked() {
        let spec = r#"{"hostname":"node","image":{"id":"kubeos","version":"1.0.0"},"setup":{"groups":[{"name":"admin"}],
            "users":[{"name":"ada","group":"admin"}],"files":[{"path":"/etc/motd","source":"motd"},{"path":"/etc/token","secret":"token"}]}}"#;
        let tar = packed(1, spec);
        let mut archive = tar::Archive::new(&*tar);
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        let files: std::collections::BTreeMap<_, _> = files.collect();
        for (path, expected) in [
            ("etc/motd", "hello"),
            ("etc/token", "hunter2"),
            ("etc/hostname", "node"),
            ("etc/passwd", "\nada:x:"),
            ("etc/os-release", "IMAGE_VERSION"),
        ] {
            assert!(files.get(path).is_some_and(|text| text.contains(expected)), "{path}: {files:?}");
        }
    }
}
