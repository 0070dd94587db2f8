//! Logins of this machine's user: the files that `docker login`, `podman login` and the like write, and the
//! helpers that keep secrets for them.
//!
//! Files: [containers-auth.json(5)](https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md).
//! Helpers: <https://github.com/docker/docker-credential-helpers#development>.
//!
//! No secret gets into a message: JSON is read as values, since errors of typed reading quote what they find,
//! and what a helper prints is not passed on. (The crate `docker_credential` quotes a helper's output, and
//! knows no names longer than a host.)

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use exporter::error::{Error, Kind, Result};
use serde_json::Value;

use crate::base::docker::usual_config;

/// What `docker.io` is called in the files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What helpers say where they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// A login. It has no `Debug`: nothing may print it.
#[derive(PartialEq, Eq)]
pub(super) enum Login {
    /// Name and password.
    Password { user: String, password: String },
    /// A token that stands for both, to be sent only where other tokens come from.
    Identity(String),
}

/// The login for images below `repository`, `HOST/PATH`; `file` if the user named one.
///
/// # Errors
/// `Input` for a file that is not as docker and podman write it, `Io` for one or a helper that cannot be used.
pub(super) fn find(repository: &str, file: Option<&Path>) -> Result<Option<Login>> {
    let files = match file {
        Some(file) => vec![file.to_owned()],
        None => {
            usual_files(&|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        }
    };
    for path in files {
        let config = match std::fs::read(&path) {
            Ok(json) => parse(&path, &json)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => continue,
            Err(error) => return Err(Error::io(path.display().to_string(), "cannot read the logins", error)),
        };
        if let Some(login) = config.find(repository)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

/// Where logins are, podman's before docker's. One that the environment names is the only one.
fn usual_files(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = |below: &str| variable("HOME").map(|home| home.join(below));
    let runtime = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    // podman's own choice where nobody has logged in by a session.
    let uid = rustix::process::getuid().as_raw();
    let runtime = runtime.unwrap_or_else(|| format!("/run/containers/{uid}/auth.json").into());
    let config = variable("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let docker = usual_config(|name| variable(name).map(PathBuf::into_os_string));
    let config = config.map(|folder| folder.join("containers/auth.json"));
    let docker = docker.map(|folder| folder.join("config.json"));
    std::iter::once(runtime).chain(config).chain(docker).collect()
}

/// One of the files.
struct Config<'a> {
    path: &'a Path,
    json: Value,
}

fn parse<'a>(path: &'a Path, json: &[u8]) -> Result<Config<'a>> {
    match serde_json::from_slice(json) {
        Ok(json @ Value::Object(_)) => Ok(Config { path, json }),
        _ => Err(invalid(path)),
    }
}

fn invalid(path: &Path) -> Error {
    let message = "is not a file of logins as docker and podman write it";
    Error::new(Kind::Input, path.display().to_string(), message)
        .with_hint("log in again with docker login or podman login")
}

impl Config<'_> {
    fn find(&self, repository: &str) -> Result<Option<Login>> {
        let host = repository.split('/').next().unwrap_or_default();
        if let Some(helper) = self.helper_of(host) {
            return ask(helper, host);
        }
        if let Some(login) = self.stored(repository)? {
            return Ok(Some(login));
        }
        match self.json["credsStore"].as_str().filter(|helper| !helper.is_empty()) {
            Some(helper) => ask(helper, host),
            None => Ok(None),
        }
    }

    fn helper_of(&self, host: &str) -> Option<&str> {
        let helpers = self.json["credHelpers"].as_object()?;
        helpers.iter().find(|(key, _)| is_key_of(key, host)).and_then(|(_, helper)| helper.as_str())
    }

    /// The entry with the longest name that the repository lies below.
    fn stored(&self, repository: &str) -> Result<Option<Login>> {
        let Some(entries) = self.json["auths"].as_object() else { return Ok(None) };
        let mut name = repository;
        loop {
            if let Some((_, entry)) = entries.iter().find(|(key, _)| is_key_of(key, name))
                && let Some(login) = self.login(entry)?
            {
                return Ok(Some(login));
            }
            match name.rsplit_once('/') {
                Some((above, _)) => name = above,
                None => return Ok(None),
            }
        }
    }

    /// The login of an entry; docker leaves entries empty whose secret a helper has.
    fn login(&self, entry: &Value) -> Result<Option<Login>> {
        let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Login::Identity(token.to_owned())));
        }
        if let Some(encoded) = text("auth") {
            return decode(encoded).map(Some).ok_or_else(|| invalid(self.path));
        }
        let login =
            |user: &str, password: &str| Login::Password { user: user.into(), password: password.into() };
        Ok(text("username").zip(text("password")).map(|(user, password)| login(user, password)))
    }
}

/// Whether an entry is for `name`: a host, or a part of a repository. Old ones are URLs.
fn is_key_of(key: &str, name: &str) -> bool {
    if name == "docker.io" && key == DOCKER_HUB {
        return true;
    }
    match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        Some(url) => url.split('/').next() == Some(name),
        None => key == name,
    }
}

/// `NAME:PASSWORD` in base64.
fn decode(encoded: &str) -> Option<Login> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = GeneralPurpose::new(&STANDARD, config).decode(encoded).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (user, password) = text.split_once(':')?;
    // Some versions of docker pad the password with zero bytes.
    Some(Login::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// Ask `docker-credential-NAME` for a login.
fn ask(helper: &str, host: &str) -> Result<Option<Login>> {
    let program = format!("docker-credential-{helper}");
    let failed = |error| Error::io(&program, "cannot be asked for the login", error);
    let refused = |message: String| Error::new(Kind::Input, &program, message);
    let mut command = Command::new(&program);
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let server = if host == "docker.io" { DOCKER_HUB } else { host };
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    // A helper that does not read has ended, and says why.
    let _ = writeln!(stdin, "{server}");
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let is_not_found = String::from_utf8_lossy(&output.stdout).contains(NOT_FOUND);
        return if is_not_found { Ok(None) } else { Err(refused(format!("failed ({})", output.status))) };
    }
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match (answer["Username"].as_str(), answer["Secret"].as_str()) {
        (Some("<token>"), Some(token)) => Ok(Some(Login::Identity(token.to_owned()))),
        (Some(user), Some(password)) => {
            Ok(Some(Login::Password { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Err(refused("gave no login, though it said so".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config<'static> {
        parse(Path::new("auth.json"), json.as_bytes()).unwrap()
    }

    /// `name:password`, or `token`.
    fn shown(login: Option<Login>) -> String {
        match login {
            None => "nothing".to_owned(),
            Some(Login::Password { user, password }) => format!("{user}:{password}"),
            Some(Login::Identity(token)) => token,
        }
    }

    #[test]
    fn the_longest_name_counts() {
        // a:b, c:d, e:f, g:h, i:j
        let config = config(
            r#"{"auths": {
                "host:5000": {"auth": "YTpi"}, "host:5000/team": {"auth": "Yzpk"},
                "https://old.example/v1/": {"auth": "ZTpm"}, "https://index.docker.io/v1/": {"auth": "Zzpo"},
                "token.example": {"identitytoken": "secret"}, "plain.example": {"username": "i", "password": "j"},
                "empty.example": {}, "quay.io/team/app": {"auth": "YTpi"}
            }}"#,
        );
        for (repository, login) in [
            ("host:5000/app", "a:b"),
            ("host:5000/team/app", "c:d"),
            ("host:5000/teams/app", "a:b"),
            ("host/app", "nothing"),
            ("old.example/app", "e:f"),
            ("docker.io/library/debian", "g:h"),
            ("token.example/app", "secret"),
            ("plain.example/app", "i:j"),
            ("empty.example/app", "nothing"),
            ("quay.io/team/app", "a:b"),
            ("quay.io/team/other", "nothing"),
        ] {
            assert_eq!(shown(config.find(repository).unwrap()), login, "{repository}");
        }
    }

    #[test]
    fn files_that_are_none_are_refused_without_their_content() {
        for json in ["", "[]", "{\"auths\": {\"a\": {\"auth\": \"secret\"", "\"secret\""] {
            let error = parse(Path::new("auth.json"), json.as_bytes()).err().unwrap();
            assert_eq!(error.to_string(), "auth.json: is not a file of logins as docker and podman write it");
        }
        // Neither base64 nor, decoded, a name and a password.
        for auth in ["s\u{e9}cret", "c2VjcmV0"] {
            let config = config(&format!(r#"{{"auths": {{"a": {{"auth": "{auth}"}}}}}}"#));
            assert!(config.find("a/app").is_err_and(|error| !error.to_string().contains("cret")));
        }
    }

    #[test]
    fn files_are_looked_for_where_podman_and_docker_look() {
        let files = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            usual_files(&value).iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(files(&[("REGISTRY_AUTH_FILE", "/f"), ("HOME", "/h")]), "/f");
        assert_eq!(
            files(&[("XDG_RUNTIME_DIR", "/r"), ("HOME", "/h")]),
            "/r/containers/auth.json /h/.config/containers/auth.json /h/.docker/config.json"
        );
        assert!(files(&[("DOCKER_CONFIG", "/d"), ("HOME", "/h")]).ends_with(" /d/config.json"));
        assert!(files(&[]).starts_with("/run/containers/"));
    }
}
