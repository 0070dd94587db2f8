//! The frontend image's own program and tools, run as the last step of a build runs them: in the image's files, with the tree
//! beside them. Without an engine in between, its processor time and memory are measured as those of any other process.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::measure::{self, Usage};

/// The tree and the output are mounted where nobody else sees them, so that nothing is left.
const STEP: &str = r#"
mkdir "$1/tree" "$1/output"
for folder in dev proc; do mount --rbind "/$folder" "$1/$folder"; done
mount --bind "$2" "$1/tree"
mount --bind "$3" "$1/output"
exec chroot "$1" /vmimage assemble --root /tree --boot /none --scratch /output --output /output --spec "$4"
"#;

/// A disk of `size` bytes with the files of `tree` in a file system of this kind.
pub(crate) fn make(file_system: &str, tree: &Path, size: u64, output: &Path) -> Result<Usage> {
    let scratch = tempfile::tempdir_in(output.parent().unwrap_or(Path::new(".")))?;
    let image = tempfile::tempdir()?;
    unpack(image.path())?;
    let partition = serde_json::json!({ "type": "linux-generic", "source": "/", "filesystem": file_system });
    let spec = serde_json::json!({
        "profile": "data", "name": "bench", "size": size.to_string(), "formats": ["raw"], "layout": { "partitions": [partition] },
    });
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", STEP, "sh"]).arg(image.path()).arg(tree).arg(scratch.path());
    let usage = measure::run(command.arg(spec.to_string()))?;
    std::fs::rename(scratch.path().join("bench.raw"), output)?;
    Ok(usage)
}

/// The files of the frontend image.
fn unpack(to: &Path) -> Result<()> {
    let name = std::env::var("VMIMAGE_FRONTEND").unwrap_or_else(|_| "example/vmimage".to_owned());
    let script = "container=$(docker create \"$1\") && docker export $container | tar -x -C \"$2\" && docker rm $container";
    let unpacked = Command::new("sh").args(["-euc", script, "sh", &name]).arg(to).output()?;
    match unpacked.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&unpacked.stderr)).into()),
    }
}
