//! Scripts on the user's finished file system.

use exporter::spec::Container;

/// A script to run on the user's finished file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// Its name in the build's progress.
    pub(crate) title: String,
    /// The script.
    pub(crate) script: String,
    /// Whether it gets at the network.
    pub(crate) network: bool,
}

/// Runs `$1`, a script that may say its interpreter, with `$2` as its `PATH`, and leaves nothing behind.
const RUN: &str = r#"export PATH=$2
mkdir -p /run && hook=$(mktemp /run/hook.XXXXXX) && printf '%s\n' "$1" >"$hook" && chmod 700 "$hook" || exit
"$hook" && code=0 || code=$?
rm -f "$hook"
exit $code"#;

impl Hook {
    /// The process that runs it.
    pub(crate) fn words(&self) -> [&str; 6] {
        ["/bin/sh", "-c", RUN, "sh", &self.script, Container::DEFAULT_PATH]
    }
}
