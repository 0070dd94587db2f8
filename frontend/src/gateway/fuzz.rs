//! A daemon that answers whatever it is told to, for `make fuzz`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, skip_field};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::proto::{self, ApiCap, PongResponse, Ref, Refs};
use super::{Bridge, Failure, Opts, transport};

/// Between two answers of a [`Script`].
const BETWEEN: &[u8] = b"\n--answer--\n";

/// The environment of the frontend, in the place of a method: `NAME=VALUE` in lines.
const ENVIRONMENT: &str = "Environment";
const WORKERS: &str = r#"BUILDKIT_WORKERS=[{"id":"w","platforms":[{"architecture":"amd64","os":"linux"}]}]"#;
const OPTIONS: &str =
    "BUILDKIT_FRONTEND_OPT_0=source=example/vmimage\nBUILDKIT_FRONTEND_OPT_1=build-arg:VMIMAGE_NAME=web";
const RELEASE: &[u8] = b"ID=debian\nVERSION_ID=12\n";

/// What a daemon answers: the messages for each method, in their order; the last one goes on.
#[derive(Debug, Default)]
pub struct Script(HashMap<String, Vec<Vec<u8>>>);

impl Script {
    /// Reads `METHOD`, a line feed and a message, again and again.
    pub fn read(bytes: &[u8]) -> Self {
        let mut script = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN);
            let (answer, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.get(BETWEEN.len()..).unwrap_or_default();
            let line = answer.iter().position(|&byte| byte == b'\n').unwrap_or(answer.len());
            let (method, message) = answer.split_at(line);
            let message = message.get(1..).unwrap_or_default().to_vec();
            script.0.entry(String::from_utf8_lossy(method).into_owned()).or_default().push(message);
        }
        script
    }

    /// The answers of a daemon that has built `definition` in a context with this `vmimage.toml`.
    pub fn whole(definition: &[u8], config: &[u8]) -> Vec<u8> {
        let cap = |id: &str| ApiCap { id: id.to_owned(), enabled: true };
        let caps = ["frontend.inputs", "gateway.evaluate", "gateway.warnings"].map(cap).to_vec();
        let pong = PongResponse { frontend_api_caps: caps, llb_caps: vec![cap("exec.mount.cache.content")] };
        let root = Ref { id: "root".to_owned(), def: llb::Definition::decode(definition).ok() };
        let image = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["nginx"],"Labels":{"vmimage.size":"2G"}}}"#;
        let result = proto::Result {
            refs: Some(Refs::Single(root)),
            metadata: [("containerimage.config".to_owned(), image.to_vec())].into(),
            ..proto::Result::default()
        };
        let stat = proto::Stat { path: "vmimage.toml".to_owned(), ..proto::Stat::default() };
        let digest = format!("sha256:{}", "0".repeat(64));
        let file =
            |text: &[u8]| ("ReadFile", proto::ReadFileResponse { data: text.to_vec() }.encode_to_vec());
        [
            (ENVIRONMENT, format!("{WORKERS}\n{OPTIONS}").into_bytes()),
            ("Ping", pong.encode_to_vec()),
            ("Inputs", proto::InputsResponse::default().encode_to_vec()),
            ("Solve", proto::SolveResponse { result: Some(result) }.encode_to_vec()),
            file(config),
            file(RELEASE),
            ("ReadDir", proto::ReadDirResponse { entries: vec![stat.clone()] }.encode_to_vec()),
            ("StatFile", proto::StatFileResponse { stat: Some(stat) }.encode_to_vec()),
            ("ResolveImageConfig", proto::ResolveImageConfigResponse { digest }.encode_to_vec()),
            ("Evaluate", Vec::new()),
            ("Warn", Vec::new()),
        ]
        .map(|(method, message)| [method.as_bytes(), b"\n", &message].concat())
        .join(BETWEEN)
    }

    /// The next answer.
    fn answer(&mut self, method: &str) -> Result<Raw, Status> {
        match self.0.get_mut(method) {
            None => Err(Status::unimplemented(method)),
            Some(answers) if answers.len() > 1 => Ok(Raw(answers.remove(0))),
            Some(answers) => match answers.first().map(Vec::as_slice) {
                Some(b"missing") => Err(Status::not_found("no such file or directory")),
                Some(b"broken") => {
                    Err(Status::with_details(Code::Unknown, "exit code: 7", vec![8, 2].into()))
                }
                only => Ok(Raw(only.unwrap_or_default().to_vec())),
            },
        }
    }
}

/// Runs a frontend against a daemon with this script.
///
/// # Errors
/// How the build ended, if not well.
pub(crate) fn run(
    mut script: Script,
    frontend: impl AsyncFnOnce(&Bridge, &Opts) -> Result<proto::Result, Failure>,
) -> Result<(), String> {
    let environment = script.0.remove(ENVIRONMENT).unwrap_or_default().concat();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let opts = Opts::parse(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let opts = opts.map_err(|failure| failure.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(1 << 16);
        let script = Arc::new(Mutex::new(script));
        let service = hyper::service::service_fn(move |request| {
            let script = script.clone();
            async move { Ok::<_, Infallible>(respond(&script, request).await) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(far), service);
        let daemon = tokio::spawn(async { drop(connection.await) });
        let outcome = async {
            let bridge = Bridge::ping(transport::connect(near).await?).await?;
            frontend(&bridge, &opts).await
        };
        let outcome = outcome.await.map(drop).map_err(|failure| failure.to_string());
        daemon.abort();
        outcome
    })
}

async fn respond(script: &Mutex<Script>, request: Request<Incoming>) -> Response<tonic::body::Body> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let answer = script.lock().unwrap_or_else(PoisonError::into_inner).answer(&method);
    let service = tower::service_fn(move |_: tonic::Request<Raw>| {
        let answer = answer.clone().map(tonic::Response::new);
        async { answer }
    });
    tonic::server::Grpc::new(ProstCodec::<Raw, Raw>::default()).unary(service, request).await
}

/// A message as its bytes.
#[derive(Clone, Debug, Default)]
struct Raw(Vec<u8>);

impl Message for Raw {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}
