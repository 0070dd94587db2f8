//! A server that tells, over HTTP, what only the machine it runs in can know. Standard library only.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let port = std::env::args().nth(1).expect("the port is the first argument");
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).expect("port 80 is for every user");
    // By name, as many images have their logs: this can be opened only if it is this user's.
    let mut log = fs::OpenOptions::new().write(true).open("/dev/stdout").expect("/dev/stdout can be opened");
    writeln!(log, "listening on {port}").expect("the log can be written");
    for connection in listener.incoming() {
        let Ok(mut connection) = connection else { continue };
        let mut request = [0; 1024];
        let _ = connection.read(&mut request);
        let report = report();
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", report.len());
        let _ = connection.write_all(format!("{head}{report}").as_bytes());
    }
}

/// A line for each fact.
fn report() -> String {
    let status = file("/proc/self/status");
    let ids = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let facts = [
        ("token", file("/sys/class/dmi/id/product_name")),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("cmdline", file("/proc/cmdline")),
        ("hostname", file("/proc/sys/kernel/hostname")),
        ("app", file("/srv/app.txt")),
        ("uid", ids("Uid:")),
        ("gid", ids("Gid:")),
        ("directory", std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default()),
        ("greeting", variable("GREETING")),
        ("path", variable("PATH")),
        ("home", variable("HOME")),
        ("parent", ids("PPid:")),
        ("kept", file("kept")),
        ("writable", fs::write("kept", "written by the machine").is_ok().to_string()),
        ("nameserver", file("/etc/resolv.conf").lines().filter(|line| line.starts_with("nameserver")).count().to_string()),
        ("root", file("/proc/mounts").lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap_or_default().to_owned()),
        ("blocks", file("/sys/class/block/vda3/size")),
        ("year", year().to_string()),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        let _ = writeln!(text, "{name}={}", value.trim());
    }
    text
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn year() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    1970 + now.as_secs() / 31_556_952
}
