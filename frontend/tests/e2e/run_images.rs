//! `vmimage run` of images and of build contexts: what `docker run` does, in a machine of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::lab::{Console, VMIMAGE, accel, context, names_in, nonce, refused, run, scratch, with_processor};

/// For a boot by emulation, and a kernel that an engine has not unpacked yet.
const LIMIT: &str = "900s";
const DEBIAN: &str = "docker-daemon:debian:12";
const ALPINE: &str = "docker-daemon:vmimage-test/alpine:3.23";
/// The kernel of an Alpine that this machine has: it knows 9p.
const OF_ALPINE: [&str; 2] = ["--kernel", "image:vmimage-test/alpine:3.23"];

/// `vmimage run` with these options first, and the rest behind them.
fn run_command(options: &[&str], rest: &[&str]) -> Command {
    let mut command = Command::new(VMIMAGE);
    command.env("VMIMAGE_ACCEL", accel()).args(["run", "--timeout", LIMIT]);
    with_processor(&mut command).args(options).args(rest);
    command
}

/// Runs it to its end: its status, its output and its errors.
fn ran(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// To the letter of what was promised; nothing is left of the machine.
#[test]
fn an_image_of_the_engine_prints_hi_and_ends_with_42() {
    let folder = scratch();
    let mut command = run_command(&[], &[DEBIAN, "sh", "-c", "echo hi; exit 42"]);
    let (status, output, errors) = ran(command.env("TMPDIR", folder.path()), "");
    assert_eq!((status, &*output), (Some(42), "hi\n"), "{errors}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something is left of it");
}

/// Input, errors, variables, user, directory, name, another program, and its end by a signal: in one boot.
#[test]
fn all_that_docker_run_says_of_a_program_is_so() {
    let token = nonce();
    let file = scratch();
    fs::write(file.path().join("env"), "# mine\nFROM_FILE=a b\n").unwrap();
    let env_file = file.path().join("env");
    let set = format!("TOKEN={token}");
    let options = [
        "-i",
        "-e",
        &set,
        "-e",
        "FROM_HERE",
        "-e",
        "NOWHERE",
        "--env-file",
        env_file.to_str().unwrap(),
        "-u",
        "65534:65533",
        "-w",
        "/srv/new",
        "--hostname",
        "web",
        "--entrypoint",
        "sh",
        "-m",
        "512M",
        "--cpus",
        "1",
        "--stats",
    ];
    let script = "cat; id -u; id -g; pwd; uname -n; echo $TOKEN,$FROM_HERE,$FROM_FILE,${NOWHERE-unset}; \
                  test -t 0 || echo pipe; echo err >&2; kill -USR1 $$";
    let mut command = run_command(&options, &[DEBIAN, "-c", script]);
    let (status, output, errors) = ran(command.env("FROM_HERE", "here"), "typed\nand more");
    let expected = format!("typed\nand more65534\n65533\n/srv/new\nweb\n{token},here,a b,unset\npipe\n");
    assert_eq!((status, output), (Some(128 + 10), expected), "{errors}");
    assert!(errors.contains("err\n"), "{errors}");
    let stats = errors.lines().find_map(|line| line.strip_prefix("root: ")?.strip_suffix(" were read"));
    let (read, size) = stats.and_then(|stats| stats.split_once(" bytes of ")).unwrap_or_default();
    let [read, size] = [read, size].map(|number| number.parse::<u64>().unwrap_or_default());
    assert!((1 << 20..size / 2).contains(&read), "{errors}");
}

#[test]
#[ignore = "long: make matrix"]
fn what_cannot_be_run_is_told_by_dockers_numbers() {
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let (status, output, errors) = ran(&mut run_command(&[], &[DEBIAN, program]), "");
        assert_eq!((status, &*output), (Some(code), ""), "{errors}");
        assert!(errors.contains(program), "{errors}");
    }
    let (status, _, errors) = ran(&mut run_command(&["-u", "nobody-knows"], &[DEBIAN, "true"]), "");
    assert!(status == Some(125) && errors.contains("nobody-knows"), "{status:?} {errors}");
}

/// An edit of the context is there at the next start; a command takes the place of CMD.
#[test]
fn a_build_context_is_built_and_run() {
    let folder = scratch();
    let token = nonce();
    let dockerfile = format!(
        "FROM vmimage-test/alpine:3.23\nENV TOKEN={token}\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"echo $TOKEN; exit 7\"]\n"
    );
    let context = context(folder.path(), &dockerfile);
    fs::write(context.join("vmimage.toml"), "[microvm]\nmemory = \"384M\"\n").unwrap();
    let mut command = run_command(&[], &["."]);
    let (status, output, errors) = ran(command.current_dir(&context), "");
    assert_eq!((status, output), (Some(7), format!("{token}\n")), "{errors}");
    let path = context.to_str().unwrap();
    let (status, output, errors) = ran(&mut run_command(&[], &[path, "grep MemTotal /proc/meminfo"]), "");
    let kib: u64 =
        output.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default();
    assert!(status == Some(0) && (300_000..393_216).contains(&kib), "{output}{errors}");
}

/// One line is edited: what runs next has it, and nothing was written but what docker has in its cache.
#[test]
#[ignore = "long: make matrix"]
fn a_context_that_was_edited_runs_as_it_is_now() {
    let folder = scratch();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let dockerfile =
        "FROM vmimage-test/alpine:3.23\nCOPY line /line\nUSER app\nCMD [\"cat\", \"/line\", \"/etc/motd\"]\n";
    let context = context(folder.path(), dockerfile);
    let toml = "[[users]]\nname = \"app\"\n[[files]]\npath = \"/etc/motd\"\ncontent = \"of the file\\n\"\n";
    fs::write(context.join("vmimage.toml"), toml).unwrap();
    for _ in 0..2 {
        let token = nonce();
        fs::write(context.join("line"), format!("{token}\n")).unwrap();
        let mut command = run_command(&[], &[context.to_str().unwrap()]);
        let (status, output, errors) = ran(command.env("TMPDIR", &temporary), "");
        assert_eq!((status, output), (Some(0), format!("{token}\nof the file\n")), "{errors}");
        assert!(!errors.contains("its root is written first"), "{errors}");
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something is left of it");
    }
    assert_eq!(run(Command::new("docker").args(["images", "--quiet", "vmimage-run"])), "");
}

/// The keys of a person at a terminal: its size, Ctrl-C for the program, and what is typed.
#[test]
fn with_it_a_shell_has_this_terminal() {
    let mut inner = vec![VMIMAGE.to_owned(), "run".to_owned(), "--timeout".to_owned(), LIMIT.to_owned()];
    let mut processor = Command::new("true");
    with_processor(&mut processor);
    inner.extend(processor.get_args().map(|word| word.to_str().unwrap().to_owned()));
    inner.extend(["-it", DEBIAN, "bash", "--norc"].map(str::to_owned));
    let line = format!("stty rows 33 cols 99; exec {}", inner.join(" "));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env("VMIMAGE_ACCEL", accel());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), Console::of(&mut child));
    let end = Instant::now() + Duration::from_secs(900);
    // What is typed is echoed: what is waited for is not what was typed.
    for (typed, shown) in [
        ("stty size\r", "33 99"),
        // In a process that the terminal's keys are for when it says so.
        ("sh -c \"echo be''gun; exec sleep 1000\"\r", "begun"),
        ("\u{3}echo after=$?\r", "after=130"),
        ("tty; exit 5\r", "/dev/pts/"),
    ] {
        keys.write_all(typed.as_bytes()).unwrap();
        assert!(screen.has(shown, end), "{typed:?}: {}", screen.text);
    }
    assert_eq!(child.wait().unwrap().code(), Some(5), "{}", screen.text);
}

/// 200 MB each way; read-only is the host's doing, and links of every kind lead to places of the guest.
#[test]
fn folders_are_shared_as_docker_shares_them() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    for name in ["source", "out", "beside"] {
        fs::create_dir(at(name)).unwrap();
    }
    let noise: Vec<u8> =
        (0..50_000_000_u32).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    fs::write(at("source/noise"), &noise).unwrap();
    fs::write(at("beside/secret"), "not for the guest").unwrap();
    for share in ["source", "out"] {
        symlink(at("beside/secret"), at(share).join("link")).unwrap();
        symlink("../beside/secret", at(share).join("near")).unwrap();
        symlink(at("beside"), at(share).join("folder")).unwrap();
        symlink("/proc/self/root", at(share).join("root")).unwrap();
    }
    let shares = [format!("{}:/in:ro", at("source").display()), format!("{}:/out", at("out").display())];
    // A link that the guest has made leads nowhere else, and what is written through one is the guest's own.
    let script = format!(
        "for at in /in /out; do
             ! cat $at/link && ! cat $at/near && ! cat $at/folder/secret && ! cat $at/../beside/secret || exit 3
             ! cat $at/root{beside}/secret || exit 4
         done
         ! touch /in/new && ! rm /in/noise && ! mount -o remount,rw /in && ! touch /in/new || exit 5
         ln -s {beside}/secret /out/made && ! cat /out/made || exit 6
         mkdir -p {beside} && echo mine >/out/made && test \"$(cat {beside}/secret)\" = mine || exit 7
         cp /in/noise /out/copy && exit 42",
        beside = at("beside").display()
    );
    let options = [&OF_ALPINE[..], &["-v", &shares[0], "-v", &shares[1]]].concat();
    let (status, output, errors) = ran(&mut run_command(&options, &[ALPINE, "sh", "-c", &script]), "");
    assert_eq!((status, &*output), (Some(42), ""), "{errors}");
    assert!(fs::read(at("out/copy")).unwrap() == noise);
    assert_eq!(fs::read_to_string(at("beside/secret")).unwrap(), "not for the guest");
    assert_eq!((names_in(&at("source")).len(), names_in(&at("beside")).len()), (5, 1));
}

/// The host that ends it: a signal is the program's, which may take its time, and time ends what does not end.
#[test]
#[ignore = "long: make matrix"]
fn a_program_hears_of_its_end_and_time_ends_what_does_not() {
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 1; done";
    let mut command = run_command(&OF_ALPINE, &[ALPINE, "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut console = Console::of(&mut child);
    assert!(console.has("up", Instant::now() + Duration::from_secs(900)), "{}", console.text);
    run(Command::new("kill").arg(child.id().to_string()));
    assert!(console.has("bye", Instant::now() + Duration::from_secs(60)), "{}", console.text);
    assert_eq!(child.wait().unwrap().code(), Some(9));

    let mut command = Command::new(VMIMAGE);
    command.env("VMIMAGE_ACCEL", accel()).args(["run", "--timeout", "90s"]);
    with_processor(&mut command).args(OF_ALPINE).args([ALPINE, "sleep", "1000"]);
    let (status, _, errors) = ran(&mut command, "");
    assert_eq!(status, Some(124), "{errors}");
}

/// A kernel of the user's needs no engine, and an image of a file none either; a card that is not there is not missed.
#[test]
#[ignore = "long: make matrix"]
fn a_saved_image_runs_without_a_network_and_reaches_one_by_nat() {
    let folder = scratch();
    let saved = folder.path().join("alpine.tar");
    run(Command::new("docker").args(["save", "vmimage-test/alpine:3.23", "-o"]).arg(&saved));
    let source = format!("docker-archive:{}", saved.display());
    let options = [&OF_ALPINE[..], &["--network", "none"]].concat();
    let (status, output, errors) = ran(&mut run_command(&options, &[&source, "ls", "/sys/class/net"]), "");
    assert_eq!((status, &*output), (Some(0), "lo\n"), "{errors}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"from the host\n").unwrap();
        let _ = stream.read(&mut [0; 16]);
    });
    // The host as QEMU's NAT has it.
    let line = format!("nc 10.0.2.2 {port} </dev/null");
    let (status, output, errors) = ran(&mut run_command(&OF_ALPINE, &[&source, "sh", "-c", &line]), "");
    assert_eq!((status, &*output), (Some(0), "from the host\n"), "{errors}");
    server.join().unwrap();
}

#[test]
#[ignore = "long: make matrix"]
fn an_image_for_another_architecture_is_emulated_and_that_is_said() {
    let options = ["--platform", "linux/arm64", "--kernel", "image:vmimage-test/debian:12-arm64"];
    let mut command = Command::new(VMIMAGE);
    command.args(["run", "--timeout", "1800s"]).args(options);
    command.args(["docker-daemon:vmimage-test/debian:12-arm64", "uname", "-m"]);
    let (status, output, errors) = ran(&mut command, "");
    assert_eq!((status, &*output), (Some(0), "aarch64\n"), "{errors}");
    assert!(errors.contains("it is for aarch64, which this host emulates: it is x86_64"), "{errors}");
}

/// Each in one line and a hint, with a status that no program has by chance, before anything is built or booted.
#[test]
fn bad_input_is_one_line() {
    let folder = scratch();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("{}:80", listener.local_addr().unwrap().port());
    let missing = format!("{}:/src", folder.path().join("missing").display());
    for (options, source, why) in [
        (&["-p", &*taken][..], ALPINE, "is not to be had"),
        (&["--qemu", "no-such-qemu"], ALPINE, "--qemu no-such-qemu: is no program"),
        (&["-v", &missing], ALPINE, "No such file or directory"),
        (&["--network", "tap=no-such0"], ALPINE, "--network: there is no interface no-such0"),
        (&["--env-file", "/missing"], ALPINE, "--env-file /missing: cannot be read"),
        (&["--uefi"], ALPINE, "--uefi: docker-daemon:vmimage-test/alpine:3.23 is an image"),
        (&["-it"], ALPINE, "-it: the standard input is no terminal"),
        (&[], "docker-daemon:vmimage-test/no-such:1", "vmimage-test/no-such:1"),
    ] {
        let mut command = run_command(&[&OF_ALPINE[..], options].concat(), &[source, "true"]);
        let (status, output, errors) = ran(&mut command, "");
        assert_eq!((status, &*output), (Some(125), ""), "{options:?}: {errors}");
        let line = errors.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.contains(why), "{options:?}: {errors}");
    }
    let no_program = context(folder.path(), "FROM scratch\nCOPY Dockerfile /\n");
    let said = refused(&mut run_command(&[], &[no_program.to_str().unwrap()]));
    assert!(said.contains("ENTRYPOINT"), "{said}");
    assert!(!Path::new("vm").exists());
}
