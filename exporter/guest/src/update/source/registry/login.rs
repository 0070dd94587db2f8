//! Logins of this machine: a file as `docker login` writes it.
//!
//! No secret gets into a message: JSON is read as values, since errors of typed reading quote what they find.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Where it is looked for: what came with the image, or was put there for it; and root's own of docker.
const FILES: [&str; 2] = ["/etc/vmimage/registry.json", "/root/.docker/config.json"];
/// What `docker.io` is called in it.
const HUB: &str = "https://index.docker.io/v1/";

/// The value of the header `Authorization` by name and password. It has no `Debug`: nothing may print it.
#[derive(PartialEq, Eq)]
pub(super) struct Login(pub(super) String);

/// Where logins are.
pub(super) fn files() -> Vec<PathBuf> {
    FILES.map(PathBuf::from).to_vec()
}

/// The login for `repository`, `HOST/PATH`, of the first file that is there.
///
/// # Errors
/// For a file that cannot be read or is something else.
pub(super) fn find(files: &[PathBuf], repository: &str) -> Result<Option<Login>, String> {
    for path in files {
        match fs::read(path) {
            Ok(json) => return in_file(path, &json, repository),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
        }
    }
    Ok(None)
}

fn in_file(path: &Path, json: &[u8], repository: &str) -> Result<Option<Login>, String> {
    let invalid = || {
        let hint = "\"auths\" in it has for each registry an \"auth\", the base64 of NAME:PASSWORD";
        format!("{}: is no file of logins\nhint: {hint}", path.display())
    };
    let json: Value = serde_json::from_slice(json).map_err(|_| invalid())?;
    let Some(entries) = json["auths"].as_object() else { return Ok(None) };
    // The longest name is the nearest.
    let of_it = entries.iter().filter(|(key, _)| is_above(key, repository));
    let Some((_, entry)) = of_it.max_by_key(|(key, _)| key.len()) else { return Ok(None) };
    let encoded = match (entry["auth"].as_str(), entry["username"].as_str(), entry["password"].as_str()) {
        (Some(auth), _, _) if !auth.is_empty() => auth.to_owned(),
        (_, Some(name), Some(password)) => STANDARD.encode(format!("{name}:{password}")),
        _ => return Err(invalid()),
    };
    let pair = STANDARD.decode(&encoded).ok().and_then(|pair| String::from_utf8(pair).ok());
    match pair.is_some_and(|pair| pair.contains(':')) {
        true => Ok(Some(Login(format!("Basic {encoded}")))),
        false => Err(invalid()),
    }
}

/// Whether an entry is for a repository: for its host, or for a folder on the way to it.
fn is_above(key: &str, repository: &str) -> bool {
    let name = if key == HUB { "docker.io" } else { key };
    let name = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    repository
        .strip_prefix(name)
        .is_some_and(|rest| !name.is_empty() && (rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, repository: &str) -> Result<Option<String>, String> {
        let login = in_file(Path::new("logins"), json.as_bytes(), repository)?;
        Ok(login.map(|Login(header)| header))
    }

    #[test]
    fn the_nearest_login_counts() {
        let json = r#"{"auths":{"r.example:5000":{"auth":"YTpi"},"r.example:5000/team":{"username":"c","password":"d"},
            "https://index.docker.io/v1/":{"auth":"ZTpm"},"":{"auth":"eDp5"}}}"#;
        for (repository, login) in [
            ("r.example:5000/kiosk", Some("Basic YTpi")),
            ("r.example:5000/team/kiosk", Some("Basic Yzpk")),
            ("r.example:5000/teams", Some("Basic YTpi")),
            ("docker.io/team/kiosk", Some("Basic ZTpm")),
            ("r.example:50001/kiosk", None),
            ("r.example/kiosk", None),
        ] {
            assert_eq!(found(json, repository).unwrap().as_deref(), login, "{repository}");
        }
    }

    #[test]
    fn what_is_no_login_is_an_error_that_shows_none() {
        for json in [
            r#"{"auths":{"r":{"auth":"secret"}}}"#,
            r#"{"auths":{"r":{"identitytoken":"secret"}}}"#,
            r#"{"auths":{"r":{"auth":"c2VjcmV0"}}}"#,
            "secret",
        ] {
            let error = found(json, "r/a").unwrap_err();
            assert!(error.starts_with("logins: is no file") && !error.contains("secret"), "{error}");
        }
        assert_eq!(found("{}", "r/a"), Ok(None));
        assert!(find(&["/nowhere/at/all".into()], "r/a").is_ok_and(|login| login.is_none()));
    }
}
