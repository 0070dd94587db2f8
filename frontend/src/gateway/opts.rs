//! What the build was started with: options, workers and the frontend's own image.
//!
//! BuildKit passes everything in the environment, one variable per option:
//!
//! ```text
//! BUILDKIT_FRONTEND_OPT_0=build-arg:VMIMAGE_SIZE=10G
//! BUILDKIT_FRONTEND_OPT_1=platform=linux/amd64,linux/arm64
//! BUILDKIT_WORKERS=[{"id":…,"platforms":[…]}]
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use prost::Message;
use serde::Deserialize;

use super::platform::Platform;
use super::proto::CacheOptionsEntry;
use crate::ask::Hints;
use crate::ask::request::HINTS;
use crate::base::{Error, Result};
use llb::Definition;

const OPTION_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";
const BUILD_ARG_PREFIX: &str = "build-arg:";
/// The graph of the running frontend's image (BuildKit 0.10 and later).
const FRONTEND_BIN: &str = "/run/config/buildkit/metadata/frontend.bin";

/// The options of a build by name, with typed views of those this frontend acts on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Opts {
    values: BTreeMap<String, String>,
    workers: Vec<Worker>,
    image: Option<Definition>,
    session: String,
}

/// A machine (or an emulator) that runs build steps.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Worker {
    /// What it can run, its native platform first. Daemons before 0.13 spell the key like a Go field.
    #[serde(alias = "Platforms", default)]
    pub platforms: Vec<Platform>,
}

impl Opts {
    /// The options of this process.
    pub(super) fn from_process() -> Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let opts = Self::parse(std::env::vars_os().filter_map(text))?;
        Ok(Self { image: read_image(Path::new(FRONTEND_BIN))?, ..opts })
    }

    /// The options among environment variables.
    pub(super) fn parse(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut opts = Self::default();
        for (name, value) in variables {
            if name.starts_with(OPTION_PREFIX) {
                let (key, value) = value.split_once('=').unwrap_or((&value, ""));
                opts.values.insert(key.to_owned(), value.to_owned());
            } else if name == "BUILDKIT_WORKERS" {
                opts.workers = parse_json(&name, &value)?;
            } else if name == "BUILDKIT_SESSION_ID" {
                opts.session = value;
            }
        }
        Ok(opts)
    }

    /// The value of an option.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All options by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The workers, the one that runs this build first.
    pub(crate) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The id of the client's session: another one for every build.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The graph of this frontend's own image; [`None`] from daemons before 0.10.
    pub(crate) fn image(&self) -> Option<&Definition> {
        self.image.as_ref()
    }

    /// One `--build-arg`.
    pub(crate) fn build_arg(&self, name: &str) -> Option<&str> {
        self.get(&format!("{BUILD_ARG_PREFIX}{name}"))
    }

    /// Every `--build-arg`, sorted by name.
    pub(crate) fn build_args(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|(key, value)| Some((key.strip_prefix(BUILD_ARG_PREFIX)?, value)))
    }

    /// How the client spells what hints name. Whether it has asked for that in the right words is somebody else's to say.
    pub(super) fn hints(&self) -> Hints {
        Hints::named(self.build_arg(HINTS))
    }

    /// Whether every step must run again. A `no-cache` that names stages is about those alone.
    pub(crate) fn no_cache(&self) -> bool {
        self.get("no-cache") == Some("")
    }

    /// The whole syntax directive that selected this frontend: its image, then words for it.
    pub(crate) fn cmdline(&self) -> Option<&str> {
        self.get("cmdline")
    }

    /// The image reference of this frontend.
    pub(crate) fn source(&self) -> Option<&str> {
        self.get("source")
    }

    /// A question about the Dockerfile (`frontend.outline`, …) instead of a build.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.get("requestid").filter(|id| !id.is_empty())
    }

    /// Where graphs of this frontend's own find cached steps.
    pub(crate) fn cache_imports(&self) -> Result<Vec<CacheOptionsEntry>> {
        let mut imports: Vec<CacheOptionsEntry> = match self.get("cache-imports").unwrap_or_default() {
            "" => Vec::new(),
            json => {
                parse_json::<Vec<CacheImport>>("cache-imports", json)?.into_iter().map(Into::into).collect()
            }
        };
        let legacy = self.get("cache-from").unwrap_or_default().split(',').filter(|image| !image.is_empty());
        imports.extend(legacy.map(|image| CacheOptionsEntry {
            kind: "registry".to_owned(),
            attrs: [("ref".to_owned(), image.to_owned())].into(),
        }));
        Ok(imports)
    }
}

/// An element of the option `cache-imports`.
#[derive(Deserialize)]
struct CacheImport {
    #[serde(rename = "Type", alias = "type")]
    kind: String,
    #[serde(rename = "Attrs", alias = "attrs", default)]
    attrs: BTreeMap<String, String>,
}

impl From<CacheImport> for CacheOptionsEntry {
    fn from(import: CacheImport) -> Self {
        Self { kind: import.kind, attrs: import.attrs }
    }
}

fn parse_json<'a, T: Deserialize<'a>>(what: &str, json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::build(format!("{what}: {error}")))
}

fn read_image(path: &Path) -> Result<Option<Definition>> {
    match std::fs::read(path) {
        Ok(bytes) => Definition::decode(bytes.as_slice())
            .map(Some)
            .map_err(|error| Error::build(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::build(format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Options from `key=value` texts, as the daemon would pass them.
    pub(in super::super) fn opts(options: &[&str]) -> Opts {
        let variable =
            |(index, option): (usize, &&str)| (format!("{OPTION_PREFIX}{index}"), option.to_string());
        Opts::parse(options.iter().enumerate().map(variable)).expect("options without JSON always parse")
    }

    fn environment(name: &str, value: &str) -> Result<Opts> {
        Opts::parse([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn options_split_at_the_first_equals_sign() {
        let opts = opts(&["build-arg:A=b=c", "build-arg:EMPTY=", "no-cache"]);
        assert_eq!(opts.build_arg("A"), Some("b=c"));
        assert_eq!(opts.build_args().collect::<Vec<_>>(), [("A", "b=c"), ("EMPTY", "")]);
        assert!(opts.no_cache());
        assert_eq!(opts.build_arg("a"), None);
    }

    #[test]
    fn no_cache_of_stages_is_not_no_cache_of_all() {
        assert!(!opts(&["no-cache=builder,app"]).no_cache());
        assert!(!opts(&[]).no_cache());
    }

    #[test]
    fn other_variables_are_ignored() {
        assert_eq!(environment("PATH", "/bin").unwrap(), Opts::default());
    }

    #[test]
    fn workers_are_read_in_both_spellings() {
        let platform = r#"{"architecture":"amd64","os":"linux"}"#;
        for json in [
            format!(r#"[{{"id":"w","labels":{{"a":"b"}},"platforms":[{platform}]}}]"#),
            format!(r#"[{{"ID":"w","Labels":null,"Platforms":[{platform}],"GCPolicy":null}}]"#),
        ] {
            let opts = environment("BUILDKIT_WORKERS", &json).unwrap();
            assert_eq!(opts.workers()[0].platforms[0].to_string(), "linux/amd64");
        }
        assert!(environment("BUILDKIT_WORKERS", "[{").is_err());
    }

    #[test]
    fn cache_imports_come_from_both_options() {
        let opts = opts(&[
            r#"cache-imports=[{"Type":"local","Attrs":{"src":"dir","digest":"sha256:0"}}]"#,
            "cache-from=example/a,example/b:1",
        ]);
        let imports = opts.cache_imports().unwrap();
        let kinds: Vec<_> = imports.iter().map(|import| import.kind.as_str()).collect();
        assert_eq!(kinds, ["local", "registry", "registry"]);
        assert_eq!(imports[0].attrs["src"], "dir");
        assert_eq!(imports[2].attrs["ref"], "example/b:1");
        assert!(self::opts(&["cache-imports={"]).cache_imports().is_err());
    }

    #[test]
    fn the_image_is_optional_but_not_arbitrary() {
        let folder = std::env::temp_dir().join(format!("vmimage-opts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("frontend.bin");
        assert_eq!(read_image(&file).unwrap(), None);
        let definition = Definition { def: vec![vec![1]], ..Definition::default() };
        std::fs::write(&file, definition.encode_to_vec()).unwrap();
        assert_eq!(read_image(&file).unwrap(), Some(definition));
        std::fs::write(&file, [0xff]).unwrap();
        assert!(read_image(&file).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
