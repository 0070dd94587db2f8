//! Images in registries: `docker://HOST/PATH:TAG`. Read as a source of files; written to by `vmimage push`.
//!
//! ```text
//! reference ─▶ mirror, or the registry itself ─▶ manifest or index ─▶ input::read_fetched
//!              credentials, certificates, proxy                        │ asks for what it needs:
//!              of this machine                                         ▼ configuration, layers
//!                                                       nameless files beside the disk
//! ```
//!
//! Protocol: <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>. Which image of an
//! index is meant, and whether sizes and digests are right, is judged by [`exporter::input`], as for images
//! from anywhere else.
//!
//! Own code on `ureq` (TLS by rustls): `oci-client` (reqwest, aws-lc) would double the dependencies and knows
//! neither `certs.d` nor the files that podman and docker keep logins in, and skopeo's image proxy is a program
//! that would have to be there.

mod address;
mod authorize;
mod blob;
mod challenge;
mod client;
mod credentials;
mod failure;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod mirror;
mod pace;
mod proxy;
mod redirect;
mod tls;
mod upload;

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use exporter::error::{Error, Result};
use exporter::input::{self, Loaded};
use oci_spec::image::Descriptor;

use super::Access;
use crate::base::reference::Reference;
use client::Client;
pub(crate) use mirror::Mirror;
pub(crate) use upload::{Content, Repository};

/// Read an image.
///
/// # Errors
/// Those of [`input::read`]; beside them `NotFound` for an image that the registry does not have, `Input` where
/// it wants another login, `Io` where it cannot be reached.
pub(super) fn read(
    reference: &Reference,
    access: &Access<'_>,
    options: &input::Options<'_>,
) -> Result<Loaded> {
    let shown = format!("docker://{reference}");
    let (client, root, manifest) = resolve(&shown, reference, access)?;
    let cache = Mutex::new(HashMap::from([(
        root.digest().to_string(),
        blob::keep(&manifest, options.spool)
            .map_err(|error| blob::cannot_keep(&shown, options.spool, error))?,
    )]));
    let fetch = |wanted: &[Descriptor]| fetch(&client, wanted, &cache, access, options);
    input::read_fetched(&shown, root, &fetch, options)
}

/// The manifest or index that a reference leads to, from the first that has it.
fn resolve<'a>(
    shown: &str,
    reference: &Reference,
    access: &'a Access<'a>,
) -> Result<(Client<'a>, Descriptor, Vec<u8>)> {
    let mut refusals = Vec::new();
    for mirror in access.mirrors.iter().filter(|mirror| mirror.is_for(&reference.host)) {
        let client = Client::new(shown, reference, Some(mirror), access)?;
        match client.manifest(reference.version()) {
            Ok((root, manifest)) => return Ok((client, root, manifest)),
            Err(error) => refusals.push(format!("the mirror {mirror} was asked first: {error}")),
        }
    }
    let client = Client::new(shown, reference, None, access)?;
    match client.manifest(reference.version()) {
        Ok((root, manifest)) => Ok((client, root, manifest)),
        Err(error) if refusals.is_empty() => Err(error),
        Err(error) => {
            let hint = error.hint().map(ToString::to_string);
            Err(error.with_hint(refusals.into_iter().chain(hint).collect::<Vec<_>>().join("; ")))
        }
    }
}

/// The files of `wanted`, each downloaded once: equal layers, and configurations that are asked for twice.
fn fetch(
    client: &Client<'_>,
    wanted: &[Descriptor],
    cache: &Mutex<HashMap<String, File>>,
    access: &Access<'_>,
    options: &input::Options<'_>,
) -> Result<Vec<File>> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    let mut missing: Vec<&Descriptor> = Vec::new();
    for descriptor in wanted {
        let is_known = |other: &&Descriptor| other.digest() == descriptor.digest();
        if !cache.contains_key(descriptor.digest().as_ref()) && !missing.iter().any(is_known) {
            missing.push(descriptor);
        }
    }
    let files = blob::download(client, &missing, access, options.spool)?;
    cache.extend(missing.iter().map(|descriptor| descriptor.digest().to_string()).zip(files));
    let again = |descriptor: &Descriptor| {
        let file = &cache[descriptor.digest().as_ref()];
        file.try_clone().map_err(|error| Error::io(client.place(), "cannot keep what was fetched", error))
    };
    wanted.iter().map(again).collect()
}
