//! stdin and stdout as one HTTP/2 connection.
//!
//! The daemon starts the frontend with two pipes and serves gRPC on the other ends, in cleartext and
//! without negotiation. There is nothing to dial, so the connection can be used once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::base::{Error, Result};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, Join, join};
use tokio::net::unix::pipe::{Receiver, Sender};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Trailers hold error details with the whole Dockerfile in base64: the usual 16 KiB cut them off.
const MAX_TRAILERS: u32 = 16 << 20;

/// The connection to the daemon that started this process.
pub(super) async fn stdio() -> Result<Channel> {
    let pipes = pipes().map_err(|error| {
        Error::build(format!("stdin and stdout are not pipes to a BuildKit daemon: {error}")).with_hint(
            "this command is started by BuildKit: name its image in `# syntax=` on the first line of a Dockerfile",
        )
    })?;
    connect(pipes).await
}

/// A gRPC channel over `stream`, whose far end is already there.
pub(super) async fn connect(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Channel> {
    let mut stream = Some(stream);
    let once = service_fn(move |_| {
        let stream = stream.take();
        async { stream.map(TokioIo::new).ok_or_else(|| io::Error::other("the daemon closed the connection")) }
    });
    Endpoint::from_static("http://localhost")
        .http2_max_header_list_size(MAX_TRAILERS)
        .connect_with_connector(once)
        .await
        .map_err(|error| Error::build(format!("no connection to BuildKit: {error}")))
}

fn pipes() -> io::Result<Join<Receiver, Sender>> {
    let input = Receiver::from_owned_fd(duplicate(&io::stdin())?)?;
    let output = Sender::from_owned_fd(duplicate(&io::stdout())?)?;
    Ok(join(input, output))
}

/// A descriptor of its own: the standard ones cannot be given away.
fn duplicate(stream: &impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}
