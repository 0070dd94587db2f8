//! One file of the app is edited: in how many blocks do the two roots differ, and how many bytes does an update move?
//!
//! Two builds of the app of `testdata/demo`, each as an update. Of both the same root is counted in every way: by our
//! index of packed blocks of 64 KiB, by RAUC's adaptive update, which fetches blocks of 4 KiB as they are, and by the
//! chunks of casync or desync, where they are installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::table::{Report, Table, mb};
use crate::{Options, Result, measure};

/// How the second build lays out its files, and whether it is given the placement of the first.
const PLACEMENTS: [(&str, bool); 2] = [("laid out anew", false), ("with --previous", true)];

/// Bytes of the file that is edited; all of them change.
const EDITED: usize = 100_000;
/// What an update may move beside them, and the share of the blocks that may differ.
const BESIDE: f64 = 2e6;
const DIFFER_LIMIT: f64 = 0.02;

/// RAUC's block-hash-index: a SHA-256 for each block.
const RAUC_BLOCK: &str = "4K";
const RAUC_HASH: u64 = 32;

const CONFIGURATION: &str = "layout = \"ab\"\n[image]\nid = \"bench\"\n";

/// A way to fetch what a machine has not.
struct Way {
    name: &'static str,
    /// What the root is divided in, and how much of it differs; of chunks there is no telling which are at the same place.
    blocks: Option<(u64, u64)>,
    /// Bytes that are fetched of the root.
    moves: u64,
    /// Bytes of the index, which is fetched as a whole.
    index: u64,
}

/// What `vmimage diff --json` says in all.
#[derive(Deserialize)]
struct Counted {
    total: Counts,
}

#[derive(Deserialize)]
struct Counts {
    blocks: u64,
    differ: u64,
    new: u64,
    moves: u64,
}

/// Build both, count, print the table and note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let bench = Bench::new(scratch.path())?;
    let old = bench.build("old", 1, None)?;
    let root = mb(old.root.metadata()?.len() as f64);
    println!(
        "## Updates\n\nOne file of {EDITED} bytes edited in the demo, and its version: of a root of {root} MB.\n"
    );
    let mut table = Table::new(&["root", "by", "blocks", "differ", "%", "moves MB", "index MB"]);
    for (placement, is_kept) in PLACEMENTS {
        let new = bench.build("new", 2, is_kept.then_some(&*old.folder))?;
        for way in ways(options, scratch.path(), &old, &new)? {
            let [blocks, differ, share] = match way.blocks {
                Some((blocks, differ)) => [
                    blocks.to_string(),
                    differ.to_string(),
                    format!("{:.2}", share_of(blocks, differ) * 100.0),
                ],
                None => [const { String::new() }; 3],
            };
            let [moves, index] = [way.moves, way.index].map(|bytes| mb(bytes as f64));
            table.row([placement.to_owned(), way.name.to_owned(), blocks, differ, share, moves, index]);
            // Who lays out anew has promised nothing.
            if way.name != OURS || !is_kept {
                continue;
            }
            if let Some((blocks, differ)) = way.blocks {
                report.expect(
                    format!("{placement}: share of blocks that differ"),
                    share_of(blocks, differ),
                    DIFFER_LIMIT,
                );
            }
            let beside = ((way.moves + way.index) as f64 - EDITED as f64).max(0.0);
            report.expect(format!("{placement}: MB moved beside the file"), beside / 1e6, BESIDE / 1e6);
        }
    }
    println!("{table}");
    Ok(())
}

const OURS: &str = "vmimage, packed blocks of 64 KiB";

fn share_of(blocks: u64, differ: u64) -> f64 {
    differ as f64 / blocks.max(1) as f64
}

/// A build: the folder of its update, and the root in it, unpacked.
struct Built {
    folder: PathBuf,
    root: PathBuf,
}

struct Bench<'a> {
    scratch: &'a Path,
    vmimage: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(scratch: &'a Path) -> Result<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let vmimage = project.join("out/vmimage").canonicalize();
        let vmimage = vmimage.map_err(|error| format!("out/vmimage: {error}: run make out/vmimage"))?;
        let context = scratch.join("context");
        std::fs::create_dir(&context)?;
        std::fs::copy(project.join("testdata/demo/Dockerfile"), context.join("Dockerfile"))?;
        std::fs::write(context.join("vmimage.toml"), CONFIGURATION)?;
        Ok(Self { scratch, vmimage })
    }

    /// The app in this version, with what is the same where the update in `previous` has it.
    fn build(&self, name: &str, version: u8, previous: Option<&Path>) -> Result<Built> {
        let [context, folder] = ["context", name].map(|name| self.scratch.join(name));
        let line = format!("Edited for version {version}.\n");
        std::fs::write(context.join("index.html"), line.repeat(EDITED.div_ceil(line.len())))?;
        let mut command = Command::new(&self.vmimage);
        command.arg("build").arg(&context).arg("-o").arg(&folder).args(["--format", "update"]);
        command.args(["--image-version", &version.to_string(), "--progress", "plain"]);
        command.args(previous.iter().flat_map(|folder| [Path::new("--previous"), folder]));
        measure::run(&mut command)?;
        let root = self.scratch.join(format!("{name}.root"));
        let packed = folder.join(format!("bench_{version}.root.zst"));
        measure::run(Command::new("zstd").args(["-dqf"]).arg(packed).arg("-o").arg(&root))?;
        Ok(Built { folder, root })
    }
}

fn ways(options: &Options, scratch: &Path, old: &Built, new: &Built) -> Result<Vec<Way>> {
    let mut ways = vec![ours(old, new)?, rauc(old, new)?];
    for chunker in [Chunker::Casync, Chunker::Desync] {
        if !options.quick {
            ways.extend(chunker.count(scratch, old, new)?);
        }
    }
    Ok(ways)
}

fn ours(old: &Built, new: &Built) -> Result<Way> {
    let counts = diff(&old.folder, &new.folder, "64K")?;
    let names = std::fs::read_dir(&new.folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let index =
        names.iter().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "index"));
    let index = index.ok_or("the update has no index")?.metadata()?.len();
    Ok(Way { name: OURS, blocks: Some((counts.blocks, counts.differ)), moves: counts.moves, index })
}

fn rauc(old: &Built, new: &Built) -> Result<Way> {
    let counts = diff(&old.root, &new.root, RAUC_BLOCK)?;
    Ok(Way {
        name: "RAUC adaptive, blocks of 4 KiB",
        blocks: Some((counts.blocks, counts.differ)),
        moves: counts.new * 4096,
        index: counts.blocks * RAUC_HASH,
    })
}

fn diff(old: &Path, new: &Path, block_size: &str) -> Result<Counts> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["diff", "--blocks", "--json", "--block-size", block_size]).arg(old).arg(new);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice::<Counted>(&output.stdout)?.total)
}

/// A program that cuts a file where its content says so.
#[derive(Clone, Copy)]
enum Chunker {
    Casync,
    Desync,
}

impl Chunker {
    fn name(self) -> &'static str {
        match self {
            Self::Casync => "casync",
            Self::Desync => "desync",
        }
    }

    /// What is new in the store of the old root's chunks once the new one's are there, if the program is.
    fn count(self, scratch: &Path, old: &Built, new: &Built) -> Result<Option<Way>> {
        let name = self.name();
        if Command::new(name).arg("--help").output().is_err() {
            eprintln!("bench: skipped: {name} is not installed");
            return Ok(None);
        }
        let (store, index) = (scratch.join(format!("{name}.store")), scratch.join(format!("{name}.caibx")));
        if store.exists() {
            std::fs::remove_dir_all(&store)?;
        }
        std::fs::create_dir(&store)?;
        self.make(&store, &index, &old.root)?;
        let before = chunks(&store)?;
        self.make(&store, &index, &new.root)?;
        let moves = chunks(&store)?.into_iter().filter(|(chunk, _)| !before.contains_key(chunk));
        let moves = moves.map(|(_, len)| len).sum();
        Ok(Some(Way { name, blocks: None, moves, index: index.metadata()?.len() }))
    }

    fn make(self, store: &Path, index: &Path, root: &Path) -> Result<()> {
        let mut command = Command::new(self.name());
        command.arg("make");
        match self {
            Self::Casync => command.arg(format!("--store={}", store.display())),
            Self::Desync => command.arg("-s").arg(store),
        };
        measure::run(command.arg(index).arg(root)).map(drop)
    }
}

/// The chunks in the folders of a store, and how long their files are.
fn chunks(store: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut chunks = BTreeMap::new();
    for folder in std::fs::read_dir(store)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for chunk in std::fs::read_dir(&folder)? {
            let chunk = chunk?;
            chunks.insert(chunk.path(), chunk.metadata()?.len());
        }
    }
    Ok(chunks)
}
