//! How registries are talked to, wherever that is asked.

use std::path::PathBuf;

/// How to get at an image in a registry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry options")]
pub(super) struct RegistryArgs {
    /// The file with the logins, in place of those of podman and docker
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
    /// Talk to the registry without TLS; this machine's own may do so anyway
    #[arg(long)]
    pub(super) plain_http: bool,
}

impl RegistryArgs {
    /// Whether something was said.
    pub(super) fn is_asked(&self) -> bool {
        self.authfile.is_some() || self.plain_http
    }
}
