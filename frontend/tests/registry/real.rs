//! Debian's `docker-registry`: plain on loopback, and with TLS and a password.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::image::Image;
use crate::lab::{Lab, PASSWORD, USER, run};
use crate::registry::Registry;

/// Have skopeo put the image of a layout there.
fn push(registry: &Registry, layout: &Path, options: &[&str]) {
    let mut command = Command::new("skopeo");
    command.args(["copy", "--quiet", "--all"]).args(options);
    run(command
        .arg(format!("oci:{}", layout.display()))
        .arg(format!("docker://{}/team/app:v1", registry.host)));
}

#[test]
fn a_registry_on_loopback_needs_nothing() {
    let lab = Lab::new();
    let layout = Image::new().layout(lab.path());
    let disk = lab.converted(&mut lab.convert(&format!("oci:{}", layout.display())));
    let registry = Registry::start(lab.path(), false);
    push(&registry, &layout, &["--dest-tls-verify=false"]);
    let source = format!("docker://{}/team/app", registry.host);
    let digest = Image::new().index.digest();
    for version in [":v1".to_owned(), format!("@{digest}"), format!(":gone@{digest}")] {
        assert!(lab.converted(&mut lab.convert(&format!("{source}{version}"))) == disk, "{version}");
    }
    lab.converted(lab.convert(&format!("{source}:v1")).arg("--plain-http"));

    let said = lab.refused(&mut lab.convert(&format!("{source}:v2")));
    assert!(said.ends_with(":v2: the registry has no such image\nhint: its tags are v1\n"), "{said}");
    let said = lab.refused(&mut lab.convert(&format!("docker://{}/team/nothing", registry.host)));
    assert!(said.ends_with("hint: it has nothing called team/nothing\n"), "{said}");
    let unknown = format!("{source}@sha256:{:064}", 0);
    assert!(lab.refused(&mut lab.convert(&unknown)).contains("the registry has no such image"));
    drop(registry);
    assert!(
        lab.refused(&mut lab.convert(&format!("{source}:v1")))
            .contains("cannot be reached: Connection refused")
    );
}

/// An authority, a server's certificate by it, and the password.
pub(crate) fn make_keys(folder: &Path) {
    let script = format!(
        "set -e; cd {}
         openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority \
             -addext basicConstraints=critical,CA:TRUE
         openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=registry
         printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >extensions
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt -extfile extensions",
        folder.display()
    );
    run(Command::new("sh").args(["-c", &script]));
    let hashed = run(Command::new("htpasswd").args(["-nbB", USER, PASSWORD]));
    fs::write(folder.join("htpasswd"), hashed.trim()).unwrap();
}

#[test]
fn a_closed_registry_needs_trust_and_a_login() {
    let lab = Lab::new();
    let layout = Image::new().layout(lab.path());
    let disk = lab.converted(&mut lab.convert(&format!("oci:{}", layout.display())));
    make_keys(lab.path());
    let registry = Registry::start(lab.path(), true);
    let trust = lab.path().join("home/.config/containers/certs.d").join(&registry.host);
    fs::create_dir_all(&trust).unwrap();
    lab.log_in(&registry.host);
    let auth = lab.path().join("home/.docker/config.json");
    push(&registry, &layout, &["--dest-tls-verify=false", "--dest-authfile", auth.to_str().unwrap()]);
    let source = format!("docker://{}/team/app:v1", registry.host);

    let said = lab.refused(&mut lab.convert(&source));
    assert!(said.contains("cannot be trusted: invalid peer certificate: UnknownIssuer"), "{said}");
    let hint = format!(
        "\nhint: put the certificate of its authority into /etc/containers/certs.d/{}/ca.crt\n",
        registry.host
    );
    assert!(said.ends_with(&hint), "{said}");

    fs::copy(lab.path().join("ca.crt"), trust.join("ca.crt")).unwrap();
    assert!(lab.converted(&mut lab.convert(&source)) == disk);

    fs::remove_file(&auth).unwrap();
    assert!(lab.refused(&mut lab.convert(&source)).contains("the registry wants a login"));
    let wrong = serde_json::json!({ "auths": { &registry.host: { "auth": "d3Jvbmc6c2VjcmV0" } } });
    fs::write(&auth, wrong.to_string()).unwrap();
    let said = lab.refused(&mut lab.convert(&source));
    assert!(
        said.contains("the registry refuses the login\nhint: log in again: docker login 127.0.0.1:"),
        "{said}"
    );

    fs::write(trust.join("ca.crt"), "no certificate").unwrap();
    assert!(lab.refused(&mut lab.convert(&source)).contains("ca.crt: holds no certificate in PEM"));
}
