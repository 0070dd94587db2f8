//! Read, build, graft and marshal BuildKit build graphs (LLB). Pure: no I/O, no async.
//!
//! ```text
//! bytes ⇄ proto::Definition ⇄ Graph ─────────────── base() ─▶ Base
//!                              │ ▲ └─ graft(base, head) ─▶ Graph
//!                    from_graph│ │to_graph
//!                    from_edge ▼ │
//!                             State ─ run, file ─▶ State
//! ```
//!
//! - A [`Graph`] is what a daemon or client encoded. Its ops are opaque bytes: what is unknown here
//!   survives, and a digest changes only if something under it does.
//! - A [`State`] is a file system that a build will make. It is built step by step, on an image, on
//!   nothing, or on any op of a graph; encoding it fails, building it does not.
//! - [`Graph::graft`] is where they meet: it puts a state built on an op of a graph between that op
//!   and all of its consumers.
//!
//! ```
//! use llb::{Base, Edge, Graph, Image, Mount, Run, State};
//!
//! # fn main() -> llb::Result<()> {
//! # let image = State::image(Image::new("docker.io/library/debian:12"));
//! # let definition = image.run(Run::shell("useradd me")).root().marshal()?;
//! // What came back from the user's Dockerfile.
//! let graph = Graph::read(&definition)?;
//! if let Base::Image { digest, .. } = graph.base()? {
//!     // A kernel right above the base image, below all of the user's layers.
//!     let base = State::from_edge(graph.clone(), Edge { digest, index: 0 });
//!     let kernel = base.run(Run::shell("apt-get install -y linux-image-amd64")).root();
//!     let grafted = graph.graft(digest, &kernel)?;
//!
//!     // A step on top of the result, which sees it and leaves a disk.
//!     let rootfs = State::from_graph(grafted);
//!     let tools = State::image(Image::new("docker.io/example/vmimage:1"));
//!     let exec = tools.run(
//!         Run::new(["/vmimage", "assemble"])
//!             .readonly_root()
//!             .mount("/rootfs", Mount::bind_readonly(&rootfs))
//!             .mount("/out", Mount::bind(&State::scratch())),
//!     );
//!     exec.mount("/out").marshal()?;
//! }
//! # Ok(())
//! # }
//! ```

mod chain;
mod digest;
mod error;
mod exec;
mod file;
mod graft;
mod graph;
mod image;
mod marshal;
mod metadata;
mod mount;
mod node;
pub mod proto;
mod source;
mod sources;
mod state;
mod vertex;
mod wire;

pub use chain::Base;
pub use digest::{NotADigest, OpDigest};
pub use error::{Error, Result};
pub use exec::{Exec, Run};
pub use file::FileActions;
pub use graph::Graph;
pub use image::Image;
pub use metadata::Metadata;
pub use mount::Mount;
pub use proto::{CacheSharingOpt, Definition, MountContentCache, NetMode, Platform, ProxyEnv};
pub use source::Source;
pub use state::State;
pub use vertex::{Edge, Vertex};
