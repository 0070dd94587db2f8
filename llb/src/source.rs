//! Sources that are no images: folders of the client, repositories of git, files on the web.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::proto::{OpKind, SourceOp};

/// Files to fetch, for [`State::source`](crate::State::source).
#[derive(Clone, Debug)]
pub struct Source {
    identifier: String,
    attrs: BTreeMap<String, String>,
    pub(crate) metadata: Metadata,
}

impl Source {
    /// A folder that the client of the build sends, by the name it has there: `context`, or that of a named context.
    ///
    /// `session` is the client's: without it the same name is the same vertex in every build, and of two that run
    /// side by side one gets the other's files. A daemon that names none has one client at a time.
    pub fn local(name: &str, session: &str) -> Self {
        Self::new(format!("local://{name}")).attr("local.session", session)
    }

    /// A repository: `host/path`, and behind a `#` what is to be checked out and a folder of it, `#branch:folder`.
    /// `url` is where it is in full.
    pub fn git(repository: &str, url: &str) -> Self {
        Self::new(format!("git://{repository}")).attr("git.fullurl", url)
    }

    /// What an URL gives, as a file of this name.
    pub fn http(url: &str, file_name: &str) -> Self {
        Self::new(url.to_owned()).attr("http.filename", file_name)
    }

    fn new(identifier: String) -> Self {
        Self { identifier, attrs: BTreeMap::new(), metadata: Metadata::default() }
    }

    /// Sets an option of the source, such as `local.sharedkeyhint`; one with an empty `value` is left out.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.attrs.insert(key.into(), value);
        }
        self
    }

    /// Of a folder of the client, takes only what lies at these paths, and what symbolic links there lead to.
    #[must_use]
    pub fn only<'a>(self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let quoted = paths.into_iter().map(quoted).collect::<Vec<_>>();
        self.attr("local.followpaths", format!("[{}]", quoted.join(",")))
    }

    /// Sets the metadata of the op.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    pub(crate) fn op(&self) -> Result<OpKind> {
        let (_, rest) = self.identifier.split_once("://").unwrap_or_default();
        if rest.is_empty() {
            return Err(Error::invalid(format!("source {:?}", self.identifier), "it names nothing"));
        }
        Ok(OpKind::Source(SourceOp { identifier: self.identifier.clone(), attrs: self.attrs.clone() }))
    }
}

/// A text of JSON (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_as_the_daemon_knows_them() {
        let source = Source::local("context", "s1").only(["a", "b \"\\\n"]).attr("local.empty", "");
        let OpKind::Source(op) = source.op().unwrap() else { panic!("no source") };
        assert_eq!(op.identifier, "local://context");
        let attrs: Vec<_> = op.attrs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(attrs, [("local.followpaths", r#"["a","b \"\\\u000a"]"#), ("local.session", "s1")]);
        let OpKind::Source(op) = Source::git("host/r.git#v1:sub", "https://host/r.git").op().unwrap() else {
            panic!("no source")
        };
        assert_eq!(
            (op.identifier.as_str(), op.attrs["git.fullurl"].as_str()),
            ("git://host/r.git#v1:sub", "https://host/r.git")
        );
        assert!(Source::local("", "s1").op().is_err());
    }
}
