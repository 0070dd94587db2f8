//! A step of a build that packs a file system into the one file of KubeOS's upgrade image.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use exporter::error::Error;
use exporter::image;
use exporter::tree::{HostDir, scan};

use crate::ask::Hints;
use crate::base::make::threads;
use crate::base::{Meter, Result, Stage, Style};

const NAME: &str = "os.tar";

/// The role: the folder of a root, and the folder for the tar.
pub(crate) fn main() -> ExitCode {
    let mut paths = std::env::args_os().skip(2);
    let (Some(root), Some(output)) = (paths.next(), paths.next()) else { return ExitCode::FAILURE };
    match pack(root.as_ref(), output.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(Hints::default().spelling());
            error.exit_code()
        }
    }
}

fn pack(root: &Path, output: &Path) -> Result<()> {
    let meter = Meter::new(Style::Plain);
    meter.begin(Stage::Reading);
    let tree = scan(&HostDir::open(root)?, threads(), &mut |_| {})?;
    meter.begin(Stage::Writing);
    let path = output.join(NAME);
    let failed = |error| Error::io(path.display().to_string(), "cannot be written", error);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
    image::write_tar(&tree, &mut file, &|progress| meter.show(Stage::Writing, progress))?;
    file.flush().map_err(failed)?;
    meter.finish();
    Ok(())
}
