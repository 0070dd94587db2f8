//! What a host and the agent in a machine say to each other, over one stream of bytes: a port of virtio-serial, or a
//! connection of vsock. `docs/agent.md` has it for other clients.
//!
//! ```text
//! host: Client ─ hello ▶ open 1: exec … ▶ data ▶ credit ▶ …      one stream, many channels
//!                ◀ hello ◀ data ◀ credit ◀ … ◀ done 1: status 7
//! ```
//!
//! - [`frame`]: where one message ends and the next begins, and how a stream is found again that was cut anywhere;
//! - [`message`]: what is asked and answered;
//! - [`channel`]: who may send how much, so that no channel keeps another waiting and memory is bounded;
//! - [`tree`]: files as an archive, made and unpacked;
//! - `client`: the host's side, with the feature of that name. The other one is `vmimage-init`.

pub mod channel;
#[cfg(feature = "client")]
pub mod client;
pub mod frame;
pub mod message;
pub mod tree;

/// The name of the port of virtio-serial.
pub const PORT: &str = "io.vmimage.agent";
/// The port of vsock.
pub const VSOCK_PORT: u32 = 1024;
/// Channels of a connection that may be open at once.
pub const CHANNELS: usize = 32;
