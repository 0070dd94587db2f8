//! Where a file tree comes from, as a person writes it.

use std::path::PathBuf;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub location: Location,
    /// Which image, if there are several: a tag or a name (`latest`, `debian:12`).
    pub reference: Option<String>,
}

/// Where a file tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Whatever there is: a directory that holds `oci-layout` is a layout, any other a file tree; a file
    /// that holds an image is an archive, any other the tar of a file tree.
    Path(PathBuf),
    /// A directory that is the root of the tree.
    Directory(PathBuf),
    /// A tar of the tree.
    Tar(PathBuf),
    /// Any tar on the standard input.
    Stdin,
    /// A directory with an OCI image layout.
    OciLayout(PathBuf),
    /// A tar of such a directory.
    OciArchive(PathBuf),
    /// What `docker save` writes.
    DockerArchive(PathBuf),
}

impl Input {
    /// From text: a path, `-` for the standard input, or one of these, named as the tools of
    /// github.com/containers name them (containers-transports(5)), but for the first two:
    ///
    /// `dir-tree:PATH`, `tar:PATH`, `oci:PATH[:REFERENCE]`, `oci-archive:PATH[:REFERENCE]`,
    /// `docker-archive:PATH[:REFERENCE]`
    pub fn parse(text: &str) -> Self {
        let plain = |location| Self { location, reference: None };
        if text == "-" {
            return plain(Location::Stdin);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return plain(Location::Path(text.into()));
        };
        let (path, reference) = match rest.split_once(':') {
            Some((path, reference)) if !reference.is_empty() => (path, Some(reference.to_owned())),
            _ => (rest.trim_end_matches(':'), None),
        };
        let location = match scheme {
            "dir-tree" => return plain(Location::Directory(rest.into())),
            "tar" => return plain(Location::Tar(rest.into())),
            "oci" => Location::OciLayout(path.into()),
            "oci-archive" => Location::OciArchive(path.into()),
            "docker-archive" => Location::DockerArchive(path.into()),
            _ => return plain(Location::Path(text.into())),
        };
        Self { location, reference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_they_say() {
        let input =
            |location, reference: Option<&str>| Input { location, reference: reference.map(Into::into) };
        for (text, expected) in [
            ("-", input(Location::Stdin, None)),
            ("a.tar", input(Location::Path("a.tar".into()), None)),
            ("./tar:a", input(Location::Path("./tar:a".into()), None)),
            ("tar:a:b", input(Location::Tar("a:b".into()), None)),
            ("dir-tree:a:b", input(Location::Directory("a:b".into()), None)),
            ("oci:dir", input(Location::OciLayout("dir".into()), None)),
            ("oci:dir:", input(Location::OciLayout("dir".into()), None)),
            ("oci-archive:a.tar:v1", input(Location::OciArchive("a.tar".into()), Some("v1"))),
            ("docker-archive:a:debian:12", input(Location::DockerArchive("a".into()), Some("debian:12"))),
        ] {
            assert_eq!(Input::parse(text), expected);
        }
    }
}
