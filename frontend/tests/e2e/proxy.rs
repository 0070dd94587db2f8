//! A proxy for HTTP on a loopback port that forwards really, and records what it was asked for.

use std::io::{BufRead, BufReader, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Hosts that only the proxy knows end like this; behind them are Debian's packages.
pub(crate) const MIRROR: &str = ".mirror.invalid";
const DEBIAN: &str = "deb.debian.org";

/// A proxy that goes on to the end of the test.
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = proxy.asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let asked = asked.clone();
                std::thread::spawn(move || forward(client, &asked));
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URLs it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request, and its answer; apt asks again for what it has sent behind it.
fn forward(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines().map_while(Result::ok);
    let request = lines.next()?;
    let url = request.split(' ').nth(1)?.to_owned();
    asked.lock().unwrap().push(url.clone());
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let host = if host.ends_with(MIRROR) { DEBIAN } else { host };
    let kept = lines.take_while(|line| !line.is_empty()).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !matches!(&*name, "host" | "connection" | "proxy-connection")
    });
    let head = kept.map(|line| line + "\r\n").collect::<String>();
    let mut server = TcpStream::connect((host, 80)).ok()?;
    write!(server, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\r\n").ok()?;
    copy(&mut server, &mut client).ok()?;
    Some(())
}
