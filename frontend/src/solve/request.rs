//! What the options of this build ask for.

use crate::ask::Folder;
use crate::ask::request::{PACKAGES_CONTEXT, Request, STAGE};
use crate::base::{Error, Result};
use crate::gateway::Opts;

/// Every wrong argument is named, not only the first.
pub(super) fn read(opts: &Opts) -> Result<Request> {
    // An image made FROM the frontend's sets its own default stage.
    let default_stage = std::env::var(STAGE).ok();
    let own = default_stage.as_deref().map(|stage| (STAGE, stage));
    let mut request = Request::new(&[], own.into_iter().chain(opts.build_args()))?;
    request.disk.install.packages = has_folder(opts, PACKAGES_CONTEXT)?.then_some(Folder::Client);
    request.clamped(opts.build_arg("SOURCE_DATE_EPOCH"))
}

/// Whether the client has a folder of this name.
pub(super) fn has_folder(opts: &Opts, name: &str) -> Result<bool> {
    match opts.get(&format!("context:{name}")) {
        None => Ok(false),
        Some(context) if context.starts_with("local:") => Ok(true),
        Some(other) => Err(Error::user(format!("the named context {name} is {other}"))
            .with_hint("it has to be a folder of this machine")),
    }
}
