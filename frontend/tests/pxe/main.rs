//! `vmimage serve pxe` on networks of network namespaces, with the clients and servers of Debian. Root is needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod lab;
mod requests;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use lab::{Host, Lab, Serve};
use requests::{Client, Reply};

const SERVER: &str = "10.9.0.1";
const EVERYBODY: &str = "255.255.255.255:67";

/// Bytes that no part is like another of.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A netboot folder, and a link out of it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let medium = json!({
        "version": 1, "id": "0", "name": "web", "architecture": "x86-64", "modes": ["live", "install"],
        "root": { "file": "root.erofs", "bytes": 3_000_001, "sha256": "", "type": "erofs" },
    });
    write("medium.json", medium.to_string().as_bytes());
    write("root.erofs", &noise(3_000_001));
    write("grub.pxe", &noise(200_000));
    write("shimx64.efi", b"MZ shim");
    write("netboot.efi", b"MZ netboot");
    write("boot.ipxe", b"#!ipxe\nset mode live\nset base ${cwduri}\n");
    write("grub.cfg", b"set mode=live\nset server=$net_default_server\n");
    let names =
        ["medium.json", "root.erofs", "grub.pxe", "shimx64.efi", "netboot.efi", "boot.ipxe", "grub.cfg"];
    let sums: String = names.iter().map(|name| format!("{}  {name}\n", "0".repeat(64))).collect();
    write("SHA256SUMS", sums.as_bytes());
    symlink("/etc/passwd", folder.path().join("passwd")).unwrap();
    folder
}

/// A network with a server and a client that has an address.
fn two_hosts() -> (Lab, Host, Host) {
    let lab = Lab::new();
    let server = lab.host("server", &["10.9.0.1/24"]);
    let client = lab.host("client", &["10.9.0.50/24"]);
    (lab, server, client)
}

fn fetched(client: &Host, dir: &Path, args: &[&str]) -> (bool, Vec<u8>) {
    let file = dir.join("fetched");
    let _ = fs::remove_file(&file);
    let mut all = vec![
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
        "--output",
        file.to_str().unwrap(),
    ];
    all.extend(args);
    let output = client.run(&all);
    (output.status.success(), fs::read(&file).unwrap_or_default())
}

#[test]
fn files_come_by_http_whole_and_in_ranges() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let (_lab, server, client) = two_hosts();
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER, "--mode", "install"]);
    let root = noise(3_000_001);
    let url = "http://10.9.0.1:8080/root.erofs";
    assert_eq!(fetched(&client, out.path(), &[url]), (true, root.clone()));
    assert_eq!(
        fetched(&client, out.path(), &["--range", "65530-65545", url]),
        (true, root[65530..65546].to_vec())
    );
    assert_eq!(fetched(&client, out.path(), &["--range", "-7", url]), (true, root[2_999_994..].to_vec()));
    assert!(
        !fetched(&client, out.path(), &["--range", "3000001-", url]).0,
        "there is nothing behind its end"
    );
    let (_, script) = fetched(&client, out.path(), &["http://10.9.0.1:8080/boot.ipxe"]);
    assert_eq!(
        String::from_utf8(script).unwrap(),
        "#!ipxe\nset mode install\nset base http://10.9.0.1:8080/\n"
    );
    let (_, script) = fetched(&client, out.path(), &["http://10.9.0.1:8080/grub.cfg"]);
    assert_eq!(String::from_utf8(script).unwrap(), "set mode=install\nset server=10.9.0.1:8080\n");
    for path in [
        "/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/",
        "//etc/passwd",
        "/.",
        "/root.erofs/",
    ] {
        let url = format!("http://10.9.0.1:8080{path}");
        let refused = fetched(&client, out.path(), &["--path-as-is", &url]);
        assert_eq!(refused, (false, vec![]), "{path}");
    }
    let lines = serve.end();
    let whole = json!({"protocol": "http", "client": "10.9.0.50", "request": "GET /root.erofs", "answer": "200", "bytes": 3_000_001});
    assert!(lines.contains(&whole), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line["answer"] == "404").count(), 7, "{lines:?}");
}

#[test]
fn files_come_by_tftp_to_clients_of_all_kinds() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let (_lab, server, client) = two_hosts();
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    let expected = noise(200_000);
    for options in [
        &["--tftp-no-options"][..],
        &["--tftp-blksize", "512"],
        &["--tftp-blksize", "1468"],
        &["--tftp-blksize", "65464"],
    ] {
        let got = fetched(&client, out.path(), &[options, &["tftp://10.9.0.1/grub.pxe"]].concat());
        assert_eq!(got, (true, expected.clone()), "{options:?}");
    }
    for block in ["512", "1468", "65464"] {
        let file = out.path().join("busybox");
        let name = file.to_str().unwrap();
        let args = ["busybox", "tftp", "-g", "-b", block, "-r", "/grub.pxe", "-l", name, SERVER];
        let output = client.run(&args);
        assert!(output.status.success() && fs::read(&file).unwrap() == expected, "{block}: {output:?}");
    }
    for name in ["passwd", "../../../../etc/passwd", "/etc/passwd", "..", "GRUB.PXE"] {
        let output = client.run(&["busybox", "tftp", "-g", "-r", name, "-l", "/dev/null", SERVER]);
        assert!(!output.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not found"), "{output:?}");
    }
    let own = out.path().join("own");
    fs::write(&own, "mine").unwrap();
    let output = client.run(&["busybox", "tftp", "-p", "-l", own.to_str().unwrap(), "-r", "new", SERVER]);
    assert!(!output.status.success() && !folder.path().join("new").exists(), "nothing is written");
    let lines = serve.end();
    assert_eq!(lines.iter().filter(|line| line["bytes"] == 200_000).count(), 7, "{lines:?}");
}

#[test]
fn a_proxy_beside_a_dhcp_server_gives_boot_files_and_no_addresses() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    let server = lab.host("server", &["10.9.0.1/24"]);
    let other = lab.host("dnsmasq", &["10.9.0.2/24"]);
    let client = lab.host("client", &[]);
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    let _dnsmasq = other.dnsmasq(out.path(), "dhcp-range=10.9.0.100,10.9.0.110\n");
    assert_eq!(
        client.udhcpc(out.path(), &[]),
        Some(("10.9.0.2".to_owned(), true)),
        "a usual client has its lease"
    );
    let mut pxe = Client::new(&client);
    let offers = pxe.ask(&requests::discover("PXEClient:Arch:00007:UNDI:003016", 7), EVERYBODY, 2);
    let (from_dnsmasq, from_us): (Vec<_>, Vec<_>) =
        offers.iter().partition(|offer| offer.server == [10, 9, 0, 2]);
    assert_eq!((from_dnsmasq.len(), from_us.len()), (1, 1), "{offers:?}");
    assert_eq!(from_dnsmasq[0].address[..3], [10, 9, 0]);
    let expected = Reply {
        xid: requests::XID,
        kind: 2,
        server: [10, 9, 0, 1],
        address: [0; 4],
        next: [10, 9, 0, 1],
        file: "netboot.efi".to_owned(),
    };
    assert_eq!(*from_us[0], expected);
    let offers = pxe.ask(&requests::discover("HTTPClient:Arch:00016:UNDI:003001", 16), EVERYBODY, 2);
    let ours = offers.iter().find(|offer| offer.server == [10, 9, 0, 1]).unwrap();
    assert_eq!((ours.address, &*ours.file), ([0; 4], "http://10.9.0.1:8080/netboot.efi"));
    let lines = serve.end();
    assert_eq!(lines.len(), 2, "the usual client is none of its own: {lines:?}");
    assert!(lines.iter().all(|line| line["protocol"] == "dhcp"));
}

/// Those of `docs/netboot.md`.
#[test]
fn the_lines_for_dnsmasq_name_the_files_of_a_folder() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/netboot.md")).unwrap();
    let (_, lines) = page.split_once("dnsmasq:\n\n```text\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let out = tempfile::tempdir().unwrap();
    let lab = Lab::new();
    let other = lab.host("dnsmasq", &["10.9.0.2/24"]);
    let mut client = Client::new(&lab.host("client", &[]));
    let _dnsmasq = other.dnsmasq(out.path(), lines);
    for (class, architecture, file) in [
        ("PXEClient:Arch:00000", 0, "grub.pxe"),
        ("PXEClient:Arch:00007", 7, "shimx64.efi"),
        ("HTTPClient:Arch:00016", 16, "http://10.9.0.1:8080/netboot.efi"),
    ] {
        let offer = client.ask(&requests::discover(class, architecture), EVERYBODY, 1).remove(0);
        assert_eq!((offer.server, &*offer.file), ([10, 9, 0, 2], file), "{class}");
    }
}

#[test]
fn a_proxy_answers_at_both_ports_and_nobody_but_who_boots() {
    let folder = folder();
    let (_lab, server, host) = two_hosts();
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    let mut client = Client::new(&host);
    let bios = requests::discover("PXEClient:Arch:00000:UNDI:002001", 0);
    assert_eq!(client.ask(&bios, EVERYBODY, 1)[0].file, "grub.pxe");
    let mut again = bios.clone();
    again[242] = 3;
    let to = "10.9.0.1:4011";
    let given = client.ask(&again, to, 1);
    assert_eq!((given[0].kind, &*given[0].file), (5, "grub.pxe"));
    for (what, message) in [
        ("a usual client", requests::discover("MSFT 5.0", 0)),
        ("a request for an address", again.clone()),
        ("an answer", [&[2], &bios[1..]].concat()),
        ("a relay's", [&bios[..24], &[10, 9, 0, 50], &bios[28..]].concat()),
        ("another cookie", [&bios[..239], &[0x64], &bios[240..]].concat()),
        ("a short one", bios[..200].to_vec()),
        ("an option that is cut off", [&bios[..243], &[60, 200, b'P']].concat()),
        ("one byte", vec![1]),
        ("a long one", [&bios[..], &[0; 1400]].concat()),
        ("noise", noise(400)),
    ] {
        assert!(client.is_not_answered((&message, EVERYBODY), (&bios, EVERYBODY)), "{what}");
    }
    assert!(client.is_not_answered((&bios, to), (&again, to)), "that port is for those who have an address");
    assert_eq!(serve.end().len(), 2 + 10 + 1);
}

#[test]
fn a_lab_without_a_dhcp_server_gets_addresses_of_the_range() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    let server = lab.host("server", &["10.9.0.1/24"]);
    let (first, second, third) = (lab.host("first", &[]), lab.host("second", &[]), lab.host("third", &[]));
    let range = ["--listen", SERVER, "--dhcp-range", "10.9.0.100-10.9.0.101"];
    let serve = Serve::start(&server, folder.path(), &range);
    for host in [&first, &second, &first] {
        assert_eq!(host.udhcpc(out.path(), &[]), Some((SERVER.to_owned(), true)));
    }
    assert_eq!(third.udhcpc(out.path(), &["-T", "1", "-t", "2"]), None, "none is left");
    let lines = serve.end();
    let given =
        |address: &str| lines.iter().filter(|line| line["answer"] == format!("given {address}")).count();
    assert_eq!((given("10.9.0.100"), given("10.9.0.101")), (2, 1), "{lines:?}");
    assert!(lines.iter().any(|line| line["answer"] == "no address is left"));
}

#[test]
fn nobody_on_another_address_can_connect() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let lab = Lab::new();
    let server = lab.host("server", &["10.9.0.1/24", "10.9.0.77/24"]);
    let client = lab.host("client", &["10.9.0.50/24"]);
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    let expected = [
        "tcp 10.9.0.1:8080",
        "udp 10.9.0.1%eth0:4011",
        "udp 10.9.0.1%eth0:67",
        "udp 10.9.0.1:69",
        "udp 255.255.255.255%eth0:67",
    ];
    assert_eq!(server.listening(), expected);
    assert!(fetched(&client, out.path(), &["http://10.9.0.1:8080/grub.pxe"]).0);
    for url in ["http://10.9.0.77:8080/grub.pxe", "tftp://10.9.0.77/grub.pxe"] {
        assert!(
            !fetched(&client, out.path(), &["--connect-timeout", "3", "--max-time", "5", url]).0,
            "{url}"
        );
    }
    let mut client = Client::new(&client);
    let bios = requests::discover("PXEClient:Arch:00000:UNDI:002001", 0);
    assert!(client.is_not_answered((&bios, "10.9.0.77:67"), (&bios, "10.9.0.1:67")));
    serve.end();
    assert_eq!(server.listening(), [""; 0], "nothing is left");
    let serve =
        Serve::start(&server, folder.path(), &["--interface", "eth0", "--no-dhcp", "--http-port", "80"]);
    let expected =
        ["tcp 10.9.0.1%eth0:80", "tcp 10.9.0.77%eth0:80", "udp 10.9.0.1%eth0:69", "udp 10.9.0.77%eth0:69"];
    assert_eq!(server.listening(), expected);
    serve.end();
}

#[test]
fn a_signal_ends_it_in_the_middle_of_everything() {
    let folder = folder();
    let (_lab, server, client) = two_hosts();
    let files = || {
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    // More than the sockets' buffers of both hosts hold: an answer that is not read is in its middle.
    let whole = 256 << 20;
    fs::OpenOptions::new().write(true).open(folder.path().join("grub.pxe")).unwrap().set_len(whole).unwrap();
    for signal in ["TERM", "INT", "HUP"] {
        let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
        let mut slow = client.inside(|| std::net::TcpStream::connect("10.9.0.1:8080").unwrap());
        slow.write_all(b"GET /grub.pxe HTTP/1.1\r\nHost: 10.9.0.1\r\n\r\n").unwrap();
        let mut start = [0; 12];
        slow.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        serve.end_by(signal);
        let rest = std::io::copy(&mut slow, &mut std::io::sink()).unwrap_or(0);
        assert!(rest < whole, "{signal}: it was broken off, {rest}");
        assert_eq!((server.listening(), files()), (vec![], before.clone()), "{signal}");
    }
}

#[test]
fn many_bad_clients_do_not_keep_a_good_one_out() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let (lab, server, bad) = two_hosts();
    let good = lab.host("good", &["10.9.0.51/24"]);
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    let connections: Vec<_> = bad.inside(|| {
        let connect = || std::net::TcpStream::connect("10.9.0.1:8080").unwrap();
        (0..200)
            .map(|number| {
                let mut stream = connect();
                let _ =
                    stream.write_all(if number % 2 == 0 { b"GET /root.er" } else { b"\0\xff\r\n\r\n\r\n" });
                stream
            })
            .collect()
    });
    bad.inside(|| {
        let socket = std::net::UdpSocket::bind("10.9.0.50:0").unwrap();
        for bytes in [
            &noise(513)[..],
            &noise(2000),
            b"\0\x01",
            b"\0\x01grub.pxe\0octet\0blksize\x0099999999999\0windowsize\x0065535\0",
        ] {
            for _ in 0..200 {
                let _ = socket.send_to(bytes, "10.9.0.1:69");
            }
        }
    });
    assert_eq!(fetched(&good, out.path(), &["http://10.9.0.1:8080/root.erofs"]), (true, noise(3_000_001)));
    assert_eq!(fetched(&good, out.path(), &["tftp://10.9.0.1/grub.pxe"]), (true, noise(200_000)));
    let served = connections.into_iter().filter(|stream| {
        let mut stream = stream;
        let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
        matches!(stream.read(&mut [0; 9]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(served.count() <= 64, "one address has no more than that");
    serve.end();
}

#[test]
fn what_cannot_be_served_is_one_clear_error() {
    let folder = folder();
    let (_lab, server, _client) = two_hosts();
    let refused = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_vmimage");
        let output = server.run(&[&[program, "serve", "pxe"], args].concat());
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let path = folder.path().to_str().unwrap();
    for (args, part) in [
        (&["/etc", "--listen", SERVER][..], "error: /etc: is no netboot folder"),
        (
            &[path, "--listen", "10.9.0.9"],
            "10.9.0.9: is no address of this machine\nhint: name one of its own: ",
        ),
        (&[path, "--listen", "0.0.0.0"], "0.0.0.0: would be every network of this machine"),
        (&[path, "--interface", "eth7"], "eth7: has no IPv4 address"),
        (
            &[path, "--listen", SERVER, "--mode", "rescue"],
            "web: has no mode rescue\nhint: it has these: live, install",
        ),
        (&[path, "--listen", SERVER, "--dhcp-range", "10.8.0.2-10.8.0.9"], "is on the network of no address"),
    ] {
        let error = refused(args);
        assert!(error.contains(part), "{args:?}: {error}");
    }
    let serve = Serve::start(&server, folder.path(), &["--listen", SERVER]);
    assert!(refused(&[path, "--listen", SERVER]).contains("10.9.0.1:8080 (TCP): cannot be listened on"));
    let error = refused(&[path, "--listen", SERVER, "--http-port", "81", "--no-dhcp"]);
    assert!(error.contains("hint: stop the TFTP server"), "{error}");
    serve.end();
    fs::write(folder.path().join("root.erofs"), "cut off").unwrap();
    assert!(refused(&[path, "--listen", SERVER]).contains("root.erofs: has 7 bytes, and not the 3000001"));
}

/// Waits until something is so, no longer than anything here takes.
fn wait(is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "it never is");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_vmimage").into()
}
