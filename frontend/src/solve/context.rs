//! The build context as BuildKit has it: a folder of the client, a graph, a repository of git, or an archive.
//!
//! Which of them it is follows from the same options that the Dockerfile's own frontend goes by
//! (`frontend/dockerui/context.go` of BuildKit).

use std::collections::BTreeMap;

use exporter::terminal::{address, line};
use llb::{FileActions, Graph, Metadata, Source, State};

use super::{broken, hand_over};
use crate::ask::config::{Config, Configuration, Entries, Entry, FILE, MAX_TEXT};
use crate::base::Error;
use crate::gateway::{Bridge, Failure, Opts, proto};

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
    /// Where this frontend can't get at it.
    Unknown(String),
}

impl<'a> BuildContext<'a> {
    /// Finds out where it is.
    pub(super) async fn find(bridge: &'a Bridge, opts: &'a Opts) -> Result<Self, Failure> {
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
    pub(super) async fn load(&self, asked: Option<&str>) -> Result<Configuration, Failure> {
        let name = asked.unwrap_or(FILE);
        if let (Place::Unknown(context), Some(_)) = (&self.place, asked) {
            return Err(Failure::new(format!(
                "{name}: vmimage reads no files of the context {}",
                address(context)
            ))
            .with_hint("contexts are folders, archives, and repositories of git by https://"));
        }
        let root = self.build(&[name]).await?;
        let Some(text) = self.texts(root.as_ref(), &[name]).await?.remove(name) else {
            return match asked {
                None => Ok(Configuration::default()),
                Some(_) => Err(missing(name)),
            };
        };
        let config = Config::parse(name, &text).map_err(Error::from)?;
        // Here and not by the steps that they are for: a kernel would be installed by then.
        let paths = config.texts();
        let root = self.build(&paths).await?;
        let mut entries = self.entries(root.as_ref(), &paths).await?;
        for paths in config.mounts() {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            entries.extend(self.entries(self.build(&paths).await?.as_ref(), &paths).await?);
        }
        Config::check_paths(name, &text, &entries).map_err(Error::from)?;
        let texts = self.texts(root.as_ref(), &paths).await?;
        Ok(Configuration { texts, config })
    }

    /// A state in which these files and folders of it are.
    pub(super) fn state(&self, paths: &[&str]) -> Result<State, Failure> {
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
            Place::Unknown(context) => Err(Failure::new(format!(
                "{}: vmimage reads no files of the context {}",
                paths.join(", "),
                address(context)
            ))),
        }
    }

    /// The file system with these files and folders; `None` if there is none to look at.
    async fn build(&self, paths: &[&str]) -> Result<Option<proto::Ref>, Failure> {
        if paths.is_empty() || matches!(self.place, Place::Unknown(_)) {
            return Ok(None);
        }
        let root = hand_over(self.bridge, self.opts, &self.state(paths)?).await?;
        // Built before it is read: what is not there is told by its message, and a failed build has another.
        self.bridge.evaluate(&root).await?;
        Ok(Some(root))
    }

    /// What is at these paths of `root`, as far as there is something.
    async fn entries(&self, root: Option<&proto::Ref>, paths: &[&str]) -> Result<Entries, Failure> {
        let mut entries = Entries::new();
        let Some(root) = root else { return Ok(entries) };
        for path in paths {
            let entry = match self.bridge.stat_file(root, path).await {
                Ok(stat) if stat.mode & MODE_DIR != 0 => Entry::Folder,
                Ok(_) => Entry::File,
                Err(failure) if failure.is_not_found() => continue,
                Err(failure) => return Err(failure),
            };
            entries.insert((*path).to_owned(), entry);
        }
        Ok(entries)
    }

    /// Those text files that are in `root`, by their paths.
    async fn texts(
        &self,
        root: Option<&proto::Ref>,
        paths: &[&str],
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut texts = BTreeMap::new();
        let Some(root) = root else { return Ok(texts) };
        for path in paths {
            let bytes = match self.bridge.read_file(root, path).await {
                Ok(bytes) => bytes,
                Err(failure) if failure.is_not_found() => continue,
                Err(failure) => return Err(failure),
            };
            let text = String::from_utf8(bytes).map_err(|_| Failure::new(format!("{path}: is no text")))?;
            if text.len() > MAX_TEXT {
                return Err(Failure::new(format!(
                    "{path}: over {} KiB, a text was expected",
                    MAX_TEXT >> 10
                )));
            }
            texts.insert((*path).to_owned(), text);
        }
        Ok(texts)
    }
}

fn missing(path: &str) -> Failure {
    Failure::new(format!("{path}: is not in the build context"))
        .with_hint("paths are those of the context; .dockerignore is about COPY alone")
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
