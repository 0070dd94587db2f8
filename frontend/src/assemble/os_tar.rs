//! A step of a build that packs a file system into the one file of KubeOS's upgrade image. With `SOURCE_DATE_EPOCH` it is the same
//! each time, as a disk is.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use exporter::error::Error;
use exporter::tree::{Editor, HostDir, Time, scan};
use exporter::{image, machine};

use crate::ask::Hints;
use crate::base::make::threads;
use crate::base::{Meter, Result, Stage, Style};

const NAME: &str = "os.tar";

/// The role: the folder of a root, the folder for the tar, and the seconds since 1970 that no time is later than, if that is so.
pub(crate) fn main() -> ExitCode {
    let mut paths = std::env::args_os().skip(2);
    let (Some(root), Some(output)) = (paths.next(), paths.next()) else { return ExitCode::FAILURE };
    let epoch = paths.next().and_then(|text| text.to_str()?.parse().ok());
    match pack(root.as_ref(), output.as_ref(), epoch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(Hints::default().spelling());
            error.exit_code()
        }
    }
}

fn pack(root: &Path, output: &Path, epoch: Option<i64>) -> Result<()> {
    let meter = Meter::new(Style::Plain);
    meter.begin(Stage::Reading);
    let mut tree = scan(&HostDir::open(root)?, threads(), &mut |_| {})?;
    if let Some(seconds) = epoch {
        let time = Time { seconds, nanoseconds: 0 };
        machine::forget_build(&mut Editor::new(&mut tree, time), time);
    }
    meter.begin(Stage::Writing);
    let path = output.join(NAME);
    let failed = |error| Error::io(path.display().to_string(), "cannot be written", error);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
    image::write_tar(&tree, &mut file, &|progress| meter.show(Stage::Writing, progress))?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    // The layer has it with this time.
    let seconds = epoch.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).map_err(failed)?;
    meter.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A folder with a file and a log of a build, packed: the tar.
    fn packed(file_time: u64, epoch: Option<i64>) -> Vec<u8> {
        let scratch = tempfile::tempdir().unwrap();
        let [root, output] = ["root", "output"].map(|name| scratch.path().join(name));
        fs::create_dir_all(root.join("var/log")).unwrap();
        fs::create_dir(&output).unwrap();
        fs::write(root.join("var/log/dpkg.log"), file_time.to_string()).unwrap();
        let file = File::create(root.join("app")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(file_time)).unwrap();
        pack(&root, &output, epoch).unwrap();
        let path = output.join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().mtime(), epoch.unwrap_or_default());
        fs::read(path).unwrap()
    }

    #[test]
    fn with_an_epoch_it_is_the_same_whenever_it_was_built() {
        let epoch = Some(1_700_000_000);
        assert!(packed(1_700_000_001, epoch) == packed(1_700_000_002, epoch));
        assert!(packed(1_700_000_001, None) != packed(1_700_000_002, None));
    }
}
