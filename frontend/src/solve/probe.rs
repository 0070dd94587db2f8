//! What a base image has and lacks, asked of the daemon that holds it.

use futures_util::{StreamExt, TryStreamExt, stream};

use exporter::limits;
use exporter::tree::{Editor, Meta, Time, Tree};
use llb::State;

use super::{Build, found};
use crate::base::{Error, Result};
use crate::gateway::{Bridge, proto::Ref};
use crate::provision::{self, OS_RELEASE, Probed, SHELL};

/// Pulls the base and notes what lies at the places that matter, as a tree of its own.
///
/// The daemon mounts the base for every question, so many are asked at once.
pub(super) async fn probe(build: &Build<'_>, name: &str, image: &State) -> Result<Probed> {
    let root = build.solve(image).await?;
    // Built before it is read: what is not there is told by its message, and a failed build has another.
    build.bridge.evaluate(&root).await?;
    let texts = OS_RELEASE.map(async |path| found(build.bridge.read_file(&root, path).await));
    let texts: Vec<_> = stream::iter(texts).buffered(at_once(build)).try_collect().await?;
    let boot = names(build.bridge, &root, "/boot").await?;
    let modules = names(build.bridge, &root, "/lib/modules").await?;
    if modules.len() > limits::KERNELS {
        let message = format!("more than {} kernels, which is the limit", limits::KERNELS);
        return Err(Error::user(format!("base image {name}: /lib/modules: {message}")));
    }
    let paths = provision::probes().into_iter().map(str::to_owned);
    let paths: Vec<_> = paths.chain(modules.iter().flat_map(|version| kernel_files(version))).collect();
    let present = paths.iter().map(async |path| found(build.bridge.stat_file(&root, path).await));
    let present: Vec<_> = stream::iter(present).buffered(at_once(build)).try_collect().await?;

    let mut files = Tree::new(Meta { permissions: 0o755, ..Meta::default() });
    let mut editor = Editor::new(&mut files, Time::default());
    for (path, text) in OS_RELEASE.iter().zip(texts) {
        text.map_or(Ok(()), |text| note(&mut editor, path, text))?;
    }
    for version in modules {
        editor.mkdir_all(format!("/lib/modules/{version}")).map_err(odd)?;
    }
    for (path, _) in paths.iter().zip(present).filter(|(_, stat)| stat.is_some()) {
        note(&mut editor, path, Vec::new())?;
    }
    if let Some(head) = found(build.bridge.read_head(&root, SHELL, ELF_HEAD).await)? {
        note(&mut editor, SHELL, head)?;
    }
    for name in boot {
        note(&mut editor, &format!("/boot/{name}"), Vec::new())?;
    }
    Probed::new(name, files)
}

/// As much of a program as tells what it is for.
const ELF_HEAD: usize = 64;

/// Where images for bootc keep a kernel and its initramfs.
fn kernel_files(version: &str) -> [String; 2] {
    ["vmlinuz", "initramfs.img"].map(|name| format!("/lib/modules/{version}/{name}"))
}

/// How many questions may be on the way. BuildKit before 0.11 loses itself in several for one file system
/// ("flightcontrol: exceeded retry timeout").
fn at_once(build: &Build<'_>) -> usize {
    if build.bridge.caps().has("gateway.evaluate") { 32 } else { 1 }
}

fn note(editor: &mut Editor, path: &str, content: Vec<u8>) -> Result<()> {
    editor.write_file(path, content, 0o644).map(drop).map_err(odd)
}

/// A listing that contradicts itself.
fn odd(error: exporter::Error) -> Error {
    Error::user(format!("the base image: {error}"))
}

async fn names(bridge: &Bridge, root: &Ref, path: &str) -> Result<Vec<String>> {
    let entries = found(bridge.read_dir(root, path, "").await)?.unwrap_or_default();
    Ok(entries.into_iter().map(|entry| entry.path).collect())
}
