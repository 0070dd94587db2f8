//! What goes where: the whole volume as extents.

use std::sync::Arc;

use super::Options;
use super::format::Stamp;
use super::geometry::{FATS, FatType, Geometry, Shape};
use super::names::{ShortName, is_short_byte};
use super::sectors::{boot_sectors, encode_directory, encode_fat};
use super::volume::{Body, Volume};
use crate::error::{Error, Kind, Result, show_size};
use crate::extent::Extent;
use crate::fs::Contents;
use crate::tree::Tree;

/// Plan a volume of `options.size` bytes that holds `tree`.
///
/// # Errors
/// [`Kind::Input`] with the path of what FAT cannot hold, [`Kind::NoSpace`] if the volume is too small.
pub fn plan(tree: &Tree, options: &Options) -> Result<Contents> {
    let label = check(options)?;
    let volume = Volume::new(tree, label.is_some())?;
    let geometry = choose_geometry(&volume, options)?;
    let clusters = Clusters::allocate(&volume, geometry.shape);
    let mut extents = boot_sectors(&geometry, options, label, &clusters);
    let fat: Arc<[u8]> = encode_fat(&clusters, geometry.shape.kind).into();
    extents.extend((0..FATS).map(|copy| Extent::bytes(geometry.fat_offset(copy), Arc::clone(&fat))));
    let stamp = Stamp::new(options.modified);
    for node in 0..volume.nodes.len() {
        let offset = match clusters.first[node] {
            0 if node == Volume::ROOT => geometry.root_offset(),
            0 => continue,
            cluster => geometry.cluster_offset(cluster),
        };
        match &volume.nodes[node].body {
            Body::Directory(_) => {
                let bytes = encode_directory(&volume, node, &clusters, label, stamp);
                extents.extend((!bytes.is_empty()).then(|| Extent::bytes(offset, bytes)));
            }
            Body::File(content) => extents.extend(Extent::of_content(content, offset)),
        }
    }
    Ok(Contents { size: options.size, extents: Box::new(extents) })
}

/// Bytes of the smallest volume that [`plan()`] can make of `tree`; `options.size` does not matter.
///
/// # Errors
/// [`Kind::Input`] with the path of what FAT cannot hold.
pub fn minimum_size(tree: &Tree, options: &Options) -> Result<u64> {
    let label = check(options)?;
    let volume = Volume::new(tree, label.is_some())?;
    smallest(&volume, options).ok_or_else(|| too_large(options))
}

/// Whatever does not depend on the tree; gives the label as a directory entry holds it.
fn check(options: &Options) -> Result<Option<ShortName>> {
    let input = |message: String| Err(Error::new(Kind::Input, "FAT volume", message));
    if !matches!(options.sector_size, 512 | 4096) {
        return input(format!(
            "sectors of {} bytes are not possible, only of 512 or 4096",
            options.sector_size
        ));
    }
    if u32::try_from(options.hidden_sectors).is_err() {
        return input(format!(
            "the volume cannot start at sector {}, only below 2^32",
            options.hidden_sectors
        ));
    }
    let label = options.label.as_bytes();
    let allowed = label.iter().all(|&byte| byte == b' ' || is_short_byte(byte));
    if label.len() > 11 || !allowed || label.first() == Some(&b' ') {
        return input(format!("the label {:?} is not up to 11 upper-case letters and digits", options.label));
    }
    let mut padded = [b' '; 11];
    padded[..label.len()].copy_from_slice(label);
    Ok((!label.is_empty()).then_some(padded))
}

fn choose_geometry(volume: &Volume<'_>, options: &Options) -> Result<Geometry> {
    let possible = Shape::all(options.kind, options.sector_size).find_map(|shape| {
        let geometry = Geometry::new(shape, options.size, volume.root_entries())?;
        (volume.all_clusters(shape) <= geometry.clusters).then_some(geometry)
    });
    possible.ok_or_else(|| match smallest(volume, options) {
        Some(needed) if needed > options.size => {
            let available = options.size;
            let message =
                format!("the files need {}, the volume has {}", show_size(needed), show_size(available));
            Error::new(Kind::NoSpace { needed, available }, "FAT volume", message)
        }
        _ => too_large(options),
    })
}

fn smallest(volume: &Volume<'_>, options: &Options) -> Option<u64> {
    let entries = volume.root_entries();
    let sizes = Shape::all(options.kind, options.sector_size).filter_map(|shape| {
        let clusters = volume.all_clusters(shape);
        let size = shape.size_for(clusters, entries);
        Geometry::new(shape, size, entries).filter(|geometry| geometry.clusters >= clusters).map(|_| size)
    });
    sizes.min()
}

fn too_large(options: &Options) -> Error {
    let kind = options.kind.map_or("FAT", FatType::name);
    Error::new(Kind::Input, "FAT volume", format!("{kind} has no clusters large enough for this volume"))
}

/// The clusters each node got: in the order of the nodes, without gaps.
pub(super) struct Clusters {
    /// First cluster of each node, 0 if it has none.
    pub(super) first: Vec<u32>,
    /// Lengths of the chains from cluster 2 on.
    pub(super) chains: Vec<u32>,
    /// The first cluster that is free.
    pub(super) next: u32,
}

impl Clusters {
    fn allocate(volume: &Volume<'_>, shape: Shape) -> Self {
        let mut clusters = Self { first: Vec::new(), chains: Vec::new(), next: 2 };
        for node in 0..volume.nodes.len() {
            let count =
                u32::try_from(volume.clusters(node, shape)).expect("the geometry has that many clusters");
            clusters.first.push(if count == 0 { 0 } else { clusters.next });
            if count > 0 {
                clusters.chains.push(count);
                clusters.next += count;
            }
        }
        clusters
    }
}
