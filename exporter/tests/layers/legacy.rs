//! Archives of `docker save` from before docker 1.10, which have no `manifest.json`.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{read, read_error, sh, tar};

fn id(n: u8) -> String {
    format!("{n:064x}")
}

/// A layer of such an archive, over `parent`.
fn add(folder: &Path, n: u8, parent: Option<u8>, members: &[&str], more: &Value) {
    let layer = folder.join(id(n));
    std::fs::create_dir_all(&layer).unwrap();
    let mut json = json!({
        "id": id(n), "created": "2014-06-13T14:03:26Z", "docker_version": "1.9.1", "Size": 3,
        "container_config": { "Cmd": ["/bin/sh", "-c", "#(nop)"] }, "config": { "Cmd": ["of layer", n.to_string()] },
    });
    parent.iter().for_each(|parent| json["parent"] = id(*parent).into());
    more.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    std::fs::write(layer.join("json"), json.to_string()).unwrap();
    std::fs::write(layer.join("VERSION"), "1.0").unwrap();
    std::fs::write(layer.join("layer.tar"), tar(members)).unwrap();
}

/// Two images over one layer, as docker packed them.
fn archive(folder: &Path) {
    let for_amd64 = json!({ "architecture": "amd64", "os": "linux" });
    add(folder, 7, None, &["etc/", "etc/gone=gone", "name=base"], &for_amd64);
    add(folder, 3, Some(7), &["etc/.wh.gone=", "name=one"], &for_amd64);
    add(folder, 9, Some(7), &["name=two"], &json!({ "config": null }));
    let repositories = json!({ "app": { "1": id(3), "stable": id(3) }, "host:5000/app": { "2": id(9) } });
    std::fs::write(folder.join("repositories"), repositories.to_string()).unwrap();
}

fn packed(folder: &Path, options: &str) -> String {
    let place = folder.with_extension("tar");
    sh(folder, &format!("tar {options} --sort=name -f {} -c *", place.display()));
    place.display().to_string()
}

#[test]
fn archives_from_before_docker_1_10_are_read_too() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().join("saved");
    archive(&folder);
    for options in ["", "-z", "--zstd"] {
        let saved = packed(&folder, options);
        for (reference, name, command) in [
            ("app:1", "one", Some(vec!["of layer".to_owned(), "3".to_owned()])),
            ("app:stable", "one", Some(vec!["of layer".to_owned(), "3".to_owned()])),
            ("host:5000/app:2", "two", None),
        ] {
            let loaded = read(&format!("docker-archive:{saved}:{reference}")).unwrap();
            assert_eq!(loaded.tree.read("/name", 9).unwrap().unwrap(), name.as_bytes());
            assert_eq!(loaded.tree.resolve("/etc/gone").is_none(), name == "one");
            let config = loaded.config.unwrap();
            assert_eq!(config.architecture().to_string(), "amd64");
            assert_eq!(config.config().as_ref().and_then(|config| config.cmd().clone()), command);
            let members = loaded.config_json.unwrap();
            assert!(members.get("id").is_none() && members.get("parent").is_none(), "{members}");
        }
        let error = read(&saved).unwrap_err();
        assert!(error.to_string().ends_with(": there are 2 of image for linux/amd64"), "{error}");
        assert_eq!(
            error.hint(),
            Some(&"it holds linux/amd64 (app:1, app:stable); linux/amd64 (host:5000/app:2)".into())
        );
    }
}

#[test]
fn one_without_names_holds_what_is_no_layer_of_others() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().join("saved");
    add(&folder, 1, None, &["name=base"], &json!({}));
    add(&folder, 2, Some(1), &["name=top"], &json!({ "architecture": "" }));
    let loaded = read(&packed(&folder, "")).unwrap();
    assert_eq!(loaded.tree.read("/name", 9).unwrap().unwrap(), b"top");
}

#[test]
fn what_is_wrong_in_one_is_said() {
    let said = |change: &dyn Fn(&Path)| {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("saved");
        add(&folder, 1, None, &["name=base"], &json!({}));
        add(&folder, 2, Some(1), &["name=top"], &json!({}));
        std::fs::write(folder.join("repositories"), json!({ "app": { "1": id(2) } }).to_string()).unwrap();
        change(&folder);
        read_error(&format!("docker-archive:{}", packed(&folder, "")))
    };
    let base = said(&|folder| std::fs::remove_file(folder.join(id(1)).join("layer.tar")).unwrap());
    assert!(base.ends_with(&format!(": there is no {}/layer.tar", id(1))), "{base}");
    let ring = said(&|folder| add(folder, 1, Some(2), &["name=base"], &json!({})));
    assert!(ring.ends_with("lies on itself or on layers that are missing"), "{ring}");
    let parent = said(&|folder| std::fs::remove_dir_all(folder.join(id(1))).unwrap());
    assert!(parent.ends_with("lies on itself or on layers that are missing"), "{parent}");
    let json = said(&|folder| std::fs::write(folder.join(id(2)).join("json"), "[]").unwrap());
    assert!(json.contains("/json is not as specified: "), "{json}");
    let tar = said(&|folder| std::fs::write(folder.join(id(1)).join("layer.tar"), "short").unwrap());
    assert!(tar.contains(": layer 1 of 2 (") && tar.ends_with("the archive is truncated"), "{tar}");
}
