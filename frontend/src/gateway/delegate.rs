//! Hand the Dockerfile to the frontend that understands it.
//!
//! That is `dockerfile.v0` of the daemon, or the image the second word of the directive names:
//! `# syntax=example/vmimage docker/dockerfile:1` gives an old daemon a new Dockerfile.

use std::collections::BTreeMap;

use super::client::Bridge;
use super::opts::Opts;
use super::platform::Platform;
use super::proto::{self, SolveRequest};
use crate::base::{Error, Result};
use llb::{Definition, FileActions, State};

/// What the Dockerfile alone comes to. With an option `requestid` it is the answer to a question about the
/// Dockerfile, to be returned as it is.
pub(crate) async fn delegate(bridge: &Bridge, opts: &Opts) -> Result<proto::Result> {
    bridge.solve(request(opts, bridge.inputs().await?)).await
}

/// What `COPY --from=NAME` would copy from, for this platform: a named context, else a stage of the Dockerfile.
pub(crate) async fn stage(
    bridge: &Bridge,
    opts: &Opts,
    name: &str,
    platform: &Platform,
) -> Result<proto::Result> {
    bridge.solve(request_of_stage(opts, bridge.inputs().await?, name, platform)?).await
}

fn request_of_stage(
    opts: &Opts,
    inputs: BTreeMap<String, Definition>,
    name: &str,
    platform: &Platform,
) -> Result<SolveRequest> {
    let mut request = request(opts, inputs);
    let options = &mut request.frontend_opt;
    options.remove("multi-platform");
    options.insert("platform".to_owned(), platform.to_string());
    if opts.get(&format!("context:{name}")).is_none() {
        options.insert("target".to_owned(), name.to_owned());
        return Ok(request);
    }
    // Of one that is no stage a Dockerfile of its own is built, in the place of the user's.
    for key in ["target", "filename", "dockerfilekey", "context", "contextsubdir"] {
        options.remove(key);
    }
    let dockerfile = FileActions::new().mkfile("/Dockerfile", 0o644, format!("FROM {name}\n"));
    let dockerfile = State::scratch().file(dockerfile).marshal();
    let dockerfile = dockerfile.map_err(|error| Error::internal(format!("the build graph: {error}")))?;
    request.frontend_inputs.insert("dockerfile".to_owned(), dockerfile);
    Ok(request)
}

/// The nested build: every option and input, except what is meant for this frontend.
fn request(opts: &Opts, inputs: BTreeMap<String, Definition>) -> SolveRequest {
    let mut options: BTreeMap<String, String> = opts
        .iter()
        .filter(|(key, _)| !is_ours(key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let cmdline = opts.cmdline().unwrap_or_default().trim();
    let frontend = match cmdline.split_once(char::is_whitespace) {
        Some((_, rest)) => {
            let rest = rest.trim_start();
            let image = rest.split_whitespace().next().expect("trimmed text ends in a word");
            options.insert("source".to_owned(), image.to_owned());
            options.insert("cmdline".to_owned(), rest.to_owned());
            "gateway.v0"
        }
        None => {
            // Its presence alone keeps dockerfile.v0 from following the directive back to this frontend.
            options
                .entry("cmdline".to_owned())
                .or_insert_with(|| opts.source().unwrap_or_default().to_owned());
            "dockerfile.v0"
        }
    };
    SolveRequest {
        frontend: frontend.to_owned(),
        frontend_opt: options,
        frontend_inputs: inputs,
        ..SolveRequest::default()
    }
}

/// Options the nested build must not see: they would change its cache keys, or trip its checks.
fn is_ours(key: &str) -> bool {
    key == "build-arg:BUILDKIT_SYNTAX" || key.starts_with("build-arg:VMIMAGE_")
}

#[cfg(test)]
mod tests {
    use super::super::opts::tests::opts;
    use super::*;

    fn nested(options: &[&str]) -> SolveRequest {
        request(&opts(options), BTreeMap::new())
    }

    #[test]
    fn options_are_forwarded_except_ours() {
        let request = nested(&[
            "cmdline=example/vmimage",
            "source=example/vmimage",
            "build-arg:A=1",
            "build-arg:VMIMAGE_SIZE=10G",
            "build-arg:BUILDKIT_SYNTAX=example/vmimage",
            "context:debian=docker-image://debian:12",
            "requestid=frontend.outline",
        ]);
        let keys: Vec<_> = request.frontend_opt.keys().map(String::as_str).collect();
        assert_eq!(keys, ["build-arg:A", "cmdline", "context:debian", "requestid", "source"]);
        assert_eq!(request.frontend, "dockerfile.v0");
    }

    #[test]
    fn a_stage_is_a_target_and_a_named_context_is_built_by_itself() {
        let given =
            ["platform=linux/amd64,linux/arm64", "multi-platform=1", "target=app", "context:assets=local:x"];
        let of = |name: &str| {
            let platform =
                Platform { os: "linux".into(), architecture: "arm64".into(), ..Platform::default() };
            let request = request_of_stage(&opts(&given), BTreeMap::new(), name, &platform).unwrap();
            assert_eq!(request.frontend_opt["platform"], "linux/arm64");
            assert_eq!(request.frontend_opt.get("multi-platform"), None);
            let inputs: Vec<_> = request.frontend_inputs.into_keys().collect();
            (request.frontend_opt.get("target").cloned(), inputs)
        };
        assert_eq!(of("build"), (Some("build".to_owned()), vec![]));
        assert_eq!(of("assets"), (None, vec!["dockerfile".to_owned()]));
    }

    #[test]
    fn inputs_are_forwarded() {
        let inputs = BTreeMap::from([("context".to_owned(), Definition::default())]);
        assert_eq!(request(&opts(&[]), inputs.clone()).frontend_inputs, inputs);
    }

    #[test]
    fn the_directive_selects_the_inner_frontend() {
        let cases: [(&[&str], &str, &str, &str); 5] = [
            (&["cmdline=me", "source=me"], "dockerfile.v0", "me", "me"),
            (&["cmdline=me "], "dockerfile.v0", "me ", ""),
            (&["source=me"], "dockerfile.v0", "me", "me"),
            (
                &["cmdline=me docker/dockerfile:1", "source=me"],
                "gateway.v0",
                "docker/dockerfile:1",
                "docker/dockerfile:1",
            ),
            (&["cmdline=me  a b ", "source=me"], "gateway.v0", "a b", "a"),
        ];
        for (options, frontend, cmdline, source) in cases {
            let request = nested(options);
            assert_eq!(request.frontend, frontend, "{options:?}");
            assert_eq!(request.frontend_opt["cmdline"], cmdline, "{options:?}");
            assert_eq!(request.frontend_opt.get("source").map_or("", String::as_str), source, "{options:?}");
        }
    }

    #[test]
    fn cmdline_is_there_even_if_nothing_is_known() {
        assert_eq!(nested(&[]).frontend_opt["cmdline"], "");
    }
}
