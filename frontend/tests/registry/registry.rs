//! Debian's `docker-registry` on a port of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry that ends with this value.
pub(crate) struct Registry {
    pub(crate) host: String,
    child: Child,
}

impl Registry {
    /// With TLS and the password if there are `ca.crt` and the like in `folder`.
    pub(crate) fn start(folder: &Path, is_closed: bool) -> Self {
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
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
