//! What an image runs is a service of its machine: it answers real clients, and stops as it was told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::disk::check;
use super::lab::{self, Mount, VMIMAGE, alone_with_the_store, build, nonce, partitions, scratch, testdata};
use super::watched::Watched;

/// Initialising a database takes a minute without hardware's help.
const PATIENCE: Duration = Duration::from_secs(300);

/// Build a Dockerfile of `testdata/service`; what was said, and the disk.
fn disk_of(name: &str, folder: &Path) -> (String, PathBuf) {
    let disk = folder.join(format!("{name}.qcow2"));
    let context = testdata("service");
    let dockerfile = context.join(format!("{name}.Dockerfile"));
    // What is said while the disk is assembled is said by no cached step.
    let word = format!("vmimage.test={}", nonce());
    let said = build(&context, &disk, &["--file", dockerfile.to_str().unwrap(), "--cmdline", &word]);
    (said, disk)
}

/// A machine that runs.
struct Machine {
    machine: Watched,
    control: PathBuf,
    /// On this host, of the ports of the machine in their order.
    ports: Vec<u16>,
}

impl Machine {
    fn boot(disk: &Path, ports: &[u16]) -> Self {
        let control = disk.with_extension("qmp");
        let mut command = Command::new(VMIMAGE);
        command.env("VMIMAGE_ACCEL", lab::accel());
        command.arg("run").arg(disk).args(["--bios", "--qemu-arg=-qmp"]);
        command.arg(format!("--qemu-arg=unix:{},server=on,wait=off", control.display()));
        let forwards: Vec<_> = ports.iter().map(|port| (free_port(), *port)).collect();
        for (here, there) in &forwards {
            command.arg(format!("--publish=127.0.0.1:{here}:{there}"));
        }
        let machine = Watched::start(command, PATIENCE);
        Self { machine, control, ports: forwards.into_iter().map(|(here, _)| here).collect() }
    }

    fn console(&self) -> String {
        self.machine.console()
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut attempt: impl FnMut(&Self) -> Option<T>) -> T {
        self.machine.wait(what, || attempt(self))
    }

    /// What the machine answers on a port of its own; empty without an answer.
    fn ask(&self, port: usize, question: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[port]))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(question.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            // Not everyone ends a connection: what has come by then is the answer.
            let _ = stream.read_to_end(&mut answer);
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        };
        ask().unwrap_or_default()
    }

    /// Press the power button; what the console shows from then on.
    fn power_off(self) -> String {
        let before = self.console().len();
        let mut control = UnixStream::connect(&self.control).unwrap();
        let mut answers = BufReader::new(control.try_clone().unwrap());
        for command in ["qmp_capabilities", "system_powerdown"] {
            answers.read_line(&mut String::new()).unwrap();
            writeln!(control, r#"{{"execute":"{command}"}}"#).unwrap();
        }
        self.machine.end();
        self.console()[before..].to_owned()
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in:\n{text}");
}

/// It stopped on its own, and so did everything else.
#[track_caller]
fn assert_clean(console: &str, service: &str, disk: &Path) {
    // The name may be cut short, and is in colours.
    assert_has(&console.replace("\x1b[0;1;39m", ""), &format!("Stopped {service}"));
    for wrong in ["FAILED", "Failed with result", "timed out"] {
        assert!(!console.contains(wrong), "{wrong}:\n{console}");
    }
    check(disk);
}

#[test]
fn nginx_serves_and_its_health_is_shown() {
    let folder = scratch();
    let (said, disk) = disk_of("nginx", folder.path());
    assert_has(&said, "service nginx-app: runs /docker-entrypoint.sh nginx -g 'daemon off;'");
    assert_has(&said, "systemd: nginx.service disabled, it runs what nginx-app runs");
    assert_has(&said, "ENV \"A.B\": left out");
    let machine = Machine::boot(&disk, &[80, 9000]);
    let page = machine.wait("nginx", |machine| {
        let answer = machine.ask(0, "GET / HTTP/1.0\r\nUser-Agent: the-test\r\n\r\n");
        answer.contains("200 OK").then_some(answer)
    });
    assert_has(&page, "served from inside");

    let shell = |machine: &Machine, line: &str| machine.ask(1, &format!("{line}\n"));
    let state = shell(
        &machine,
        "systemctl is-active nginx-app nginx-app-health.timer; systemctl is-system-running --wait; \
         systemctl is-enabled nginx; stat -c %U:%n /run/made-in-image; journalctl -b -o cat -u nginx-app",
    );
    assert!(state.starts_with("active\nactive\nrunning\ndisabled\nwww-data:/run/made-in-image\n"), "{state}");
    // What goes through a link to /dev/stdout is in the journal and on the console.
    for log in [&state, &machine.console()] {
        assert_has(log, "entrypoint: starts nginx");
        assert_has(log, "the-test");
    }
    let inside = shell(&machine, "cat /tmp/started-with");
    assert!(inside.starts_with("nginx\n-g\ndaemon off;\n"), "{inside}");
    for line in [r#"ODD=a  "b" $HOME %h it's \ ä; # end"#, "EMPTY=", "HOME=/root", "HOSTNAME=debian"] {
        assert!(inside.lines().any(|known| known == line), "{line} is not in:\n{inside}");
    }

    let health = "systemctl is-failed nginx-app-health; systemctl status nginx-app-health";
    // Between two checks; while one runs it is "activating".
    let is_healthy = |machine: &Machine| {
        let answer = shell(machine, health);
        assert!(!answer.starts_with("failed\n"), "{answer}");
        answer.starts_with("inactive\n").then_some(())
    };
    machine.wait("a check that has passed", |machine| is_healthy(machine));
    shell(&machine, "touch /tmp/sick");
    let sick = machine.wait("an unhealthy nginx", |machine| {
        Some(shell(machine, health)).filter(|answer| answer.starts_with("failed\n"))
    });
    assert_has(&sick, "failed for the 2. time, 2 make it unhealthy");
    shell(&machine, "rm /tmp/sick");
    machine.wait("a healthy nginx", |machine| {
        Some(()).filter(|()| shell(machine, health).starts_with("inactive\n"))
    });

    let pid = "pid=$(systemctl show --property=MainPID --value nginx-app)";
    let killed = format!("{pid}; kill -KILL $pid; sleep 4; {pid}; echo $pid");
    assert_ne!(shell(&machine, &killed).trim(), "0", "what breaks is started again");
    let console = machine.power_off();
    // Its own words at SIGQUIT, the last through the pipe.
    assert_has(&console, "gracefully shutting down");
    assert_has(&console, "exit");
    assert_clean(&console, "nginx-app", &disk);
}

#[test]
#[ignore = "long: make matrix"]
fn postgres_serves_a_real_client() {
    let folder = scratch();
    let (_, disk) = disk_of("postgres", folder.path());
    let machine = Machine::boot(&disk, &[5432]);
    let port = machine.ports[0].to_string();
    let sql = |words: &str| {
        let mut psql = Command::new("psql");
        psql.env("PGCONNECT_TIMEOUT", "10").args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-Atc",
            words,
        ]);
        let output = psql.output().unwrap_or_else(|error| panic!("psql: {error} (see .ci/setup)"));
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let answer = machine.wait("postgres", |_| sql("CREATE TABLE t AS SELECT 6 * 7 AS n; SELECT n FROM t"));
    assert!(answer.ends_with("42"), "{answer}");
    assert_eq!(sql("SELECT pg_read_file('/proc/self/comm')").as_deref(), Some("postgres"));
    let console = machine.power_off();
    assert_has(&console, "received fast shutdown request");
    assert_has(&console, "database system is shut down");
    assert_clean(&console, "postgres", &disk);

    // What was written is there after another boot.
    let machine = Machine::boot(&disk, &[5432]);
    let port = machine.ports[0].to_string();
    machine.wait("postgres again", |_| {
        let mut psql = Command::new("psql");
        psql.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-Atc", "SELECT n FROM t"]);
        psql.env("PGCONNECT_TIMEOUT", "10").output().unwrap().status.success().then_some(())
    });
    machine.power_off();
}

#[test]
#[ignore = "long: make matrix"]
fn redis_serves_and_saves_at_the_end() {
    let folder = scratch();
    let (said, disk) = disk_of("redis", folder.path());
    assert_has(&said, "systemd: redis-server.service disabled");
    let machine = Machine::boot(&disk, &[6379]);
    machine.wait("redis", |machine| {
        (machine.ask(0, "SET a b\r\nPING\r\nQUIT\r\n") == "+OK\r\n+PONG\r\n+OK\r\n").then_some(())
    });
    let console = machine.power_off();
    assert_has(&console, "DB saved on disk");
    assert_has(&console, "bye bye");
    assert_clean(&console, "redis-server-app", &disk);
}

/// Their images say it too, the health check among it.
#[test]
fn podman_and_buildah_make_the_same_service() {
    let _alone = alone_with_the_store();
    let folder = scratch();
    let dockerfile = "FROM vmimage-test/debian:12\nENV A=\"b c\"\nUSER www-data\nHEALTHCHECK CMD true\nENTRYPOINT [\"cat\"]\n";
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let units = ["podman", "buildah"].map(|engine| {
        let disk = folder.path().join(format!("{engine}.raw"));
        let context = folder.path().join(engine);
        std::fs::create_dir(&context).unwrap();
        std::fs::copy(folder.path().join("Dockerfile"), context.join("Dockerfile")).unwrap();
        build(&context, &disk, &["--engine", engine, "--network", "host"]);
        let root = Mount::new(&disk, &partitions(&disk)[2], folder.path().join("root"));
        let read = |name| std::fs::read_to_string(root.0.join("usr/lib/systemd/system").join(name)).unwrap();
        ["cat.service", "cat-health.service", "cat-health.timer"].map(read)
    });
    assert_eq!(units[0], units[1]);
    assert_has(&units[0][0], "User=www-data\nGroup=33\n");
    assert_has(&units[0][0], "Environment=\"A=b c\"\n");
    assert_has(&units[0][1], "vmimage-health /run/vmimage/cat 3 30 0 /bin/sh -c true\n");
}

#[test]
fn openrc_runs_a_service_until_the_power_button() {
    let folder = scratch();
    let (said, disk) = disk_of("openrc", folder.path());
    assert_has(&said, "service nc: runs nc -lk -p 80 -e /usr/local/bin/answer");
    let machine = Machine::boot(&disk, &[80]);
    let answer = machine.wait("nc", |machine| Some(machine.ask(0, "")).filter(|answer| !answer.is_empty()));
    assert_eq!(answer, "nobody in /srv/made: it's $HOME, HOME is /\n");
    assert_has(&machine.power_off(), "Stopping nc");
    check(&disk);
}
