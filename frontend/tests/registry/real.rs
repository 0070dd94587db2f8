//! Debian's `docker-registry`: plain on loopback, and with TLS and a password.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::image::Image;
use crate::lab::{Lab, PASSWORD, USER, run};

/// A registry that ends with this value.
struct Registry {
    host: String,
    child: Child,
}

impl Registry {
    /// With TLS and the password if there are `ca.crt` and the like in `folder`.
    fn start(folder: &Path, is_closed: bool) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let shown = folder.display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {shown}/registry}}}}\n\
             http:\n  addr: {host}\n"
        );
        if is_closed {
            config += &format!("  tls: {{certificate: {shown}/server.crt, key: {shown}/server.key}}\n");
            config += &format!("auth: {{htpasswd: {{realm: registry, path: {shown}/htpasswd}}}}\n");
        }
        let path = folder.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("docker-registry: {error} (see .ci/setup)"));
        let registry = Self { host, child };
        let start = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Have skopeo put the image of a layout there.
    fn push(&self, layout: &Path, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--all"]).args(options);
        run(command
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/team/app:v1", self.host)));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_registry_on_loopback_needs_nothing() {
    let lab = Lab::new();
    let layout = Image::new().layout(lab.path());
    let disk = lab.converted(&mut lab.convert(&format!("oci:{}", layout.display())));
    let registry = Registry::start(lab.path(), false);
    registry.push(&layout, &["--dest-tls-verify=false"]);
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
            .contains("can't be reached: Connection refused")
    );
}

/// An authority, a server's certificate by it, and the password.
fn make_keys(folder: &Path) {
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
    registry.push(&layout, &["--dest-tls-verify=false", "--dest-authfile", auth.to_str().unwrap()]);
    let source = format!("docker://{}/team/app:v1", registry.host);

    let said = lab.refused(&mut lab.convert(&source));
    assert!(said.contains("can't be trusted: invalid peer certificate: UnknownIssuer"), "{said}");
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
