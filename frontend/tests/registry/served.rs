//! `vmimage serve nbd docker://…`: an image of a registry is downloaded at the start, and read by nobody there again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::image::Image;
use crate::lab::{Lab, run};
use crate::server::{Server, answer};

/// Ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_image_of_a_registry_is_served_as_it_is_written() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, _| answer(&image, request));
    run(&mut lab.convert(&server.source()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["serve", "nbd", &server.source(), "--profile", "data", "--json", "--listen"]);
    command.arg(format!("unix:{}", lab.path().join("socket").display()));
    command.env("HOME", lab.path().join("home")).stdout(Stdio::piped());
    let mut serving = Serving(command.spawn().unwrap());
    let (mut out, mut line) = (BufReader::new(serving.0.stdout.take().unwrap()), String::new());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let asked = server.requests().len();
    let uri = ready["uri"].as_str().unwrap();
    run(Command::new("qemu-img").args(["compare", "-f", "raw", "-F", "raw"]).arg(lab.disk()).arg(uri));
    assert_eq!(server.requests().len(), asked);
}
