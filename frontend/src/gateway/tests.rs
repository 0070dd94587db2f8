//! The client against a daemon on the other end of real pipes: tonic's server, speaking the same wire.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llb::Definition;
use prost::Message;
use tokio::io::join;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::opts::tests::opts;
use super::proto::{
    self, Any, ApiCap, Empty, EvaluateRequest, InputsResponse, PongResponse, ReadFileRequest,
    ReadFileResponse, Ref, Refs, ReturnRequest, SolveRequest, SolveResponse, Stat, StatFileRequest,
    StatFileResponse, WarnRequest,
};
use super::{Bridge, Images, delegate, is_not_found, serve, transport};
use crate::base::Error;

/// What the daemon of a test knows, and what it was told.
struct Daemon {
    caps: &'static [&'static str],
    solve: Box<dyn Fn(SolveRequest) -> Result<SolveResponse, Status> + Send + Sync>,
    /// The content of every file.
    file: Vec<u8>,
    calls: Mutex<Vec<String>>,
    returned: Mutex<Option<ReturnRequest>>,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            caps: &["frontend.inputs", "gateway.evaluate"],
            solve: Box::new(|_| Err(Status::unimplemented("nothing to solve"))),
            file: Vec::new(),
            calls: Mutex::default(),
            returned: Mutex::default(),
        }
    }
}

impl Daemon {
    /// Starts the daemon and connects to it. Aborting the task is the daemon going away.
    async fn start(self) -> (Arc<Self>, Channel, JoinHandle<()>) {
        let daemon = Arc::new(self);
        let (to_daemon, from_client) = pipe::pipe().unwrap();
        let (to_client, from_daemon) = pipe::pipe().unwrap();
        let service = {
            let daemon = daemon.clone();
            hyper::service::service_fn(move |request| {
                let daemon = daemon.clone();
                async move { Ok::<_, Infallible>(daemon.answer(request).await) }
            })
        };
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(join(from_client, to_client)), service);
        let task = tokio::spawn(async { drop(connection.await) });
        let channel = transport::connect(join(from_daemon, to_daemon)).await.unwrap();
        (daemon, channel, task)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<tonic::body::Body> {
        let method =
            request.uri().path().strip_prefix("/moby.buildkit.v1.frontend.LLBBridge/").unwrap().to_owned();
        self.calls.lock().unwrap().push(method.clone());
        match method.as_str() {
            "Ping" => unary(request, |_: Empty| Ok(self.pong())).await,
            "Inputs" => unary(request, |_: Empty| Ok(InputsResponse { definitions: inputs() })).await,
            "Solve" => unary(request, |request: SolveRequest| (self.solve)(request)).await,
            "ReadFile" => unary(request, |request: ReadFileRequest| Ok(self.read(request))).await,
            "StatFile" => {
                unary(request, |_: StatFileRequest| Ok(StatFileResponse { stat: Some(Stat::default()) }))
                    .await
            }
            "Warn" => {
                unary(request, |request: WarnRequest| {
                    self.calls.lock().unwrap().push(String::from_utf8(request.short).unwrap());
                    Ok(Empty {})
                })
                .await
            }
            "Evaluate" => unary(request, |_: EvaluateRequest| Ok(Empty {})).await,
            "Return" => {
                unary(request, |request: ReturnRequest| {
                    *self.returned.lock().unwrap() = Some(request);
                    Ok(Empty {})
                })
                .await
            }
            _ => Status::unimplemented(method).into_http(),
        }
    }

    fn pong(&self) -> PongResponse {
        let cap = |id: &&str| ApiCap { id: id.to_string(), enabled: true };
        PongResponse { frontend_api_caps: self.caps.iter().map(cap).collect(), llb_caps: Vec::new() }
    }

    fn read(&self, request: ReadFileRequest) -> ReadFileResponse {
        let range = request.range.unwrap();
        let rest = &self.file[(range.offset as usize).min(self.file.len())..];
        ReadFileResponse { data: rest[..rest.len().min(range.length as usize)].to_vec() }
    }
}

/// Answers one call with `handler`, by tonic's server.
async fn unary<Q, A>(
    request: Request<Incoming>,
    handler: impl Fn(Q) -> Result<A, Status>,
) -> Response<tonic::body::Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    let service = tower::service_fn(|request: tonic::Request<Q>| {
        let answer = handler(request.into_inner()).map(tonic::Response::new);
        async { answer }
    });
    let mut grpc =
        tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).max_decoding_message_size(64 << 20);
    grpc.unary(service, request).await
}

fn inputs() -> BTreeMap<String, Definition> {
    [("context".to_owned(), Definition { def: vec![vec![7]], ..Definition::default() })].into()
}

fn root(id: &str) -> Ref {
    Ref { id: id.into(), def: None }
}

fn single(root: Ref) -> SolveResponse {
    SolveResponse { result: Some(proto::Result { refs: Some(Refs::Single(root)), ..Default::default() }) }
}

/// Graphs as a daemon made them, by path.
fn definitions() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/definitions");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let graphs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "pb"));
    graphs.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn a_delegated_build_is_returned() {
    let definitions = definitions();
    assert!(!definitions.is_empty());
    for (path, bytes) in definitions {
        let graph = Definition::decode(bytes.as_slice()).unwrap();
        let reply = single(Ref { id: "r1".into(), def: Some(graph.clone()) });
        let solve = Box::new(move |request: SolveRequest| {
            assert_eq!((request.frontend.as_str(), &request.frontend_inputs), ("dockerfile.v0", &inputs()));
            assert!(request.allow_result_return && request.allow_result_array_ref);
            Ok(reply.clone())
        });
        let (daemon, channel, _task) = Daemon { solve, ..Daemon::default() }.start().await;
        let frontend = async |bridge: &Bridge, opts: &super::Opts| {
            let images = Images::read(delegate(bridge, opts).await?)?;
            let arrived = images.images[0].root.as_ref().and_then(|root| root.def.as_ref());
            assert_eq!(arrived, Some(&graph), "{}", path.display());
            Ok(images.into_result())
        };
        let code = serve(channel, Ok(opts(&["target=app"])), frontend).await.unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(*daemon.calls.lock().unwrap(), ["Ping", "Inputs", "Solve", "Return"]);
        // The graph stays behind: the daemon knows its refs by id.
        let result = single(root("r1")).result;
        assert_eq!(*daemon.returned.lock().unwrap(), Some(ReturnRequest { result, error: None }));
    }
}

/// Larger than HTTP/2's usual bound on headers, as the details of a long Dockerfile are.
#[tokio::test]
async fn an_inner_error_is_returned_byte_for_byte() {
    let source =
        Any { type_url: "github.com/moby/buildkit/errdefs.Source+json".into(), value: vec![b'x'; 1 << 20] };
    let unknown = Any { type_url: "unknown".into(), value: vec![0, 0xff, 0xfe] };
    let inner = proto::Status {
        code: Code::Unknown.into(),
        message: "exit code: 7".into(),
        details: vec![source, unknown],
    };
    let wire = inner.encode_to_vec();
    let solve = {
        let details = wire.clone();
        Box::new(move |_| Err(Status::with_details(Code::Unknown, "exit code: 7", details.clone().into())))
    };
    let (daemon, channel, _task) = Daemon { solve, ..Daemon::default() }.start().await;
    let code = serve(channel, Ok(opts(&[])), delegate).await.unwrap();
    assert_eq!(code, ExitCode::FAILURE);
    let returned = daemon.returned.lock().unwrap().take().unwrap();
    assert_eq!(returned.result, None);
    assert_eq!(returned.error.unwrap().encode_to_vec(), wire);
}

#[tokio::test]
async fn options_that_do_not_parse_are_reported() {
    let (daemon, channel, _task) = Daemon::default().start().await;
    serve(channel, Err(Error::user("no options")), delegate).await.unwrap();
    let returned = daemon.returned.lock().unwrap().take().unwrap();
    assert_eq!(returned.error.unwrap().message, "no options");
}

#[tokio::test]
async fn files_are_read_in_pieces() {
    for (length, calls) in [(0, 1), (5, 1), (8 << 20, 2), (20 << 20, 3)] {
        let file: Vec<u8> = (0..length).map(|index: usize| index.to_le_bytes()[2]).collect();
        let (daemon, channel, _task) = Daemon { file: file.clone(), ..Daemon::default() }.start().await;
        let bridge = Bridge::ping(channel).await.unwrap();
        assert!(bridge.read_file(&root("r1"), "/f").await.unwrap() == file, "{length} bytes");
        assert_eq!(daemon.calls.lock().unwrap().len(), 1 + calls, "{length} bytes");
    }
    let (_daemon, channel, _task) = Daemon { file: vec![0; 65 << 20], ..Daemon::default() }.start().await;
    let bridge = Bridge::ping(channel).await.unwrap();
    assert_eq!(bridge.read_file(&root("r1"), "/f").await.unwrap_err().to_string(), "/f: over 64 MiB");
}

#[tokio::test]
async fn scratch_needs_no_daemon() {
    let (daemon, channel, _task) = Daemon::default().start().await;
    let bridge = Bridge::ping(channel).await.unwrap();
    bridge.evaluate(&root("")).await.unwrap();
    assert!(is_not_found(&bridge.read_file(&root(""), "/etc/os-release").await.unwrap_err()));
    assert_eq!(*daemon.calls.lock().unwrap(), ["Ping"]);
}

#[tokio::test]
async fn old_daemons_are_not_asked_for_what_they_lack() {
    let (daemon, channel, _task) = Daemon { caps: &[], ..Daemon::default() }.start().await;
    let bridge = Bridge::ping(channel).await.unwrap();
    bridge.evaluate(&root("r1")).await.unwrap();
    assert!(bridge.inputs().await.unwrap().is_empty());
    assert_eq!(*daemon.calls.lock().unwrap(), ["Ping", "StatFile"]);
}

#[tokio::test]
async fn daemons_are_given_warnings_if_they_take_them() {
    let cases: [(&'static [&'static str], &[&str]); 2] =
        [(&["gateway.warnings"], &["Ping", "Warn", "look out"]), (&["gateway.evaluate"], &["Ping"])];
    for (caps, calls) in cases {
        let (daemon, channel, _task) = Daemon { caps, ..Daemon::default() }.start().await;
        let bridge = Bridge::ping(channel).await.unwrap();
        bridge.warn(llb::OpDigest::of(b"an op"), "look out", &["there", "here"]).await.unwrap();
        assert_eq!(*daemon.calls.lock().unwrap(), calls);
    }
}

#[tokio::test]
async fn a_graph_that_is_too_large_says_so() {
    let solve = Box::new(|_| {
        Err(Status::resource_exhausted("grpc: received message larger than max (5242900 vs. 4194304)"))
    });
    let (daemon, channel, _task) = Daemon { solve, ..Daemon::default() }.start().await;
    let bridge = Bridge::ping(channel).await.unwrap();
    for (mebibytes, message) in [
        (5, "the build graph is 5 MiB, and this BuildKit takes 4 MiB"),
        (17, "the build graph is 17 MiB, and this BuildKit takes 16 MiB"),
    ] {
        let definition = Definition { def: vec![vec![0; mebibytes << 20]], ..Definition::default() };
        let request = SolveRequest { definition: Some(definition), ..SolveRequest::default() };
        let error = bridge.solve(request).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.hint().is_some());
    }
    assert_eq!(*daemon.calls.lock().unwrap(), ["Ping", "Solve"]);
}

#[tokio::test]
async fn a_daemon_that_goes_away_is_not_waited_for() {
    let (_daemon, channel, task) = Daemon::default().start().await;
    let bridge = Bridge::ping(channel).await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let error = bridge.evaluate(&root("r1")).await.unwrap_err();
    assert!(!error.to_string().is_empty());
    let again = bridge.evaluate(&root("r1")).await.unwrap_err();
    assert!(again.to_string().contains("the daemon closed the connection"), "{again}");
}
