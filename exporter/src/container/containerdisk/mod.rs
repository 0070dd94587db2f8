//! A KubeVirt containerDisk: a container image whose one layer holds a qcow2 disk, as one tar file that is
//! both an OCI archive and what `docker load` takes.
//!
//! ```text
//! ┌────────────┬─────────────────────────────────┬────────┬──────────┬────────────┬───────────────┐
//! │ oci-layout │ layer: disk/, disk/disk.qcow2   │ config │ manifest │ index.json │ manifest.json │
//! └────────────┴─────────────────────────────────┴────────┴──────────┴────────────┴───────────────┘
//! ```
//!
//! Sources: KubeVirt's user guide, "containerDisk" (the disk lies in `/disk` and belongs to user 107, as
//! which QEMU runs); OCI image specification 1.1; Docker image specification 1.2, for `manifest.json`.
//!
//! A strict reader wants (KubeVirt's user guide; `pkg/container-disk`, which looks for the disk):
//! - one file in `/disk`, and no other: with two of them, none is taken;
//! - raw or qcow2, and a qcow2 without a backing file;
//! - a file and a folder that user 107 may read;
//! - digests and sizes of the manifest that are right, and a layer that unpacks to its `diff_id`.
//!
//! The layer's name is the digest of its bytes, and a qcow2 gets its header last: it is the one format
//! whose file is read again before it is complete. The layer is not compressed, since the disk is.
//!
//! The layer is public, and what describes it ([`image`](super::image)): a daemon or a registry may get them without the
//! archive.
//!
//! Read: what is written here, and every other archive with a qcow2 in a layer that is not compressed.

mod layer;
mod read;
mod write;

pub use layer::{DIRECTORY, DIRECTORY_MODE, DISK_MODE, Layer, OWNER, QCOW2, RAW};
pub use read::disk_range;
pub(super) use read::{find, open};
pub(super) use write::Writer;

/// What an image says that it has in its layer.
pub const CONTENT: &str = "containerDisk";
/// Where the blobs of an OCI image layout lie.
const BLOBS: &str = "blobs/sha256/";
