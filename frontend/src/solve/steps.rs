//! The steps this frontend adds to a build, as ops.

use exporter::terminal::line;
use llb::proto::{CacheSharingOpt, NetMode, ProxyEnv};
use llb::{Exec, Metadata, Mount, Run, Source, State};

use super::Build;
use crate::ask::request::PACKAGES_CONTEXT;
use crate::ask::{Folder, Hook};
use crate::base::Result;
use crate::gateway::Opts;
use crate::provision::{BOOT_OUT, CACHE, PACKAGES, PATH, Step};

/// The variable with a step's script: of a process that has failed, BuildKit repeats every argument.
pub(super) const SCRIPT: &str = "VMIMAGE_SCRIPT";
const EVALUATE: &str = "eval \"$VMIMAGE_SCRIPT\"";

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
