//! What a base image has and lacks, asked of the daemon that holds it.

use exporter::tree::os::{OsRelease, has_kernel};

use super::{BaseImage, Build};
use crate::gateway::{Bridge, Failure, proto::Ref};
use crate::provision::{self, Base};

/// Pulls the base and looks at its os-release, its package manager and `/boot`.
pub(super) async fn probe(build: &Build<'_>, base: &BaseImage) -> Result<Base, Failure> {
    let root = build.solve(&base.state).await?;
    let mut present = Vec::new();
    for path in provision::probes() {
        if exists(build.bridge, &root, path).await? {
            present.push(path);
        }
    }
    let os = match read(build.bridge, &root, "/etc/os-release").await? {
        Some(text) => Some(text),
        None => read(build.bridge, &root, "/usr/lib/os-release").await?,
    };
    Ok(Base {
        name: base.name.clone(),
        os: os.map(|text| OsRelease::parse(&text)),
        present,
        kernel: has_kernel(&names(build.bridge, &root, "/boot").await?),
    })
}

async fn exists(bridge: &Bridge, root: &Ref, path: &str) -> Result<bool, Failure> {
    Ok(found(bridge.stat_file(root, path).await)?.is_some())
}

async fn read(bridge: &Bridge, root: &Ref, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    found(bridge.read_file(root, path).await)
}

async fn names(bridge: &Bridge, root: &Ref, path: &str) -> Result<Vec<String>, Failure> {
    let entries = found(bridge.read_dir(root, path, "").await)?.unwrap_or_default();
    Ok(entries.into_iter().map(|entry| entry.path).collect())
}

/// `None` for what is not there.
fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}
