//! The steps this frontend adds to a build, as ops.

use exporter::fs::FileSystem;
use exporter::spec::{Artifact, Spec, layout};
use exporter::terminal::line;
use llb::proto::{CacheSharingOpt, MountContentCache, NetMode, ProxyEnv};
use llb::{Exec, Metadata, Mount, Run, Source, State};

use super::stages::NamedState;
use super::{Build, Parts};
use crate::ask::request::{PACKAGES_CONTEXT, Stage, Transport};
use crate::ask::{Folder, Hints, Hook};
use crate::base::{Error, Result};
use crate::gateway::Opts;
use crate::provision::{BOOT_OUT, CACHE, PACKAGES, PATH, Step};

/// Where the assemble step sees the user's file system.
const ROOTFS: &str = "/rootfs";
/// Where it sees the boot stage's files.
const BOOT_STAGE: &str = "/boot-stage";
/// Where it sees files of the build context.
const CONTEXT: &str = "/context";
/// Where it sees secrets.
const SECRETS: &str = "/run/secrets";
/// Where it sees other stages, by their numbers.
const STAGES: &str = "/stages";
/// Linux takes 128 KiB for one argument of a process.
const MAX_ARGUMENT: usize = 120 << 10;
/// Where it sees the file system of the image that gives the kernel.
const DONOR: &str = "/donor";
/// The variable with a step's script: of a process that has failed, BuildKit repeats every argument.
pub(super) const SCRIPT: &str = "VMIMAGE_SCRIPT";
const EVALUATE: &str = "eval \"$VMIMAGE_SCRIPT\"";
/// Where it makes what the tools of other file systems need.
const SCRATCH: &str = "/scratch";
/// Where it leaves the disk.
const OUT: &str = "/out";

impl Build<'_> {
    /// A step of a package manager, as root, on the network the user's own steps have.
    pub(super) fn run_step(&self, on: &State, step: &Step) -> Result<Exec> {
        Ok(on.run(self.step(step)?))
    }

    /// A boot step; its result is the folder the files lie in.
    pub(super) fn run_boot_step(&self, on: &State, step: &Step) -> Result<State> {
        let run = self.step(step)?.mount(BOOT_OUT, Mount::bind(&State::scratch()));
        Ok(on.run(run).mount(BOOT_OUT))
    }

    /// A hook, as root, on the user's file system.
    pub(super) fn run_hook(&self, on: &State, hook: &Hook) -> State {
        let run = Run::new(hook.words()).cwd("/");
        let metadata = Metadata::named(line(&hook.title));
        let run = run.metadata(if self.opts.no_cache() { metadata.ignore_cache() } else { metadata });
        on.run(match hook.network {
            true => network(proxied(run, self.opts), self.opts),
            false => run.network(NetMode::None),
        })
        .root()
    }

    fn step(&self, step: &Step) -> Result<Run> {
        let words = ["/bin/sh", "-c", EVALUATE, "sh"].into_iter().map(str::to_owned);
        let mut metadata = Metadata::named(line(&step.title));
        if self.opts.no_cache() {
            metadata = metadata.ignore_cache();
        }
        let mut run = Run::new(words.chain(step.args.iter().cloned()))
            .env("PATH", PATH)
            .env("CACHE", CACHE)
            .env(SCRIPT, &step.script)
            .cwd("/")
            .mount(CACHE, Mount::cache(&step.cache, CacheSharingOpt::Shared))
            .metadata(metadata);
        let install = &self.request.disk.install;
        for (name, value) in install.environment() {
            run = run.env(name, value);
        }
        if let Some(folder) = &install.packages {
            // Its content is part of the cache key, as with everything that is mounted read-only.
            run = run.mount(PACKAGES, self.packages(folder)?);
        }
        Ok(network(proxied(run, self.opts), self.opts))
    }

    fn packages(&self, folder: &Folder) -> Result<Mount> {
        Ok(match folder {
            Folder::Client => {
                let source = Source::local(PACKAGES_CONTEXT, self.opts.session())
                    .attr("local.sharedkeyhint", PACKAGES_CONTEXT)
                    .metadata(Metadata::named("[vmimage] load packages"));
                Mount::bind_readonly(&State::source(source))
            }
            Folder::Context(path) => {
                Mount::bind_readonly(&self.context.state(&[path])?).selector(path.as_str())
            }
        })
    }

    /// The step that turns a file system into a disk: the frontend's own image, without network or
    /// privileges. Its result is a folder with the artifacts.
    pub(super) async fn assemble(&self, spec: &Spec, parts: &Parts, stages: &[NamedState]) -> Result<State> {
        let artifacts = spec.artifacts()?;
        // Only where it changes something: other disks are the same step, and in the cache, for every client.
        let sparse = self.request.transport == Transport::Sparse && artifacts.iter().any(Artifact::is_sparse);
        let names: Vec<_> = artifacts.into_iter().map(|artifact| artifact.name).collect();
        let title = format!("[vmimage] assemble {}", names.join(", "));
        let (files, secrets) = (spec.context_files(), spec.setup.secrets());
        let slots = layout::slots(spec);
        let takes_tools = slots.iter().any(|slot| slot.file_system.is_some_and(FileSystem::is_external));
        let spec = serde_json::to_string(spec).expect("a spec has no map with keys that are no text");
        if spec.len() > MAX_ARGUMENT {
            let message = format!(
                "the configuration comes to {} bytes, at most {MAX_ARGUMENT} are allowed",
                spec.len()
            );
            return Err(Error::user(message).with_hint(
                "keep the texts of [[files]] in files of the context: source = in place of content =",
            ));
        }
        let mut args = vec![
            "/vmimage",
            "assemble",
            "--root",
            ROOTFS,
            "--boot",
            BOOT_STAGE,
            "--output",
            OUT,
            "--spec",
            &spec,
            "--context",
            CONTEXT,
            "--secrets",
            SECRETS,
        ];
        match self.request.stage {
            Stage::ContainerDisk => args.push("--container-disk"),
            _ if sparse => args.push("--sparse"),
            _ => {}
        }
        let mut metadata = Metadata::named(title).export_cache(false);
        if parts.donor.is_some() {
            args.extend(["--donor", DONOR]);
        }
        if takes_tools {
            args.extend(["--scratch", SCRATCH]);
        }
        let stages: Vec<_> = stages
            .iter()
            .enumerate()
            .map(|(number, (name, state))| (name, format!("{STAGES}/{number}"), state))
            .collect();
        let of_stages: Vec<_> =
            stages.iter().map(|(name, path, _)| format!("--stage={name}={path}")).collect();
        args.extend(of_stages.iter().map(String::as_str));
        // Whole file systems would be read and hashed for the cache key otherwise.
        let is_known = self.bridge.caps().has_llb("exec.mount.cache.content");
        let file_system = |state| match is_known {
            true => Mount::bind_readonly(state).content_cache(MountContentCache::Off),
            false => Mount::bind_readonly(state),
        };
        if is_known {
            metadata = metadata.cap("exec.mount.cache.content");
        }
        let mut run = hinting(Run::new(args), self.request.hints)
            .cwd("/")
            .readonly_root()
            .network(NetMode::None)
            .platform(self.worker_platform()?.into())
            .mount(ROOTFS, file_system(&parts.rootfs))
            .mount(OUT, Mount::bind(&State::scratch()))
            .metadata(metadata);
        if let Some(boot) = &parts.boot {
            run = run.mount(BOOT_STAGE, Mount::bind_readonly(boot));
        }
        if let Some(donor) = &parts.donor {
            run = run.mount(DONOR, file_system(donor));
        }
        if takes_tools {
            run = run.mount(SCRATCH, Mount::bind(&State::scratch()));
        }
        for (_, path, state) in &stages {
            run = run.mount(path.as_str(), file_system(state));
        }
        if !files.is_empty() {
            run = run.mount(CONTEXT, Mount::bind_readonly(&self.context.state(&files)?));
        }
        for id in &secrets {
            // One that was not given is named by the step itself, with what to type.
            run = run.mount(format!("{SECRETS}/{id}"), Mount::secret(*id, true));
        }
        if !secrets.is_empty() {
            // What a secret says is no part of the key under which BuildKit keeps a result, so each build has a
            // step of its own: neither an older build nor one at the same time can lend its disk.
            run = run.env("VMIMAGE_BUILD", self.opts.session());
        }
        Ok(self.frontend_image().await?.run(run).mount(OUT))
    }
}

/// Tells a step of this program how hints are spelled.
///
/// By a variable for proxies, which are all of a step that is no part of its cache key (BuildKit's
/// `solver/llbsolver/ops/exec.go`): whoever asks for a disk, it is made once. Nothing is to be had without a network anyway.
fn hinting(run: Run, hints: Hints) -> Run {
    match hints == Hints::default() {
        true => run,
        false => run.proxy(ProxyEnv { no_proxy: hints.name().to_owned(), ..ProxyEnv::default() }),
    }
}

/// The proxies of the user's own steps. They are no part of the cache key.
fn proxied(run: Run, opts: &Opts) -> Run {
    let value = |name: &str| {
        let found = opts.build_arg(name).or_else(|| opts.build_arg(&name.to_lowercase()));
        found.unwrap_or_default().to_owned()
    };
    let proxy = ProxyEnv {
        http_proxy: value("HTTP_PROXY"),
        https_proxy: value("HTTPS_PROXY"),
        ftp_proxy: value("FTP_PROXY"),
        no_proxy: value("NO_PROXY"),
        all_proxy: value("ALL_PROXY"),
    };
    if proxy == ProxyEnv::default() { run } else { run.proxy(proxy) }
}

/// `--network` and `--add-host` count for our steps as for the user's.
fn network(mut run: Run, opts: &Opts) -> Run {
    let hosts = opts.get("add-hosts").unwrap_or_default().split(',');
    for (host, ip) in hosts.filter_map(|entry| entry.split_once('=')) {
        run = run.host(host, ip);
    }
    match opts.get("force-network-mode") {
        Some("host") => run.network(NetMode::Host),
        Some("none") => run.network(NetMode::None),
        _ => run,
    }
}

#[cfg(test)]
mod tests {
    use llb::Image;
    use llb::proto::{ExecOp, OpKind};

    use super::*;

    /// Of a step: the word for hints, and all that BuildKit makes its cache key of.
    fn parts(hints: Hints) -> (Option<String>, ExecOp) {
        let step = hinting(Run::new(["/vmimage", "assemble"]), hints);
        let graph = State::image(Image::new("example/vmimage")).run(step).root().to_graph().unwrap();
        let Some(OpKind::Exec(mut exec)) = graph.vertices().last().unwrap().decode().unwrap().op else {
            panic!("the last one is no step")
        };
        let proxies = exec.meta.as_mut().unwrap().proxy_env.take();
        (proxies.map(|proxies| proxies.no_proxy), exec)
    }

    #[test]
    fn a_disk_is_the_same_step_however_hints_are_spelled() {
        let (words, key) = parts(Hints::BuildArguments);
        assert_eq!(words, None, "what a stock client asks for");
        for hints in [Hints::Flags, Hints::Attributes] {
            assert_eq!(parts(hints), (Some(hints.name().to_owned()), key.clone()));
        }
    }
}
