//! Images that are no distribution: kernel and first process come from elsewhere, the image stays as it is.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::build::cached;
use super::disk::check;
use super::lab::{self, Mount, VMIMAGE, build, copy_of, nonce, partitions, raw, run, scratch, testdata};
use super::qmp;

/// A machine of `testdata/scratch`; killed when dropped.
pub(crate) struct Machine {
    qemu: Child,
    folder: tempfile::TempDir,
    port: u16,
    token: String,
}

impl Machine {
    pub(crate) fn boot(disk: &Path, firmware: &str) -> Self {
        let folder = scratch();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let token = nonce();
        let mut command = Command::new(VMIMAGE);
        command.env("VMIMAGE_ACCEL", lab::accel()).arg("run").arg(disk).args([
            firmware,
            "--memory",
            "512M",
            "-p",
            &format!("{port}:80"),
        ]);
        command.args(["--qemu-arg=-smbios", &format!("--qemu-arg=type=1,product={token}")]);
        let qmp = folder.path().join("qmp");
        command.args(["--qemu-arg=-qmp", &format!("--qemu-arg=unix:{},server=on,wait=off", qmp.display())]);
        let console = fs::File::create(folder.path().join("console")).unwrap();
        let qemu = command.stdin(Stdio::null()).stdout(console).spawn().unwrap();
        Self { qemu, folder, port, token }
    }

    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("console")).unwrap()).into_owned()
    }

    /// What the server inside answers, once it does.
    pub(crate) fn report(&self) -> Vec<(String, String)> {
        let start = Instant::now();
        loop {
            let answer = self.ask().unwrap_or_default();
            if let Some((_, body)) = answer.split_once("\r\n\r\n") {
                let facts = body.lines().filter_map(|line| line.split_once('='));
                return facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            }
            let console = || self.console();
            assert!(start.elapsed() < Duration::from_secs(180), "nobody answers:\n{}", console());
            sleep(Duration::from_millis(500));
        }
    }

    fn ask(&self) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Press the power button and wait for the end.
    pub(crate) fn power_down(&mut self) {
        qmp::tell(&self.folder.path().join("qmp"), &[r#"{"execute":"system_powerdown"}"#]);
        let start = Instant::now();
        while self.qemu.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not stop:\n{}", self.console());
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[test]
fn a_static_program_from_scratch_boots_serves_and_stops() {
    serves_and_stops(&[], "-amd64", &["--bios", "--uefi"]);
}

/// Another initramfs mounts the root, and modules are packed.
#[test]
#[ignore = "long: make matrix"]
fn a_kernel_of_alpine_runs_it_too() {
    serves_and_stops(&["--kernel", "image:vmimage-test/alpine:3.23"], "-virt", &["--bios"]);
}

/// Build `testdata/scratch`, and boot it with a kernel whose release ends like this.
fn serves_and_stops(args: &[&str], kernel: &str, firmwares: &[&str]) {
    let folder = scratch();
    let disk = folder.path().join("server.qcow2");
    build(&testdata("scratch"), &disk, &[&["--hostname", "web"], args].concat());
    check(&disk);
    for firmware in firmwares {
        let copy = folder.path().join("copy.qcow2");
        fs::copy(&disk, &copy).unwrap();
        run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg("2G"));
        let mut machine = Machine::boot(&copy, firmware);
        check_report(&machine.report(), &machine.token, kernel);
        machine.power_down();
        let console = machine.console();
        for line in ["listening on 80", "vmimage: service: was ended by signal 2", "vmimage: power off"] {
            assert!(console.contains(line), "{line:?} is not in:\n{console}");
        }
        check(&copy);
        let raw = raw(&copy, folder.path());
        let root = Mount::new(&raw, &partitions(&raw)[2], folder.path().join("root"));
        assert_eq!(fs::read_to_string(root.0.join("data/kept")).unwrap(), "written by the machine");
    }
}

#[track_caller]
fn check_report(report: &[(String, String)], token: &str, kernel: &str) {
    let fact = |name: &str| {
        let found = report.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {report:?}"))
    };
    for (name, value) in [
        ("token", token),
        ("hostname", "web"),
        ("app", "version one"),
        ("uid", "65532"),
        ("gid", "65532"),
        ("directory", "/data"),
        ("greeting", "hello, world"),
        ("path", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("home", "/"),
        ("parent", "1"),
        ("writable", "true"),
        ("nameserver", "1"),
    ] {
        assert_eq!(fact(name), value, "{name}");
    }
    assert!(fact("kernel").ends_with(kernel) && fact("root").contains(" ext4 rw"), "{report:?}");
    // 512-byte sectors of a disk of 2 GiB: it has grown.
    assert!(fact("blocks").parse::<u64>().unwrap() > 4_000_000, "{report:?}");
    assert!(fact("year").parse::<u64>().unwrap() > 2024, "the clock is not set: {report:?}");
}

#[test]
fn an_edit_of_the_program_leaves_the_donors_kernel_cached() {
    let folder = scratch();
    let context = copy_of("scratch", folder.path());
    let disk = folder.path().join("server.qcow2");
    build(&context, &disk, &[]);
    fs::write(context.join("app.txt"), format!("version {}\n", nonce())).unwrap();
    let progress = build(&context, &disk, &[]);
    assert!(cached(&progress, "[vmimage] install linux-image"), "{progress}");
    assert!(cached(&progress, "[vmimage] collect boot loader files"), "{progress}");
    assert!(!cached(&progress, "[vmimage] assemble"), "{progress}");
}

/// As distroless images are: Debian by name, accounts and certificates, but neither shell nor package manager.
#[test]
fn a_distroless_image_keeps_every_file() {
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    let dockerfile = "FROM vmimage-test/debian:12 AS base\n\
        RUN mkdir -p /root-fs/etc/ssl/certs /root-fs/usr/lib /root-fs/run/app && \
        cp /usr/lib/os-release /root-fs/usr/lib && echo certificate >/root-fs/etc/ssl/certs/ca-certificates.crt && \
        echo 'nonroot:x:65532:65532::/home/nonroot:/sbin/nologin' >/root-fs/etc/passwd && \
        ln -s usr/lib /root-fs/lib && ln -s ../usr/lib/os-release /root-fs/etc/os-release\n\
        FROM scratch\n\
        COPY --from=base /root-fs /\n\
        USER nonroot\n\
        ENTRYPOINT [\"/usr/lib/os-release\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let disk = folder.path().join("distroless.raw");
    build(&context, &disk, &["--kernel", "image:vmimage-test/debian:12"]);
    check(&disk);
    let root = Mount::new(&disk, &partitions(&disk)[2], folder.path().join("root"));
    let read = |path: &str| fs::read_to_string(root.0.join(path)).unwrap();
    assert_eq!(read("etc/ssl/certs/ca-certificates.crt"), "certificate\n");
    assert!(read("etc/passwd").starts_with("nonroot:") && read("etc/os-release").contains("ID=debian"));
    assert_eq!(fs::read_link(root.0.join("lib")).unwrap(), Path::new("usr/lib"));
    assert!(root.0.join("run/app").is_dir() && !root.0.join("usr/bin").exists());
    assert!(read("usr/lib/vmimage/container.json").contains(r#""User":"nonroot""#));
    let modules: Vec<_> = fs::read_dir(root.0.join("usr/lib/modules")).unwrap().collect();
    assert_eq!(modules.len(), 1);
}
