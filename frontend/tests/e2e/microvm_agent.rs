//! What the agent in a microVM does for its host: programs with and without a terminal, files, the service's health and words,
//! and its end.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::client::Client;
use agent::message::{Exec, Health, Request, Size, State};
use agent::tree::Rights;

use super::lab::{context, scratch, testdata};
use super::microvm::{LIMIT, microvm, run_command, tell};
use super::watched::Watched;

/// A microVM that runs, with its agent's socket.
struct Running {
    machine: Watched,
    socket: PathBuf,
    /// On this host, of port 80.
    port: u16,
}

impl Running {
    fn start(vm: &Path) -> Self {
        let socket = vm.with_extension("agent");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = run_command(vm);
        command.arg("--agent").arg(&socket).args(["-p", &format!("{port}:80")]);
        Self { machine: Watched::start(command, LIMIT), socket, port }
    }

    fn console(&self) -> String {
        self.machine.console()
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut attempt: impl FnMut(&Self) -> Option<T>) -> T {
        self.machine.wait(what, || attempt(self))
    }

    #[track_caller]
    fn says(&self, word: &str) {
        self.wait(word, |machine| machine.console().contains(word).then_some(()));
    }

    /// A connection of its own.
    #[track_caller]
    fn agent(&self) -> Client {
        self.wait("a socket of its agent", |machine| machine.socket.exists().then_some(()));
        Client::connect(&self.socket, LIMIT).unwrap_or_else(|error| panic!("{error}:\n{}", self.console()))
    }

    /// How `vmimage run` has ended.
    #[track_caller]
    fn end(&self) -> Option<i32> {
        self.machine.end()
    }
}

fn program(words: &[&str], user: Option<&str>) -> Exec {
    let argv = words.iter().map(|&word| word.into()).collect();
    Exec { argv, user: user.map(str::to_owned), ..Exec::default() }
}

/// Run a line of a shell as root: its status, and what it printed.
#[track_caller]
fn shell(client: &Client, line: &str) -> (i32, String) {
    let mut printed = Vec::new();
    let done = client
        .run(program(&["sh", "-c", line], Some("root")), &[][..], &mut printed, std::io::sink())
        .unwrap();
    (done.status, String::from_utf8_lossy(&printed).into_owned())
}

/// One boot of an Alpine tells of all that an agent does; the worker is stopped in the midst of its work by SIGTERM to the
/// first process, and gets the signal that its image names.
#[test]
fn an_agent_runs_programs_copies_trees_and_outlives_hosts_that_hang_up() {
    let folder = scratch();
    let file = testdata("microvm/worker.Dockerfile");
    let (_, vm) = microvm(&testdata("microvm"), folder.path(), &["--file", file.to_str().unwrap()]);
    let token = tell(&vm);
    let machine = Running::start(&vm);
    machine.says("report:working=1");
    let facts =
        [("token", token.as_str()), ("user", "app"), ("home", "/home/app"), ("directory", "/home/app")];
    for (name, value) in facts.into_iter().chain([("os", "alpine"), ("arguments", "0")]) {
        machine.says(&format!("report:{name}={value}"));
    }
    let client = machine.agent();
    runs_programs(&client);
    sees_what_a_container_would(&client);
    runs_with_a_terminal(&client);
    pipes_both_ways(&client, 100_000_000);
    copies_both_ways(&client, folder.path());
    hangs_up(&machine, client);
    let client = machine.agent();
    tells_of_the_service(&machine, &client);
    // Whether its own end is still told is a matter of luck.
    let _killer = client.open(&Request::Exec(program(&["kill", "-TERM", "1"], Some("root")))).unwrap();
    assert_eq!(machine.end(), Some(7), "{}", machine.console());
    assert!(machine.console().contains("report:signal=USR1"), "{}", machine.console());
}

fn runs_programs(client: &Client) {
    let printed = "printf out; printf err >&2; exit 7";
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let done = client.run(program(&["sh", "-c", printed], None), &[][..], &mut output, &mut errors).unwrap();
    assert_eq!((done.status, output, errors), (7, b"out".to_vec(), b"err".to_vec()));
    // As the service runs, unless it is said otherwise.
    let mut name = Vec::new();
    let as_service = client.run(program(&["id", "-un"], None), &[][..], &mut name, std::io::sink()).unwrap();
    assert_eq!((as_service.status, name), (0, b"app\n".to_vec()));
    assert_eq!(shell(client, "id -un; pwd").1, "root\n/home/app\n");
    let missing =
        client.run(program(&["/missing"], None), &[][..], std::io::sink(), std::io::sink()).unwrap();
    assert_eq!(missing.status, 127, "{missing:?}");
    let killed = shell(client, "kill -KILL $$").0;
    assert_eq!(killed, 128 + 9);
}

/// Also as root, who may make the node of a disk, and not open it.
fn sees_what_a_container_would(client: &Client) {
    let line = "ls /dev | grep -c '^vd'; wc -c </proc/timer_list; (echo other >/proc/sys/kernel/hostname) || echo fixed; \
                mknod /tmp/disk b 254 0 && cat /tmp/disk || echo closed; rm /tmp/disk; \
                echo kept >/dev/shm/file && cat /dev/shm/file";
    assert_eq!(shell(client, line).1, "0\n0\nfixed\nclosed\nkept\n");
    assert_eq!(shell(client, "cat /dev/shm/file").1, "kept\n");
}

fn runs_with_a_terminal(client: &Client) {
    let line = "test -t 0 && stty size; read word; stty size; echo \"<$word>\"; exit 3";
    let tty = Some(Size { rows: 24, columns: 80 });
    let session = client.open(&Request::Exec(Exec { tty, ..program(&["sh", "-c", line], None) })).unwrap();
    let (mut input, mut output) = (session.input(), session.output());
    let mut text = String::new();
    let mut piece = [0; 64];
    while !text.contains("24 80") {
        let length = output.read(&mut piece).unwrap();
        assert_ne!(length, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    session.resize(Size { rows: 50, columns: 132 }).unwrap();
    input.write_all(b"typed\n").unwrap();
    output.read_to_string(&mut text).unwrap();
    assert!(text.contains("50 132") && text.contains("<typed>"), "{text:?}");
    assert_eq!(session.wait().status, 3);
}

/// Bytes of which each piece is another.
struct Noise {
    at: u64,
    end: u64,
}

impl Noise {
    fn byte(at: u64) -> u8 {
        at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = usize::try_from(self.end - self.at).unwrap().min(buffer.len());
        for byte in &mut buffer[..length] {
            *byte = Self::byte(self.at);
            self.at += 1;
        }
        Ok(length)
    }
}

/// Takes the same bytes, and no others.
impl Write for &mut Noise {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for byte in bytes {
            assert!(*byte == Noise::byte(self.at), "another byte at {}", self.at);
            self.at += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn pipes_both_ways(client: &Client, bytes: u64) {
    let mut came = Noise { at: 0, end: bytes };
    let done =
        client.run(program(&["cat"], None), Noise { at: 0, end: bytes }, &mut came, std::io::sink()).unwrap();
    assert_eq!((done.status, came.at), (0, bytes));
}

/// A tree whose names, modes and links are such as tools trip over.
fn odd_tree(at: &Path) {
    let name = |bytes: &[u8]| at.join(OsStr::from_bytes(bytes));
    fs::create_dir_all(name(b"-rf/a b\nc")).unwrap();
    fs::create_dir(name(b"empty")).unwrap();
    fs::write(name(b"-rf/a b\nc/\xff\xfe"), "no UTF-8").unwrap();
    fs::write(name(b"*?[']\"\\"), vec![7; 100_000]).unwrap();
    fs::write(name(&[b'n'; 255]), "a long name").unwrap();
    fs::write(name(b"private"), "").unwrap();
    fs::hard_link(name(b"private"), name(b"-rf/linked")).unwrap();
    symlink("/etc/passwd", name(b"link")).unwrap();
    symlink("../nowhere", name(b"-rf/dangling")).unwrap();
    fs::set_permissions(name(b"private"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(name(b"empty"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(name(b"*?[']\"\\"), Permissions::from_mode(0o4755)).unwrap();
    std::os::unix::fs::chown(name(b"private"), Some(12345), Some(54321)).unwrap();
}

/// All that counts of what is below a folder, by path.
fn listing(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let content = match metadata.file_type() {
                kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                kind if kind.is_dir() => String::new(),
                _ => format!("{:?} {}", fs::read(&path).unwrap(), metadata.nlink()),
            };
            let (mode, owner, time) = (metadata.mode(), (metadata.uid(), metadata.gid()), metadata.mtime());
            let fact = format!("{mode:o} {owner:?} {time} {content}");
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), fact);
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn copies_both_ways(client: &Client, folder: &Path) {
    let [here, back] = ["tree", "back"].map(|name| folder.join(name));
    fs::create_dir(&back).unwrap();
    odd_tree(&here);
    client.copy_in(&here, "/srv", None).unwrap();
    assert_eq!(
        shell(client, "cat /srv/tree/-rf/*/*; stat -c %u:%g:%a /srv/tree/private").1,
        "no UTF-812345:54321:600\n"
    );
    client.copy_out("/srv/tree", &back, None, Rights::All).unwrap();
    let (sent, came) = (listing(&here), listing(&back.join("tree")));
    assert!(sent.len() > 9, "{sent:?}");
    assert_eq!(sent, came);
    let error = client.copy_out("/srv/missing", &back, None, Rights::All).unwrap_err();
    assert!(error.contains("missing"), "{error}");
    assert!(client.copy_in(&here, "/missing", None).is_err());
}

/// In the midst of a program, and of what it reads: nothing of it is left, and the next host is served.
fn hangs_up(machine: &Running, client: Client) {
    let sleeper = client.open(&Request::Exec(program(&["sleep", "98765"], None))).unwrap();
    let reader = client.open(&Request::Exec(program(&["cat"], None))).unwrap();
    let (mut input, mut output) = (reader.input(), reader.output());
    let writer = std::thread::spawn(move || while input.write_all(&[0; 4096]).is_ok() {});
    output.read_exact(&mut [0; 100_000]).unwrap();
    drop(client);
    writer.join().unwrap();
    drop((sleeper, reader));
    let client = machine.agent();
    machine.wait("the end of what the earlier host began", |_| {
        (shell(&client, "pgrep -f '^sleep 98765'").0 == 1).then_some(())
    });
    assert_eq!(shell(&client, "exit 7").0, 7);
}

fn tells_of_the_service(machine: &Running, client: &Client) {
    assert_eq!(client.status().unwrap().state, State::Running);
    machine.wait("a service that is well", |_| {
        (client.status().unwrap().health == Some(Health::Healthy)).then_some(())
    });
    assert_eq!(shell(client, "touch /home/app/sick").0, 0);
    machine.wait("a service that is not", |_| {
        (client.status().unwrap().health == Some(Health::Unhealthy)).then_some(())
    });
    let session = client.open(&Request::Logs { follow: false }).unwrap();
    let mut logs = String::new();
    session.output().read_to_string(&mut logs).unwrap();
    assert!(logs.contains("report:working=1"), "{logs}");
}

/// Debian's nginx, as an image of it has it: its entrypoint is a script, and its logs are links to /dev/stdout.
#[test]
fn nginx_serves_and_ends_in_order() {
    let folder = scratch();
    let file = testdata("service/nginx.Dockerfile");
    let args = ["--file", file.to_str().unwrap(), "--compression", "zstd"];
    let (_, vm) = microvm(&testdata("service"), folder.path(), &args);
    super::microvm_files::check(&vm);
    let machine = Running::start(&vm);
    let page = machine.wait("a page", |machine| {
        let mut stream = TcpStream::connect(("127.0.0.1", machine.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    });
    assert!(page.contains(" 200 ") && page.ends_with("served from inside\n"), "{page}");
    let client = machine.agent();
    let (status, processes) =
        shell(&client, "cat /tmp/started-with; ls -d /proc/[0-9]*/exe >/dev/null; cat /proc/1/comm");
    assert!(status == 0 && processes.starts_with("nginx\n-g\ndaemon off;\n"), "{processes}");
    assert!(!processes.contains("systemd"), "{processes}");
    client.stop().unwrap();
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
    let console = machine.console();
    assert!(console.contains("GET / HTTP/1.0") && console.contains("signal 3 (SIGQUIT)"), "{console}");
}

/// It stays where that is asked, with its agent, and ends with what the program has ended with.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_whose_program_fails_is_there_to_be_looked_at() {
    let folder = scratch();
    let context = context(folder.path(), "FROM vmimage-test/alpine:3.23\nCMD echo report:failing; exit 5\n");
    fs::write(context.join("vmimage.toml"), "[microvm]\non-crash = \"halt\"\n").unwrap();
    let (_, vm) = microvm(&context, folder.path(), &[]);
    let machine = Running::start(&vm);
    machine.says("report:failing");
    let client = machine.agent();
    let status = machine.wait("the program's end", |_| {
        let status = client.status().unwrap();
        (status.state == State::Ended).then_some(status)
    });
    assert_eq!(status.status, Some(5));
    assert_eq!(shell(&client, "cat /etc/alpine-release >/dev/null; exit 7").0, 7);
    client.stop().unwrap();
    assert_eq!(machine.end(), Some(5), "{}", machine.console());
}
