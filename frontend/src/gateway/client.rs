//! The daemon's side of a build as an object: one method per call of the `LLBBridge` service.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use exporter::error::show_size;
use exporter::hint::Spelling;
use http::uri::PathAndQuery;
use llb::{Definition, OpDigest, Platform};
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::caps::Caps;
use super::proto::{self, Ref, Refs};
use super::refusal::is_too_large;
use super::status::status;
use crate::base::{Error, Result};

/// Answers larger than this are refused. Daemons before 0.14 set no bound of their own.
const MAX_ANSWER: usize = 64 << 20;
/// The largest request any daemon takes; those before 0.14 take [`MAX_OLD_REQUEST`].
const MAX_REQUEST: usize = 16 << 20;
const MAX_OLD_REQUEST: usize = 4 << 20;
/// Files are read in pieces that fit an answer of every daemon.
const PIECE: usize = 8 << 20;
/// The largest file [`Bridge::read_file`] returns: what it is for are configuration files.
const MAX_FILE: usize = 64 << 20;
/// A daemon that does not answer the first call within this time never will.
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// The running build, as the daemon offers it to a frontend.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    channel: Channel,
    caps: Caps,
}

impl Bridge {
    /// Makes the first call, which tells what the daemon can do.
    pub(super) async fn ping(channel: Channel) -> Result<Self> {
        let bridge = Self { channel, caps: Caps::default() };
        let pong = tokio::time::timeout(
            PING_TIMEOUT,
            bridge.call::<_, proto::PongResponse>("Ping", proto::Empty {}),
        );
        let pong = pong.await.map_err(|_| Error::build("BuildKit did not answer within 15 seconds"))??;
        Ok(Self { caps: pong.into(), ..bridge })
    }

    /// What the daemon can do.
    pub(crate) fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Builds a graph or runs another frontend. Nothing of a graph runs before one of its refs is read,
    /// evaluated or exported.
    pub(crate) async fn solve(&self, request: proto::SolveRequest) -> Result<proto::Result> {
        let request =
            proto::SolveRequest { allow_result_return: true, allow_result_array_ref: true, ..request };
        let size = request.encoded_len();
        if size > MAX_REQUEST {
            return Err(too_large(size, MAX_REQUEST));
        }
        let answer: proto::SolveResponse = self
            .call("Solve", request)
            .await
            .map_err(|error| if is_too_large(&error) { too_large(size, MAX_OLD_REQUEST) } else { error })?;
        answer.result.ok_or_else(|| Error::build("BuildKit answered a build without a result"))
    }

    /// Builds `reference` now. `scratch` needs no building.
    pub(crate) async fn evaluate(&self, reference: &Ref) -> Result<()> {
        if reference.id.is_empty() {
            return Ok(());
        }
        if !self.caps.has("gateway.evaluate") {
            // Daemons before 0.11 build a ref when something of it is looked at.
            return self.stat_file(reference, "/").await.map(drop);
        }
        let request = proto::EvaluateRequest { reference: reference.id.clone() };
        self.call::<_, proto::Empty>("Evaluate", request).await.map(drop)
    }

    /// Warns the user at an op that clients have heard of. Daemons before 0.10 have no way to.
    pub(crate) async fn warn(&self, op: OpDigest, short: &str, detail: &[&str]) -> Result<()> {
        if !self.caps.has("gateway.warnings") {
            return Ok(());
        }
        let detail = detail.iter().map(|line| line.as_bytes().to_vec()).collect();
        let request =
            proto::WarnRequest { digest: op.to_string(), level: 1, short: short.as_bytes().to_vec(), detail };
        self.call::<_, proto::Empty>("Warn", request).await.map(drop)
    }

    /// The content of a regular file of up to 64 MiB; symbolic links are followed inside `reference`.
    /// See [`is_not_found`](super::is_not_found) for a file that is not there.
    pub(crate) async fn read_file(&self, reference: &Ref, path: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let piece = self.read_piece(reference, path, content.len()..content.len() + PIECE).await?;
            content.extend_from_slice(&piece);
            if piece.len() < PIECE {
                return Ok(content);
            }
            if content.len() >= MAX_FILE {
                return Err(Error::build(format!("{path}: over {}", show_size(MAX_FILE as u64))));
            }
        }
    }

    /// The first `len` bytes of a regular file, or all of it, as [`Bridge::read_file`] gives it.
    pub(crate) async fn read_head(&self, reference: &Ref, path: &str, len: usize) -> Result<Vec<u8>> {
        self.read_piece(reference, path, 0..len).await
    }

    async fn read_piece(&self, reference: &Ref, path: &str, range: Range<usize>) -> Result<Vec<u8>> {
        let (offset, length) = (range.start as i64, range.len() as i64);
        let request = proto::ReadFileRequest {
            reference: id_of(reference, path)?,
            file_path: path.to_owned(),
            range: Some(proto::FileRange { offset, length }),
        };
        Ok(self.call::<_, proto::ReadFileResponse>("ReadFile", request).await?.data)
    }

    /// The entries of a folder, not recursive; all of them if `pattern` is empty.
    pub(crate) async fn read_dir(
        &self,
        reference: &Ref,
        path: &str,
        pattern: &str,
    ) -> Result<Vec<proto::Stat>> {
        let request = proto::ReadDirRequest {
            reference: id_of(reference, path)?,
            dir_path: path.to_owned(),
            include_pattern: pattern.to_owned(),
        };
        Ok(self.call::<_, proto::ReadDirResponse>("ReadDir", request).await?.entries)
    }

    /// What is at `path`; symbolic links are followed inside `reference`.
    pub(crate) async fn stat_file(&self, reference: &Ref, path: &str) -> Result<proto::Stat> {
        let request = proto::StatFileRequest { reference: id_of(reference, path)?, path: path.to_owned() };
        let answer: proto::StatFileResponse = self.call("StatFile", request).await?;
        answer.stat.ok_or_else(|| Error::build(format!("{path}: BuildKit answered without attributes")))
    }

    /// The graphs this frontend was given by name (`input:` options refer to them).
    pub(crate) async fn inputs(&self) -> Result<BTreeMap<String, Definition>> {
        if !self.caps.has("frontend.inputs") {
            return Ok(BTreeMap::new());
        }
        Ok(self.call::<_, proto::InputsResponse>("Inputs", proto::Empty {}).await?.definitions)
    }

    /// What an image reference stands for now. `mode` is the option `image-resolve-mode`: `default`, `pull` or `local`.
    pub(crate) async fn resolve_image_config(
        &self,
        image: &str,
        platform: Option<Platform>,
        mode: &str,
    ) -> Result<proto::ResolveImageConfigResponse> {
        let request = proto::ResolveImageConfigRequest {
            reference: image.to_owned(),
            platform,
            resolve_mode: mode.to_owned(),
            log_name: format!("[internal] load metadata for {image}"),
        };
        self.call("ResolveImageConfig", request).await
    }

    /// Ends the build, well or not, with hints spelled so. The process should exit after it.
    pub(super) async fn finish(&self, outcome: Result<proto::Result>, spelling: Spelling) -> Result<()> {
        let request = match outcome {
            Ok(result) => proto::ReturnRequest { result: Some(without_graphs(result)), error: None },
            Err(error) => proto::ReturnRequest { result: None, error: Some(status(&error, spelling)) },
        };
        self.call::<_, proto::Empty>("Return", request).await.map(drop)
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(MAX_ANSWER)
            .max_encoding_message_size(MAX_REQUEST);
        grpc.ready().await.map_err(|error| Error::build(format!("no connection to BuildKit: {error}")))?;
        let path = format!("/moby.buildkit.v1.frontend.LLBBridge/{method}");
        let path = PathAndQuery::from_maybe_shared(path).expect("a method name is a valid path");
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.unary(tonic::Request::new(request), path, codec).await?.into_inner())
    }
}

/// The id to ask with, or why nothing is at `path`.
fn id_of(reference: &Ref, path: &str) -> Result<String> {
    if reference.id.is_empty() {
        return Err(Error::from(tonic::Status::not_found(format!("{path}: scratch holds no files"))));
    }
    Ok(reference.id.clone())
}

/// The daemon knows its refs by id; their graphs would only count against the size of the request.
fn without_graphs(mut result: proto::Result) -> proto::Result {
    match &mut result.refs {
        Some(Refs::Single(root)) => root.def = None,
        Some(Refs::Map(map)) => map.refs.values_mut().for_each(|root| root.def = None),
        None => {}
    }
    result
}

fn too_large(size: usize, limit: usize) -> Error {
    let (size, limit) = (show_size(size as u64), show_size(limit as u64));
    Error::build(format!("the build graph is {size}, and this BuildKit takes {limit}")).with_hint(
        "BuildKit 0.14 and later take 16 MiB; heredocs in the Dockerfile count, files that are copied do not",
    )
}
