//! The images that tests stand on are their own: what the engine has under a distribution's name is its user's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{nonce, run, testdata};

/// Folders whose images are the user's: the demo and the bench beside it, and graphs that are recorded.
const OF_THE_USER: [&str; 3] = ["demo", "bench", "definitions"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The image of a line `FROM NAME:TAG …`, if it is one of a distribution's.
fn foreign_base(line: &str) -> Option<&str> {
    let image = line.trim_start().strip_prefix("FROM ")?.split_whitespace().next()?;
    ["debian:", "alpine:"].iter().any(|name| image.starts_with(name)).then_some(image)
}

#[test]
fn no_test_stands_on_an_image_of_the_user() {
    let is_ours = |path: &PathBuf| !OF_THE_USER.iter().any(|name| path.starts_with(testdata(name)));
    let dockerfiles = files(&testdata("")).into_iter().filter(is_ours);
    for path in dockerfiles.filter(|path| path.to_string_lossy().ends_with("Dockerfile")) {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().find_map(foreign_base), None, "{}", path.display());
    }
    assert_eq!(foreign_base("FROM debian:12 AS base"), Some("debian:12"));
    assert_eq!(foreign_base("FROM vmimage-test/debian:12"), None);
}

#[test]
fn images_of_tests_say_their_recipe() {
    let digest = run(Command::new("sha256sum").arg(testdata("../.ci/images")));
    for image in ["vmimage-test/debian:12", "vmimage-test/debian:13", "vmimage-test/alpine:3.23"] {
        let format = "{{index .Config.Labels \"com.example.vmimage.recipe\"}}";
        let label = run(Command::new("docker").args(["image", "inspect", "--format", format, image]));
        assert_eq!(label.trim(), &digest[..16], "{image}: made by another recipe (see .ci/images)");
    }
}

#[test]
fn an_image_that_the_user_has_stays_as_it_is() {
    let image = format!("debian:{}", nonce());
    run(Command::new("docker").args(["tag", "vmimage-test/alpine:3.23", &image]));
    let id = || run(Command::new("docker").args(["image", "inspect", "--format", "{{.Id}}", &image]));
    let before = id();
    run(Command::new(testdata("../.ci/images")).arg(&image));
    assert_eq!(id(), before);
    run(Command::new("docker").args(["rmi", &image]));
}
