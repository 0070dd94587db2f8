//! The build context as BuildKit has it: a folder of the client, a graph, a repository of git, or an archive.
//!
//! Which of them it is follows from the same options that the Dockerfile's own frontend goes by
//! (`frontend/dockerui/context.go` of BuildKit).

use exporter::terminal::{address, line};
use llb::{FileActions, Graph, Metadata, Source, State};

use super::{broken, found, hand_over};
use crate::ask::config::{Configuration, Entry, Files, MAX_TEXT};
use crate::base::{Error, Result};
use crate::gateway::{Bridge, Opts, proto};

/// The bit of a folder in Go's `fs.FileMode`, which is how BuildKit tells modes.
const MODE_DIR: u32 = 1 << 31;

/// The context of a build.
pub(super) struct BuildContext<'a> {
    bridge: &'a Bridge,
    opts: &'a Opts,
    place: Place,
}

/// Where its files are.
enum Place {
    /// With the client, who sends what is asked for.
    Client(String),
    /// In a state, below a folder.
    State(State, String),
    /// Where this frontend cannot get at it.
    Unknown(String),
}

impl<'a> BuildContext<'a> {
    /// Finds out where it is.
    pub(super) async fn find(bridge: &'a Bridge, opts: &'a Opts) -> Result<Self> {
        let folder = opts.get("contextsubdir").unwrap_or_default().to_owned();
        let place = match opts.get("context").filter(|context| !context.is_empty()) {
            Some(remote) => match remote_state(remote) {
                Some(state) => Place::State(state, folder),
                None => Place::Unknown(remote.to_owned()),
            },
            None => match bridge.inputs().await?.get("context") {
                Some(definition) => {
                    Place::State(State::from_graph(Graph::read(definition).map_err(broken)?), folder)
                }
                None => Place::Client(opts.get("contextkey").unwrap_or("context").to_owned()),
            },
        };
        Ok(Self { bridge, opts, place })
    }

    /// The configuration in it: `asked`, which must be there, or `vmimage.toml`, if it is.
    pub(super) async fn load(&self, asked: Option<&str>) -> Result<Configuration> {
        if let (Place::Unknown(context), Some(name)) = (&self.place, asked) {
            return Err(Error::user(format!(
                "{name}: vmimage reads no files of the context {}",
                address(context)
            ))
            .with_hint("contexts are folders, archives, and repositories of git by https://"));
        }
        Configuration::load(self, asked).await
    }

    /// A state in which these files and folders of it are.
    pub(super) fn state(&self, paths: &[&str]) -> Result<State> {
        match &self.place {
            Place::Client(name) => {
                // A hint of its own, or what the daemon keeps of the context for COPY would be sent anew.
                let source = Source::local(name, self.opts.session())
                    .only(paths.iter().copied())
                    .attr("local.sharedkeyhint", "vmimage")
                    .metadata(Metadata::named(line(&format!("[internal] load {}", paths.join(", ")))));
                Ok(State::source(source))
            }
            Place::State(state, folder) if folder.is_empty() => Ok(state.clone()),
            Place::State(state, folder) => {
                Ok(State::scratch().file(FileActions::new().copy(state, folder.as_str(), "/")))
            }
            Place::Unknown(context) => Err(Error::user(format!(
                "{}: vmimage reads no files of the context {}",
                paths.join(", "),
                address(context)
            ))),
        }
    }
}

impl Files for BuildContext<'_> {
    /// The file system with them; `None` if there is none to look at.
    type Opened = Option<proto::Ref>;

    async fn open(&self, paths: &[&str]) -> Result<Option<proto::Ref>> {
        if paths.is_empty() || matches!(self.place, Place::Unknown(_)) {
            return Ok(None);
        }
        let root = hand_over(self.bridge, self.opts, &self.state(paths)?).await?;
        // Built before it is read: what is not there is told by its message, and a failed build has another.
        self.bridge.evaluate(&root).await?;
        Ok(Some(root))
    }

    async fn entry(&self, root: &Option<proto::Ref>, path: &str) -> Result<Option<Entry>> {
        let Some(root) = root else { return Ok(None) };
        let stat = found(self.bridge.stat_file(root, path).await)?;
        Ok(stat.map(|stat| if stat.mode & MODE_DIR != 0 { Entry::Folder } else { Entry::File }))
    }

    async fn text(&self, root: &Option<proto::Ref>, path: &str) -> Result<Option<String>> {
        let Some(root) = root else { return Ok(None) };
        let Some(bytes) = found(self.bridge.read_file(root, path).await)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| Error::user(format!("{path}: is no text")))?;
        if text.len() > MAX_TEXT {
            let message = format!("{path}: larger than {} KiB", MAX_TEXT >> 10);
            return Err(Error::user(message));
        }
        Ok(Some(text))
    }
}

/// The state of an URL; `None` for those of other kinds.
fn remote_state(url: &str) -> Option<State> {
    if let Some((repository, url)) = git(url) {
        let source = Source::git(&repository, &url)
            .attr("git.authheadersecret", "GIT_AUTH_HEADER")
            .attr("git.authtokensecret", "GIT_AUTH_TOKEN");
        return Some(State::source(source));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return None;
    }
    // As the Dockerfile's frontend names it: the client hands an archive out once.
    let archive = State::source(Source::http(url, "context"));
    Some(State::scratch().file(FileActions::new().unpack(&archive, "/context", "/")))
}

/// `https://host/repository.git#branch:folder` as `host/repository.git#branch:folder` and the URL alone.
fn git(url: &str) -> Option<(String, String)> {
    let (address, fragment) =
        url.split_once('#').map_or((url, None), |(address, rest)| (address, Some(rest)));
    let (scheme, rest) = address.split_once("://")?;
    let is_git = scheme == "git" || matches!(scheme, "http" | "https") && address.ends_with(".git");
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let fragment =
        fragment.filter(|text| !text.is_empty()).map(|text| format!("#{text}")).unwrap_or_default();
    is_git.then(|| (format!("{place}{fragment}"), address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_archives() {
        for (url, expected) in [
            ("https://host/r.git", Some(("host/r.git", "https://host/r.git"))),
            ("https://host/r.git#v1:sub", Some(("host/r.git#v1:sub", "https://host/r.git"))),
            ("https://me@host/r.git#", Some(("host/r.git", "https://me@host/r.git"))),
            ("git://host/r", Some(("host/r", "git://host/r"))),
            ("https://host/context.tar.gz", None),
            ("git@host:r.git", None),
        ] {
            let found = git(url);
            assert_eq!(found.as_ref().map(|(id, url)| (id.as_str(), url.as_str())), expected, "{url}");
        }
        assert!(remote_state("git@host:r.git").is_none());
        assert!(remote_state("http://buildkit-session/x").is_some());
    }
}
