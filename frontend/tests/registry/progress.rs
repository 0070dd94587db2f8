//! A download is a stage of its own, with the bytes of the layers.

use std::process::Command;

use serde_json::Value;

use crate::image::Image;
use crate::lab::Lab;
use crate::server::{Server, answer};

#[test]
fn layers_are_downloaded_and_then_read() {
    let (lab, image) = (Lab::new(), Image::new());
    let size: usize = image.layers.iter().map(|layer| layer.bytes.len()).sum();
    let server = Server::new(move |request, _| answer(&image, request));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["convert", "--no-install", "--profile", "data", "--progress", "rawjson", "-o"]);
    command.arg(lab.disk()).arg(server.source()).env("HOME", lab.path().join("home"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let objects: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stderr).into_iter().collect::<Result<_, _>>().unwrap();
    let mut stages: Vec<_> = objects.iter().map(|object| object["stage"].as_str().unwrap()).collect();
    stages.dedup();
    assert_eq!(stages, ["reading", "downloading", "reading", "planning", "writing"]);
    let downloads = objects.iter().rfind(|object| object["stage"] == "downloading").unwrap();
    assert_eq!((&downloads["done"], &downloads["total"]), (&size.into(), &size.into()));
}
