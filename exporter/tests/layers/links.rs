//! A layer that writes below a name which is no directory in lower layers: engines mount one over the other, and a
//! directory hides what is below it.

use std::path::Path;
use std::process::Command;

use exporter::tree::{Detail, Tree};
use tempfile::TempDir;

use crate::support::{Layout, Stored, read, run, scan, tar};

const LOWER: [&str; 7] =
    ["usr/", "usr/lib/", "usr/lib/old=old", "lib->usr/lib", "abs->/usr/lib", "own->usr", "file=file"];
const UPPER: [&str; 8] = [
    "lib/foo.so=new",
    "abs/deep/foo.so=new",
    "file/x=new",
    // Engines unpack a layer by itself: what its own link leads to has to be in it.
    "usr/",
    "usr/lib/",
    "own->usr/lib",
    "own/y=new",
    "z=z",
];

/// What is where, without the times of what engines make when they unpack.
fn shape(tree: &Tree) -> String {
    let dump = tree.dump(Detail { holes: false, hashes: true }).unwrap();
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        [&words[..4], &words[5..]].concat().join(" ")
    };
    dump.lines().filter(|line| !line.starts_with("/ ")).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_directory_hides_what_lower_layers_have_in_its_place() {
    let tree = read(&Layout::of(&[tar(&LOWER), tar(&UPPER)], Stored::Plain).input()).unwrap().tree;
    let content = |path: &str| tree.read(path, 9).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    for (path, expected) in [
        ("/lib/foo.so", Some("new")),
        ("/lib/old", None),
        ("/abs/deep/foo.so", Some("new")),
        ("/file/x", Some("new")),
        ("/usr/lib/foo.so", None),
        ("/usr/lib/old", Some("old")),
        // The same layer's own link is one.
        ("/usr/lib/y", Some("new")),
        ("/own/old", Some("old")),
    ] {
        assert_eq!(content(path).as_deref(), expected, "{path}");
    }
}

#[test]
fn a_link_of_the_same_layer_is_followed() {
    let tree =
        read(&Layout::of(&[tar(&["usr/", "lib->usr", "lib/a=a"])], Stored::Gzip).input()).unwrap().tree;
    assert_eq!(tree.read("/usr/a", 9).unwrap().unwrap(), b"a");
}

/// An image in docker's store, gone with this value.
struct Loaded(String);

impl Drop for Loaded {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", &self.0]).output();
    }
}

fn output(program: &str, words: &[&str]) -> String {
    String::from_utf8(run(Command::new(program).args(words))).unwrap().trim().to_owned()
}

#[test]
fn docker_and_buildah_have_the_same() {
    let scratch = TempDir::new().unwrap();
    let archive = scratch.path().join("links.tar");
    let name = format!("vmimage-test/links:{}", std::process::id());
    pack(&Layout::of(&[tar(&LOWER), tar(&UPPER)], Stored::Plain), &archive, &name);
    let archive = archive.to_str().unwrap();
    let read = shape(&read(archive).unwrap().tree);

    let docker = Loaded(name.clone());
    run(Command::new("docker").args(["load", "-q", "-i", archive]));
    let container = output("docker", &["create", &docker.0]);
    let unpacked = TempDir::new().unwrap();
    let members = "usr lib abs own file z";
    let export = format!("docker export {container} | tar -xp -C {} {members}", unpacked.path().display());
    run(Command::new("sh").args(["-euc", &export]));
    run(Command::new("docker").args(["rm", &container]));
    assert_eq!(shape(&scan(unpacked.path())), read);

    assert_eq!(mounted_by_buildah(&[], archive, shape), read);
}

/// The storage driver that copies layers follows links: a build with it has its own way.
#[test]
fn a_store_that_copies_layers_follows_the_link() {
    let scratch = TempDir::new().unwrap();
    let archive = scratch.path().join("links.tar");
    pack(
        &Layout::of(&[tar(&LOWER), tar(&["lib/foo.so=new"])], Stored::Plain),
        &archive,
        "vmimage-test/links:1",
    );
    let [root, run] = ["root", "run"].map(|name| scratch.path().join(name).display().to_string());
    let store = ["--storage-driver", "vfs", "--root", &root, "--runroot", &run];
    let read = |tree: &Tree| ["/usr/lib/foo.so", "/lib/old"].map(|path| tree.read(path, 9).unwrap().unwrap());
    assert_eq!(mounted_by_buildah(&store, archive.to_str().unwrap(), read), [b"new", b"old"]);
}

/// What `look` sees of an archive's image as buildah mounts it, with these options for its store.
fn mounted_by_buildah<T>(store: &[&str], archive: &str, look: impl FnOnce(&Tree) -> T) -> T {
    let buildah = |words: &[&str]| output("buildah", &[store, words].concat());
    let image = buildah(&["pull", "-q", &format!("docker-archive:{archive}")]);
    let container = buildah(&["from", "--pull-never", &image]);
    let seen = look(&scan(Path::new(&buildah(&["mount", &container]))));
    buildah(&["rm", &container]);
    buildah(&["rmi", &image]);
    seen
}

/// A layout of one image as an archive that every engine takes.
fn pack(layout: &Layout, archive: &Path, name: &str) {
    let index = std::fs::read_to_string(layout.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let manifest = std::fs::read(layout.blob(index["manifests"][0]["digest"].as_str().unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let place =
        |blob: &serde_json::Value| blob["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(place).collect();
    let docker =
        serde_json::json!([{ "Config": place(&manifest["config"]), "RepoTags": [name], "Layers": layers }]);
    std::fs::write(layout.path().join("manifest.json"), docker.to_string()).unwrap();
    run(Command::new("tar")
        .arg("-cf")
        .arg(archive)
        .arg("-C")
        .arg(layout.path())
        .args(["manifest.json", "blobs"]));
}
