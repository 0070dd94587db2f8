//! The tools of file systems that the exporter does not make: those of the frontend image, in its step, on files.
//!
//! ```text
//! tree ─unpack─▶ SCRATCH/files ─mkfs─▶ SCRATCH/UUID, an image as large as the partition
//! ```
//!
//! No tool has a choice: features are those that Linux 5.15 knows (Debian 12, Ubuntu 22.04, RHEL 9 and all since), whatever
//! the tools take for right by now, and what they would draw by lot or read from a clock follows from the tree.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::error::{Error, Kind, Result};
use exporter::fs::external::{Job, Mkfs, Tool};
use exporter::tree::{Content, HostDir, InodeKind, Tree, scan};

/// Where the frontend image has the programs.
const PROGRAMS: &str = "/usr/sbin";
/// The last lines of what a tool says, which tell why it has failed.
const LAST_WORDS: usize = 3;

/// The tools of the frontend image.
pub(super) struct Tools {
    programs: PathBuf,
    /// A folder with room for the files and the images.
    scratch: PathBuf,
}

impl Tools {
    pub(super) fn new(scratch: &Path) -> Self {
        Self { programs: PROGRAMS.into(), scratch: scratch.to_owned() }
    }
}

impl Mkfs for Tools {
    fn make(&self, tree: &Tree, job: &Job) -> Result<Content> {
        let folder = tempfile::tempdir_in(&self.scratch).map_err(in_scratch)?;
        let (files, images) = (folder.path().join("files"), self.scratch.join("images"));
        fs::create_dir(&files).and_then(|()| fs::create_dir_all(&images)).map_err(in_scratch)?;
        tree.unpack(&files)?;
        let name = job.uuid.to_string();
        let image = images.join(&name);
        if job.tool != Tool::Squashfs {
            File::create(&image).and_then(|file| file.set_len(job.size)).map_err(in_scratch)?;
        }
        run(&mut self.command(tree, job, &files, &image), job)?;
        let made = read(&images, &name)?;
        if job.tool != Tool::Squashfs && made.len() > job.size {
            return Err(larger(job, made.len()));
        }
        Ok(made)
    }
}

impl Tools {
    fn command(&self, tree: &Tree, job: &Job, files: &Path, image: &Path) -> Command {
        let Job { tool, label, uuid, sector_size, created, .. } = job;
        let uuid = uuid.to_string();
        let mut command = Command::new(self.programs.join(tool.program()));
        command.env_clear();
        // Of an XFS the root has this time in the place of its own; in a btrfs none is later.
        let time = if *tool == Tool::Xfs { tree.inode(Tree::ROOT).meta.mtime } else { *created };
        let epoch = time.seconds.max(0).to_string();
        // mksquashfs has its times by an option, and refuses both.
        if *tool != Tool::Squashfs {
            command.env("SOURCE_DATE_EPOCH", &epoch).env("DETERMINISTIC_SEED", "1");
        }
        match tool {
            Tool::Xfs => command.args(xfs(label, &uuid, *sector_size)).arg("-p").args([files, image]),
            Tool::Btrfs => command.args(btrfs(label, &uuid)).arg("--rootdir").args([files, image]),
            Tool::Squashfs => command.args([files, image]).args(squashfs(&epoch)),
        };
        command
    }
}

/// `mkfs/lts_5.15.conf` of xfsprogs, and nothing that follows from the builder's processors.
fn xfs(label: &str, uuid: &str, sector_size: u32) -> Vec<String> {
    let features = "crc=1,finobt=1,reflink=1,bigtime=1,inobtcount=1,rmapbt=0,metadir=0";
    let words = [
        ("-L", label.to_owned()),
        ("-m", format!("{features},uuid={uuid}")),
        ("-i", "size=512,sparse=1,nrext64=0,exchange=0".to_owned()),
        ("-n", "parent=0".to_owned()),
        ("-b", "size=4096".to_owned()),
        ("-s", format!("size={sector_size}")),
        ("-d", "concurrency=0".to_owned()),
        ("-l", "concurrency=0".to_owned()),
    ];
    let words = words.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
    ["-q".to_owned(), "-f".to_owned()].into_iter().chain(words).collect()
}

/// What Linux has by default since 5.15; a block group tree would need 6.1.
fn btrfs(label: &str, uuid: &str) -> Vec<String> {
    let features = "extref,skinny-metadata,no-holes,free-space-tree,^block-group-tree";
    let words = ["-q", "-f", "-L", label, "-U", uuid, "-O", features];
    let layout = ["-d", "single", "-m", "dup", "-s", "4096", "-n", "16384", "--csum", "crc32c"];
    words.into_iter().chain(layout).map(str::to_owned).collect()
}

/// zstd, which the kernels of all distributions unpack since 4.14.
fn squashfs(time: &str) -> [&str; 8] {
    ["-noappend", "-quiet", "-no-progress", "-exit-on-error", "-comp", "zstd", "-mkfs-time", time]
}

fn run(command: &mut Command, job: &Job) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::io(&*program, "cannot be run", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join("; ");
    let error = Error::new(Kind::Unsupported, &job.label, format!("{program} has failed: {last}"));
    Err(match job.tool {
        Tool::Squashfs => error,
        Tool::Xfs | Tool::Btrfs => error.with_hint("if it has no room, give the partition a larger min"),
    })
}

/// mkfs.btrfs makes a file larger that it takes for too small: the end of that would not be in the partition.
fn larger(job: &Job, len: u64) -> Error {
    let message = format!("{} wants {len} bytes for its files and has {}", job.tool.program(), job.size);
    Error::new(Kind::Unsupported, &job.label, message).with_hint("give the partition a larger min")
}

/// The image, with its holes.
fn read(images: &Path, name: &str) -> Result<Content> {
    let tree = scan(&HostDir::open(images)?, NonZeroUsize::MIN, &mut |_| {})?;
    match tree.lookup(name).map(|id| &tree.inode(id).kind) {
        Some(InodeKind::File(image)) => Ok(image.clone()),
        _ => Err(Error::new(Kind::NotFound, name, "is not there: its tool has made nothing")),
    }
}

fn in_scratch(error: std::io::Error) -> Error {
    Error::io("scratch folder", "cannot be written to", error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use exporter::seed::Uuid;
    use exporter::tree::{Editor, Meta, Time};

    use super::*;

    const UUID: &str = "01010101-0101-0101-0101-010101010101";

    /// What a script in the place of a tool is told, and what comes of it.
    fn make(tool: Tool, script: &str) -> (Result<Content>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["mkfs.xfs", "mkfs.btrfs", "mksquashfs"] {
            // By another process: no child of this one can hold the file open for writing, which then would not run.
            let write = r#"printf '#!/bin/sh\n%s' "$2" >"$1" && chmod 755 "$1""#;
            let path = folder.path().join(name);
            let written = Command::new("/bin/sh").args(["-c", write, "sh"]).arg(path).arg(script).status();
            assert!(written.unwrap().success());
        }
        let mine = folder.path().metadata().unwrap();
        let time = Time { seconds: 1_600_000_000, nanoseconds: 0 };
        let meta =
            Meta { permissions: 0o755, uid: mine.uid(), gid: mine.gid(), mtime: time, ..Meta::default() };
        let mut tree = Tree::new(meta);
        let file = Editor::new(&mut tree, time).write_file("/note", *b"text", 0o644).unwrap();
        let meta = &mut tree.inode_mut(file).meta;
        (meta.uid, meta.gid) = (mine.uid(), mine.gid());
        let created = Time { seconds: 1_700_000_000, nanoseconds: 0 };
        let size = if tool == Tool::Squashfs { 0 } else { 1 << 20 };
        let uuid = Uuid([1; 16]);
        let job = Job { tool, label: "site".into(), uuid, size, sector_size: 4096, created };
        let tools = Tools { programs: folder.path().to_owned(), scratch: folder.path().to_owned() };
        (tools.make(&tree, &job), folder)
    }

    /// What a tool was told, without the folder it was told of.
    fn told(tool: Tool) -> String {
        // The image is the last word, or the second.
        let script = "for image; do :; done\n[ \"$image\" != 1700000000 ] || image=$2\ndata=$(cat \"$image\" /dev/null 2>&1 | wc -c)\n\
                      echo \"${SOURCE_DATE_EPOCH-} ${DETERMINISTIC_SEED-} $* $data\" >\"$image\"";
        let (content, folder) = make(tool, script);
        let mut text = String::new();
        content.unwrap().reader().unwrap().read_to_string(&mut text).unwrap();
        text.replace(folder.path().to_str().unwrap(), "SCRATCH")
    }

    #[test]
    fn features_are_those_that_older_kernels_know() {
        let xfs = told(Tool::Xfs);
        assert!(xfs.starts_with("1600000000 1 -q -f -L site -m crc=1"), "{xfs}");
        for words in [
            &*format!("uuid={UUID} "),
            "bigtime=1",
            "nrext64=0,exchange=0 ",
            " -n parent=0 ",
            " -s size=4096 ",
            "concurrency=0",
            &*format!("/images/{UUID} 1048576"),
        ] {
            assert!(xfs.contains(words), "{words}: {xfs}");
        }
        let btrfs = told(Tool::Btrfs);
        assert!(btrfs.starts_with("1700000000 1 -q -f -L site -U "), "{btrfs}");
        assert!(btrfs.contains("^block-group-tree") && btrfs.contains(" --rootdir SCRATCH/"), "{btrfs}");
        let squashfs = told(Tool::Squashfs);
        assert!(
            squashfs.contains(" -comp zstd ") && squashfs.contains(" -mkfs-time 1700000000 "),
            "{squashfs}"
        );
    }

    #[test]
    fn what_a_tool_says_when_it_fails_is_the_error() {
        let (outcome, _folder) = make(Tool::Btrfs, "echo 'ERROR: no space left' >&2; exit 1");
        let error = outcome.unwrap_err().to_string();
        assert!(
            error.starts_with("site: ") && error.contains("mkfs.btrfs has failed: ERROR: no space"),
            "{error}"
        );
        let (outcome, _folder) = make(Tool::Btrfs, "for image; do :; done\necho >>\"$image\"");
        let error = outcome.unwrap_err().to_string();
        assert!(
            error.contains("site: mkfs.btrfs wants 1048577 bytes for its files and has 1048576"),
            "{error}"
        );
        let (outcome, _folder) = make(Tool::Squashfs, "exit 0");
        assert!(outcome.unwrap_err().to_string().contains("its tool has made nothing"));
        let nothing = Tools::new(Path::new("/nowhere"));
        let tree = Tree::new(Meta::default());
        let created = Time::default();
        let job = Job {
            tool: Tool::Xfs,
            label: "x".into(),
            uuid: Uuid([1; 16]),
            size: 1,
            sector_size: 512,
            created,
        };
        assert!(nothing.make(&tree, &job).unwrap_err().to_string().contains("scratch folder"));
    }
}
