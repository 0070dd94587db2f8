//! A `vmimage.toml` with everything: the machine reports what it has become, other engines make the same of it, and no
//! secret is anywhere it should not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::lab::{
    self, Mount, VMIMAGE, copy_of, frontend, nonce, partitions, raw, refused, run, scratch, syntax, testdata,
};

/// A context of `testdata/machine` with the configuration, a certificate and a key.
fn context(folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    run(Command::new("cp").arg("-rT").arg(testdata("config/machine")).arg(&context));
    fs::create_dir_all(context.join("certs")).unwrap();
    fs::create_dir_all(context.join("keys")).unwrap();
    let subject = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3650",
        "-subj",
        "/CN=company",
    ];
    let key = folder.join("company.key");
    run(Command::new("openssl")
        .args(subject)
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(context.join("certs/company.crt")));
    fs::write(context.join("keys/ada.pub"), format!("{}\n", ssh_key("file"))).unwrap();
    context
}

pub(crate) fn ssh_key(name: &str) -> String {
    format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyQ {name}@example")
}

/// Secrets that nothing else says, in files.
struct Secrets {
    password: String,
    token: String,
    key: String,
    flags: Vec<String>,
}

impl Secrets {
    fn new(folder: &Path) -> Self {
        let secrets = Self { password: nonce(), token: nonce(), key: ssh_key(&nonce()), flags: Vec::new() };
        let flag = |id: &str, text: &str| {
            let path = folder.join(format!("secret-of-{id}"));
            fs::write(&path, text).unwrap();
            format!("--secret=id={id},src={}", path.display())
        };
        let flags = vec![
            flag("ada-password", &format!("{}\n", secrets.password)),
            flag("token", &secrets.token),
            flag("ada-keys", &secrets.key),
        ];
        Self { flags, ..secrets }
    }

    /// None of them is in what was said or stored.
    #[track_caller]
    fn check_absent(&self, what: &str, bytes: &[u8]) {
        for secret in [&self.password, &self.token, &self.key] {
            assert!(!contains(bytes, secret.as_bytes()), "{what}: a secret is in it");
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Looks at the arguments of every process again and again.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: thread::JoinHandle<Vec<u8>>,
}

impl Watch {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let seen = thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            while !flag.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    seen.extend(fs::read(entry.path().join("cmdline")).ok());
                }
                thread::sleep(Duration::from_millis(10));
            }
            seen.into_iter().flatten().collect()
        });
        Self { stop, seen }
    }

    fn stop(self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// The root of a disk, mounted in `folder`.
fn root(disk: &Path, folder: &Path) -> Mount {
    let raw = raw(disk, folder);
    Mount::new(&raw, &partitions(&raw)[2], folder.join("root"))
}

fn shadow(root: &Mount, name: &str) -> String {
    let shadow = fs::read_to_string(root.0.join("etc/shadow")).unwrap();
    let line = shadow.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap().to_owned();
    line.split(':').next().unwrap().to_owned()
}

/// Whether a hash is this password's, by openssl.
#[track_caller]
fn check_password(hash: &str, password: &str) {
    let salt = hash.split('$').nth(2).unwrap_or_else(|| panic!("no hash: {hash}"));
    let expected =
        |word| run(Command::new("openssl").args(["passwd", "-6", "-salt", salt, word])).trim().to_owned();
    assert_eq!(hash, expected(password));
    assert_ne!(hash, expected("another"));
}

/// What the configuration has made: the packages and the kernel are not installed twice in the same way, so the whole
/// tree is not the same. The salt of a password is of its disk.
fn made(root: &Mount) -> String {
    let paths = "etc/passwd etc/group etc/hostname etc/localtime etc/modules-load.d etc/token etc/report.d srv home \
                 usr/lib/systemd/system/hello.service etc/systemd/system/apt-daily.timer \
                 etc/systemd/system/multi-user.target.wants/hello.service usr/local/share/ca-certificates";
    let script = format!(
        "cd \"$0\" && find {paths} -printf '%p %M %U:%G %l\\n' | sort && find {paths} -type f -exec sha256sum {{}} + | sort \
         && sed 's/[$]6[$][^:]*/HASH/' etc/shadow"
    );
    run(Command::new("sh").args(["-ec", &script]).arg(&root.0))
}

#[test]
fn the_machine_is_what_the_file_says_and_no_secret_is_seen() {
    let folder = scratch();
    let context = context(folder.path());
    let secrets = Secrets::new(folder.path());
    let disk = folder.path().join("web.qcow2");
    let flags: Vec<_> = secrets.flags.iter().map(String::as_str).collect();

    let watch = Watch::start();
    let log = lab::build(&context, &disk, &flags);
    let arguments = watch.stop();
    assert!(contains(&arguments, b"ada-password"), "the watch has seen no build");
    assert!(log.contains("ada"), "the log says nothing of the setup: {log}");
    secrets.check_absent("the log", log.as_bytes());
    secrets.check_absent("the arguments of processes", &arguments);

    let mount = root(&disk, folder.path());
    check_password(&shadow(&mount, "ada"), &secrets.password);
    assert_eq!((shadow(&mount, "ops"), shadow(&mount, "root")), ("*".into(), "*".into()));
    assert_eq!(fs::read_to_string(mount.0.join("etc/token")).unwrap(), secrets.token);
    let keys = fs::read_to_string(mount.0.join("home/ada/.ssh/authorized_keys")).unwrap();
    assert_eq!(keys, format!("{}\n{}\n", ssh_key("file"), secrets.key));
    drop(mount);
    let raw = folder.path().join("disk.raw");
    let grep =
        |secret: &str| Command::new("grep").args(["-qaF", "--", secret]).arg(&raw).status().unwrap().code();
    assert_eq!(
        (grep(&secrets.password), grep(&secrets.token)),
        (Some(1), Some(0)),
        "the password itself is on the disk"
    );

    // Another password with nothing else changed is another disk, though BuildKit has a result of this build.
    let others = Secrets::new(folder.path());
    let flags: Vec<_> = others.flags.iter().map(String::as_str).chain(["--json"]).collect();
    let again = folder.path().join("again.qcow2");
    let report = lab::build(&context, &again, &flags);
    assert!(report.contains("\"disks\""), "{report}");
    others.check_absent("the report", report.as_bytes());
    let report = run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(&again));
    others.check_absent("the report of inspect", report.as_bytes());
    check_password(&shadow(&root(&again, folder.path()), "ada"), &others.password);

    let report = lab::boot(&disk, "--uefi", &[]);
    super::boot::check_report("vmimage-test/debian:12", "--uefi", &report);
    // The machine speaks German by now.
    for (fact, expected) in [
        ("ada", "uid=2001(ada) gid=2001(ada) Gruppen=2001(ada),27(sudo),2000(app)"),
        ("ops", "root"),
        ("root", "L"),
        ("locale", ","),
        ("module", "1"),
        ("hello", "active"),
        ("timer", "masked"),
        ("hook", "hook ran in bash by root"),
        ("site", "ops:app site"),
        ("trusts", "/usr/local/share/ca-certificates/company.crt: OK"),
    ] {
        assert_eq!(report.get(fact), expected, "{fact}");
    }
    assert!(["CET", "CEST"].contains(&report.get("zone")), "{}", report.get("zone"));
}

/// The image of the disk with all that BuildKit says about how it was made.
#[test]
fn attestations_and_history_hold_no_secret() {
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(
        context.join("Dockerfile"),
        "FROM vmimage-test/alpine:3.23\nLABEL vmimage.hostname=by-label vmimage.size=9G\n",
    )
    .unwrap();
    let text = "size = \"1G\"\n[[users]]\nname = \"ada\"\npassword = { secret = \"ada-password\" }\n\
                authorized-keys = [{ secret = \"ada-keys\" }]\n[[files]]\npath = \"/etc/token\"\nsecret = \"token\"\n";
    fs::write(context.join("prod.toml"), text).unwrap();
    let secrets = Secrets::new(folder.path());
    let engine = lab::Engine::ContainerdStore.with(&["vmimage-test/alpine:3.23", &frontend()]);
    let archive = folder.path().join("image.tar");
    let metadata = folder.path().join("metadata.json");
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", engine).args(["buildx", "build", "--provenance=mode=max", "--progress=plain"]);
    command.args([
        "--build-arg",
        &syntax(),
        "--build-arg",
        "VMIMAGE_CONFIG=prod.toml",
        "--build-arg",
        "VMIMAGE_STAGE=containerdisk",
    ]);
    command
        .arg(format!("--output=type=oci,dest={}", archive.display()))
        .arg("--metadata-file")
        .arg(&metadata);
    let output = command.args(&secrets.flags).arg(&context).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", lab::text(&output));

    secrets.check_absent("the log", lab::text(&output).as_bytes());
    secrets.check_absent("the metadata", &fs::read(&metadata).unwrap());
    let unpacked = folder.path().join("image");
    fs::create_dir(&unpacked).unwrap();
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked));
    let mut is_attested = false;
    for blob in fs::read_dir(unpacked.join("blobs/sha256")).unwrap() {
        let bytes = fs::read(blob.unwrap().path()).unwrap();
        is_attested |= contains(&bytes, b"slsa.dev/provenance") && contains(&bytes, b"ada-password");
        if !contains(&bytes[..bytes.len().min(4096)], b"disk/") {
            secrets.check_absent("a blob of the image", &bytes);
        }
    }
    assert!(is_attested, "no attestation names the secret's id, so what was searched is not it");
}

#[test]
#[ignore = "long: make matrix"]
fn other_engines_make_the_same_of_the_file() {
    let _alone = lab::alone_with_the_store();
    let folder = scratch();
    let context = context(folder.path());
    let secrets = Secrets::new(folder.path());
    let made = ["docker", "buildah"].map(|engine| {
        let disk = folder.path().join(engine).with_extension("qcow2");
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(&disk).args([
            "--engine",
            engine,
            "--network",
            "host",
        ]);
        let log = run(command.args(&secrets.flags).env("SOURCE_DATE_EPOCH", "1700000000"));
        secrets.check_absent(engine, log.as_bytes());
        let mount = root(&disk, folder.path());
        check_password(&shadow(&mount, "ada"), &secrets.password);
        made(&mount)
    });
    assert!(made[0].contains("etc/token") && made[0].contains("srv/site"), "{}", made[0]);
    assert_eq!(made[0], made[1]);
}

#[test]
fn what_is_wrong_in_the_file_is_what_the_build_says() {
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM vmimage-test/alpine:3.23\n").unwrap();
    let build = |args: &[&str]| {
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(folder.path().join("disk.qcow2"));
        refused(command.args(args))
    };
    fs::write(context.join("vmimage.toml"), "size = \"1G\"\nsise = \"2G\"\n[[users]]\nname = \"A\"\n")
        .unwrap();
    let message = build(&[]);
    for part in [
        "vmimage.toml:2:1: unknown key sise: did you mean size?",
        " 2 | sise = \"2G\"\n",
        "vmimage.toml:4:8: users.name is",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(build(&["--config", "none.toml"]).contains("none.toml: is not in the build context"));

    fs::write(context.join("vmimage.toml"), "[root]\npassword = { secret = \"pass\" }\n").unwrap();
    let message = build(&[]);
    assert!(message.contains("secret pass: was not given to the build"), "{message}");
    assert!(message.contains("--secret id=pass,src=FILE"), "{message}");
}

/// Before anything is installed, whichever engine it is.
#[test]
fn what_the_file_names_is_looked_up_in_the_context() {
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir_all(context.join("folder")).unwrap();
    fs::write(context.join("Dockerfile"), "FROM vmimage-test/alpine:3.23\n").unwrap();
    fs::write(context.join("here"), "").unwrap();
    let text = "packages = \"debs\"\n[[hooks]]\nscript = \"folder\"\n[[files]]\npath = \"/a\"\nsource = \"here\"\n\
                [[files]]\npath = \"/b\"\nsource = \"folder\"\n[[files]]\npath = \"/c\"\nsource = \"folder/c\"\n";
    fs::write(context.join("vmimage.toml"), text).unwrap();
    for engine in ["docker", "buildah"] {
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(folder.path().join("disk.qcow2"));
        let message = refused(command.args(["--engine", engine]));
        for part in [
            "vmimage.toml:1:12: packages: debs is not in the build context",
            " 1 | packages = \"debs\"\n   |            ^^^^^^\n",
            "vmimage.toml:3:10: hooks.script: folder is a folder, expected a file",
            "vmimage.toml:12:10: files.source: folder/c is not in the build context",
        ] {
            assert!(message.contains(part), "{engine}: {message}");
        }
        assert_eq!(message.matches("vmimage.toml:").count(), 3, "{engine}: {message}");
        assert!(!message.contains("[vmimage] install"), "{engine}: {message}");
    }
}

/// Archives on stdin and repositories of git have a vmimage.toml too.
#[test]
fn contexts_that_are_no_folders() {
    let folder = scratch();
    let context = folder.path().join("context");
    fs::create_dir_all(context.join("sub")).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY sub /\n").unwrap();
    fs::write(context.join("sub/file"), "x").unwrap();
    fs::write(context.join("vmimage.toml"), "profile = \"data\"\nname = \"by-file\"\nformat = \"raw\"\n")
        .unwrap();
    let build = |tail: &str, out: &str| {
        let out = folder.path().join(out);
        let script = format!("docker buildx build --build-arg {} -o {} {tail}", syntax(), out.display());
        run(Command::new("sh").args(["-c", &script]).current_dir(&context));
        assert!(out.join("by-file.raw").exists(), "{tail}");
    };
    build(".", "folder");
    build("- < archive.tar", {
        run(Command::new("tar")
            .args(["-cf", "archive.tar", "Dockerfile", "sub", "vmimage.toml"])
            .current_dir(&context));
        "archive"
    });
    run(Command::new("sh").current_dir(&context).args([
        "-c",
        "rm archive.tar && git init -q -b main && git add . && git -c user.name=x -c user.email=x@example commit -q -m x \
         && git clone -q --bare . ../r.git",
    ]));
    let server = Server::start(folder.path());
    build(&format!("git://127.0.0.1:{}/r.git#main", server.port), "git");
}

/// git's own server on some port, ended when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("git");
        command
            .args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"));
        command.arg(format!("--base-path={}", folder.display()));
        let server =
            Self { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), port };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let mut tries = (0..100).inspect(|_| thread::sleep(Duration::from_millis(50)));
        assert!(tries.any(|_| listens()), "git daemon does not listen");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server is a child of the program that was started: a signal that it can pass on.
        run(Command::new("kill").arg(self.child.id().to_string()));
        let _ = self.child.wait();
    }
}
