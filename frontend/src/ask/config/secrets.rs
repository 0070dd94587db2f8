//! Secrets as `--secret id=ID,src=FILE` names them, read by this process where no BuildKit does it.

use std::collections::BTreeMap;

use crate::base::{Error, Result};

/// Where each secret is, by its id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(BTreeMap<String, Place>);

#[derive(Clone, Debug, PartialEq)]
enum Place {
    File(String),
    Variable(String),
}

/// Docker's own limit.
const MAX_SECRET: u64 = 500 << 10;

impl Secrets {
    /// Reads the values of `--secret` as docker does: without a source it is the variable of that name, else the file.
    pub(crate) fn parse(values: &[String]) -> Result<Self> {
        values.iter().map(|value| parse(value)).collect::<Result<_>>().map(Self)
    }

    /// The contents of these. Those that were not given are left out: who needs one says so.
    pub(crate) fn read(&self, ids: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
        let given = ids.iter().filter_map(|id| self.0.get_key_value(*id));
        given.map(|(id, place)| Ok((id.clone(), read(id, place)?))).collect()
    }
}

fn parse(value: &str) -> Result<(String, Place)> {
    let wrong = |why: &str| {
        Error::user(format!("--secret {value}: {why}")).with_hint("write id=ID,src=FILE or id=ID,env=NAME")
    };
    let (mut id, mut kind, mut source) = (None, None, None);
    for field in value.split(',') {
        let (key, text) = field.split_once('=').ok_or_else(|| wrong("a field has no value"))?;
        match key.trim().to_lowercase().as_str() {
            "id" => id = Some(text.to_owned()),
            "type" => kind = Some(text.to_owned()),
            "src" | "source" => source = Some(Place::File(text.to_owned())),
            "env" => source = Some(Place::Variable(text.to_owned())),
            _ => return Err(wrong("a field is not known")),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("the id is missing"))?;
    let place = match (source, kind.as_deref()) {
        (Some(Place::File(name)), Some("env")) => Place::Variable(name),
        (Some(place), None | Some("file" | "env")) => place,
        (None, None | Some("file" | "env")) if std::env::var_os(&id).is_some() => Place::Variable(id.clone()),
        (None, None | Some("file")) => Place::File(id.clone()),
        _ => return Err(wrong("the type is neither file nor env")),
    };
    Ok((id, place))
}

fn read(id: &str, place: &Place) -> Result<Vec<u8>> {
    let wrong = |why: String| Error::user(format!("secret {id}: {why}"));
    match place {
        Place::Variable(name) => {
            let value =
                std::env::var_os(name).ok_or_else(|| wrong(format!("the variable {name} is not set")))?;
            Ok(value.into_encoded_bytes())
        }
        Place::File(path) => {
            let unreadable = |error| wrong(format!("{path} cannot be read")).because(error);
            let size = std::fs::metadata(path).map_err(unreadable)?.len();
            if size > MAX_SECRET {
                return Err(wrong(format!("{path} has {size} bytes, at most {MAX_SECRET} are allowed")));
            }
            std::fs::read(path).map_err(unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_as_docker_names_them() {
        let file = |name: &str| Place::File(name.to_owned());
        for (value, id, place) in [
            ("id=a,src=b", "a", file("b")),
            ("type=file,id=a,source=/b", "a", file("/b")),
            ("id=a", "a", file("a")),
            ("id=PATH", "PATH", Place::Variable("PATH".into())),
            ("id=a,env=B", "a", Place::Variable("B".into())),
            ("type=env,id=a,src=B", "a", Place::Variable("B".into())),
        ] {
            assert_eq!(parse(value).unwrap(), (id.to_owned(), place), "{value}");
        }
        for wrong in ["", "a", "src=b", "id=,src=b", "id=a,type=socket", "id=a,mode=0400"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_needed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let values = [format!("id=a,src={}", path.display()), "id=b,src=/not/there".to_owned()];
        let secrets = Secrets::parse(&values).unwrap();
        assert_eq!(
            secrets.read(&["a", "c"]).unwrap(),
            BTreeMap::from([("a".to_owned(), b"hunter2\n".to_vec())])
        );
        assert!(
            secrets.read(&["b"]).unwrap_err().to_string().starts_with("secret b: /not/there cannot be read")
        );
    }
}
