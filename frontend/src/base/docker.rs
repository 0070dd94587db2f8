//! The folders of clients: where docker keeps its configuration and looks for plugins, and who else is there by a name.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::programs::is_executable;

/// The folders that a program is looked for in, the first one first.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    program: &'static str,
    folders: Vec<PathBuf>,
}

/// What docker looks through after the user's own folders.
const SYSTEM: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

impl Places {
    /// Where docker looks for its plugin buildx.
    pub(crate) fn docker_buildx(config: &Path) -> Self {
        let mut folders = extra_folders(config);
        folders.push(config.join("cli-plugins"));
        folders.extend(SYSTEM.map(PathBuf::from));
        Self { program: "docker-buildx", folders }
    }

    /// Where nerdctl and shells look for buildctl.
    pub(crate) fn buildctl() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self { program: "buildctl", folders: env::split_paths(&path).collect() }
    }

    /// The folder for all users of this host that comes first.
    pub(crate) fn system() -> PathBuf {
        PathBuf::from(SYSTEM[0])
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &'static str {
        self.program
    }

    /// All there are of this program, the one that is run first.
    pub(crate) fn found(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|folder| folder.join(self.program)).filter(|path| is_executable(path))
    }

    /// Those that come before `program`; `None` if its folder is not among the places.
    pub(crate) fn before(&self, program: &Path) -> Option<Vec<PathBuf>> {
        let place = self.folders.iter().position(|folder| Some(&**folder) == program.parent())?;
        let before = self.folders[..place].iter().map(|folder| folder.join(self.program));
        Some(before.filter(|path| is_executable(path)).collect())
    }

    /// The program that a shim started as `started` stands in front of.
    ///
    /// Its own file is never among what is tried, and the search goes only forwards: of two shims in two
    /// folders the first finds the second, and the second what is behind both.
    pub(crate) fn behind(&self, started: &OsStr) -> Option<PathBuf> {
        let own = identity(Path::new("/proc/self/exe"));
        let paths: Vec<_> = self.folders.iter().map(|folder| folder.join(self.program)).collect();
        let place = paths
            .iter()
            .position(|path| path == started)
            .or_else(|| paths.iter().position(|path| own.is_some() && identity(path) == own));
        let (before, after) = match place {
            Some(at) => (kept(&paths[at]), &paths[at + 1..]),
            None => (kept(Path::new(started)), &paths[..]),
        };
        let mut candidates = std::iter::once(&before).chain(after);
        candidates.find(|path| is_executable(path) && identity(path) != own).cloned()
    }
}

/// The name under which the shim keeps the program it has replaced.
///
/// It does not begin with `docker-`: docker takes everything that does for a plugin.
pub(crate) fn kept(program: &Path) -> PathBuf {
    let name = program.file_name().unwrap_or_default();
    program.with_file_name([OsStr::new("."), name, OsStr::new(".real")].join(OsStr::new("")))
}

/// The folder of docker's configuration; `asked` is the value of its flag `--config`.
pub(crate) fn docker_config(asked: Option<&OsStr>) -> PathBuf {
    let usual = || usual_config(|name| env::var_os(name)).unwrap_or_else(|| ".docker".into());
    asked.map_or_else(usual, PathBuf::from)
}

/// The folder that it is in where no flag names one, by the variables of the environment.
pub(crate) fn usual_config(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))
}

/// `cliPluginsExtraDirs` of docker's configuration, if it can be read.
fn extra_folders(config: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(config.join("config.json")).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let folders = config["cliPluginsExtraDirs"].as_array().into_iter().flatten();
    folders.filter_map(|folder| folder.as_str()).map(PathBuf::from).collect()
}

/// Device and inode, links followed.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const PROGRAM: &str = "docker-buildx";

    /// Folders a, b and c in this order.
    fn places(root: &Path) -> Places {
        let folders = ["a", "b", "c"].map(|name| root.join(name));
        folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        Places { program: PROGRAM, folders: folders.to_vec() }
    }

    fn put(path: &Path) {
        fs::copy("/bin/true", path).unwrap();
    }

    #[test]
    fn the_search_goes_forwards_and_never_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name).join(PROGRAM));
        // This very program under its name in a, as a copy of another version would be found by its path.
        symlink(env::current_exe().unwrap(), &a).unwrap();
        let behind = |started: &Path| places.behind(started.as_os_str());
        assert_eq!(behind(&a), None);
        put(&c);
        assert_eq!(behind(&a), Some(c.clone()));
        put(&b);
        assert_eq!(behind(&a), Some(b.clone()));
        assert_eq!(behind(&b), Some(c.clone()), "a shim in b goes on after b, whatever is in a");
        assert_eq!(behind(&c), None);
        put(&kept(&a));
        assert_eq!(behind(&a), Some(kept(&a)));
        assert_eq!(behind(Path::new(PROGRAM)), Some(kept(&a)), "found in a by its inode");
        fs::remove_file(&b).unwrap();
        symlink(&a, &b).unwrap();
        assert_eq!(behind(&kept(&a).with_file_name("elsewhere")), Some(kept(&a)));
        fs::remove_file(kept(&a)).unwrap();
        assert_eq!(behind(&a), Some(c), "b is a link to this very program");
    }

    #[test]
    fn what_cannot_be_run_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let [b, c] = ["b", "c"].map(|name| dir.path().join(name).join(PROGRAM));
        fs::write(&b, "no program").unwrap();
        put(&c);
        assert_eq!(places.behind(dir.path().join("a").join(PROGRAM).as_os_str()), Some(c.clone()));
        assert_eq!(places.found().collect::<Vec<_>>(), [c]);
    }

    #[test]
    fn docker_is_followed_to_its_folders() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path();
        let first = |places: Places| places.folders[..2].to_vec();
        let system = PathBuf::from("/usr/local/lib/docker/cli-plugins");
        assert_eq!(first(Places::docker_buildx(config)), [config.join("cli-plugins"), system]);
        fs::write(config.join("config.json"), r#"{"cliPluginsExtraDirs": ["/opt/plugins"]}"#).unwrap();
        let extra = PathBuf::from("/opt/plugins");
        assert_eq!(first(Places::docker_buildx(config)), [extra, config.join("cli-plugins")]);
        assert_eq!(docker_config(Some(OsStr::new("/x"))), Path::new("/x"));
        // Whoever asks whether there is a buildx looks there too.
        let folder = dir.path().join("plugins");
        let extra = serde_json::json!({ "cliPluginsExtraDirs": [folder] });
        fs::write(config.join("config.json"), extra.to_string()).unwrap();
        fs::create_dir(&folder).unwrap();
        put(&folder.join(PROGRAM));
        assert_eq!(Places::docker_buildx(config).found().next(), Some(folder.join(PROGRAM)));
    }

    #[test]
    fn the_environment_leads_to_dockers_folder() {
        let folder = |set: &[(&str, &str)]| {
            usual_config(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/h");
        assert_eq!(folder(&[("DOCKER_CONFIG", "/d"), home]), Some("/d".into()));
        assert_eq!(folder(&[("DOCKER_CONFIG", ""), home]), Some("/h/.docker".into()));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn what_is_kept_is_no_plugin_by_name() {
        assert_eq!(kept(Path::new("/a/docker-buildx")), Path::new("/a/.docker-buildx.real"));
    }
}
