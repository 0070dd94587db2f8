use super::*;
use crate::testing::{Scratch, accepts, tool};
use crate::tree::testing::{text, tree};
use crate::tree::{Time, os};

const SYSTEMD: [(&str, &str); 4] = [
    ("/usr/lib/systemd/systemd", ""),
    ("/sbin/init", "-> /usr/lib/systemd/systemd"),
    ("/etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/var/www:/bin/sh\n"),
    ("/etc/group", "ssl:x:110:www\n"),
];
const OPENRC: [(&str, &str); 4] = [("/sbin/init", ""), ("/sbin/openrc", ""), SYSTEMD[2], SYSTEMD[3]];
const PROGRAMS: [&str; 9] = [
    "/bin/sh",
    "/bin/cat",
    "/bin/rm",
    "/bin/sleep",
    "/usr/bin/mkfifo",
    "/usr/bin/timeout",
    "/usr/sbin/nginx",
    "/srv/app",
    "/bin/bash",
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn runs(command: &[&str]) -> Container {
    Container { cmd: words(command), ..Container::default() }
}

/// A tree of these files with the programs.
fn image(files: &[(&str, &str)]) -> Tree {
    let mut tree = tree(files);
    let mut editor = Editor::new(&mut tree, Time::default());
    for program in PROGRAMS {
        editor.write_file(program, *b"", 0o755).unwrap();
    }
    tree
}

/// Plan and install; the notes.
fn make(tree: &mut Tree, service: Service, container: Container) -> Result<Vec<String>> {
    let os = os::detect(tree)?;
    let editor = &mut Editor::new(tree, Time::default());
    let planned = plan(editor, &service, Some(&container))?;
    install(editor, &os, &planned)
}

fn unit(tree: &Tree, name: &str) -> String {
    text(tree, &format!("/usr/lib/systemd/system/{name}")).unwrap_or_else(|| panic!("there is no {name}"))
}

fn full() -> Container {
    let healthcheck = Healthcheck {
        test: words(&["CMD-SHELL", "curl -f \"$URL\" || exit 1"]),
        interval: 5_000_000_000,
        timeout: 1_500_000_000,
        start_period: 10_000_000_000,
        ..Healthcheck::default()
    };
    Container {
        entrypoint: words(&["nginx"]),
        cmd: words(&["-g", "daemon off; # 100% $HOME"]),
        env: words(&["PATH=/usr/sbin:/bin", "URL=http://localhost/?a=%20", "a.b=c", "EMPTY="]),
        user: "www:ssl".into(),
        working_dir: "/srv/new dir".into(),
        stop_signal: "SIGQUIT".into(),
        volumes: ["/var/data".to_owned()].into(),
        exposed_ports: ["80/tcp".to_owned()].into(),
        healthcheck: Some(healthcheck),
        shell: Vec::new(),
        title: None,
    }
}

#[test]
fn an_image_becomes_units_of_systemd() {
    let mut tree = image(&SYSTEMD);
    let notes = make(&mut tree, Service::Auto, full()).unwrap();
    assert_eq!(
        notes,
        [
            "service nginx: runs nginx -g 'daemon off; # 100% $HOME'",
            "ENV \"a.b\": left out, systemd takes no such name"
        ]
    );
    assert_eq!(
        unit(&tree, "nginx.service"),
        r#"# Made by vmimage: what the image runs, by its ENTRYPOINT, CMD, ENV, USER, WORKDIR and STOPSIGNAL.
# EXPOSE 80/tcp

[Unit]
Description=nginx of the image
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/lib/vmimage/vmimage-run /run/vmimage/nginx nginx -g "daemon off; # 100%% $$HOME"
User=www
Group=110
AmbientCapabilities=CAP_NET_BIND_SERVICE
WorkingDirectory=/srv/new dir
Environment=HOSTNAME=%H
Environment=PATH=/usr/sbin:/bin
Environment=HOME=/var/www
Environment="URL=http://localhost/?a=%%20"
Environment=EMPTY=
IgnoreSIGPIPE=no
RuntimeDirectory=vmimage/nginx
SyslogIdentifier=nginx
StandardOutput=journal+console
Restart=on-failure
RestartSec=2
KillMode=mixed
KillSignal=SIGQUIT
SuccessExitStatus=131 SIGQUIT
ExecStopPost=-/bin/sleep 0.2

[Install]
WantedBy=multi-user.target
"#
    );
    let health = unit(&tree, "nginx-health.service");
    let start = r#"ExecStart=/usr/lib/vmimage/vmimage-health /run/vmimage/nginx 3 2 10 /bin/sh -c "curl -f \"$$URL\" || exit 1""#;
    assert!(health.lines().any(|line| line == start), "{health}");
    assert!(unit(&tree, "nginx-health.timer").contains("OnActiveSec=5000ms\nOnUnitInactiveSec=5000ms\n"));
    for link in ["multi-user.target.wants/nginx.service", "nginx.service.wants/nginx-health.timer"] {
        assert!(tree.resolve(format!("/etc/systemd/system/{link}")).is_some(), "{link}");
    }
    for directory in ["/srv/new dir", "/var/data"] {
        assert!(tree.lookup(directory).is_some(), "{directory}");
    }
}

#[test]
fn systemd_takes_the_units_and_would_not_take_others() {
    let mut tree = image(&SYSTEMD);
    let odd = words(&["nginx", "", ";", "\"", "\\", "a\nb\t\u{7}", "${A}", "%h", "grün", "-", "#", "'"]);
    let env = odd.iter().enumerate().map(|(number, word)| format!("V{number}={word}")).collect();
    let cases = [
        full(),
        Container {
            cmd: odd,
            env,
            user: "1234".into(),
            stop_signal: "RTMIN+3".into(),
            ..Container::default()
        },
    ];
    for (name, container) in ["one", "two"].into_iter().zip(cases) {
        make(&mut tree, Service::Named(name.into()), container).unwrap();
    }

    // A root with systemd's own units, and the programs that the new ones start.
    let scratch = Scratch::new();
    let root = scratch.path();
    let units = root.join("usr/lib/systemd/system");
    std::fs::create_dir_all(units.parent().unwrap()).unwrap();
    accepts("cp", &["-r", "/usr/lib/systemd/system", units.to_str().unwrap()]);
    for program in [RUN, HEALTH, "/bin/sleep"] {
        accepts("install", &["-D", "/bin/true", root.join(&program[1..]).to_str().unwrap()]);
    }
    let names = ["one.service", "one-health.service", "one-health.timer", "two.service"];
    for name in names {
        std::fs::write(units.join(name), unit(&tree, name)).unwrap();
    }
    // It warns, and says so in words only.
    let verify = |name: &str| {
        let root = format!("--root={}", root.display());
        tool("systemd-analyze", &["verify", "--man=no", &root, name])
    };
    for name in names {
        assert_eq!(verify(name), (true, String::new()), "{name}:\n{}", unit(&tree, name));
    }
    for (from, to) in [("KillSignal=SIGQUIT", "KillSignal=SIGFOO"), ("\"daemon", "daemon"), ("%%", "%")] {
        std::fs::write(units.join("bad.service"), unit(&tree, "one.service").replace(from, to)).unwrap();
        assert_ne!(verify("bad.service").1, "", "{from} as {to}");
    }
}

#[test]
fn an_image_becomes_a_script_of_openrc() {
    let mut tree = image(&OPENRC);
    let notes = make(&mut tree, Service::Auto, full()).unwrap();
    assert_eq!(notes.last().unwrap(), "HEALTHCHECK: left out, only systemd runs it");
    let script = text(&tree, "/etc/init.d/nginx").unwrap();
    for line in [
        "# EXPOSE 80/tcp",
        "description='nginx of the image'",
        "command_user=www:110",
        "retry=SIGQUIT/90/SIGKILL/5",
        "\tmkdir -p /run/vmimage/nginx && chown 33:110 /run/vmimage/nginx && chmod 0755 /run/vmimage/nginx || return",
    ] {
        assert!(script.lines().any(|known| known == line), "{line} is not in:\n{script}");
    }
    assert_eq!(
        text(&tree, "/usr/lib/vmimage/nginx").unwrap(),
        "#!/bin/sh
# Made by vmimage: what the image runs, by its ENTRYPOINT, CMD, ENV and WORKDIR.
exec 2>&1
cd '/srv/new dir' || exit
exec env -i HOSTNAME=\"$(hostname)\" \\
\tPATH=/usr/sbin:/bin \\
\tHOME=/var/www \\
\t'URL=http://localhost/?a=%20' \\
\ta.b=c \\
\tEMPTY= \\
\t/usr/lib/vmimage/vmimage-run /run/vmimage/nginx nginx -g 'daemon off; # 100% $HOME'
"
    );
    assert!(tree.resolve("/etc/runlevels/default/nginx").is_some());
    for path in ["/etc/init.d/nginx", "/usr/lib/vmimage/nginx", RUN] {
        assert_eq!(tree.inode(tree.resolve(path).unwrap()).meta.permissions, 0o755, "{path}");
        let scratch = Scratch::new();
        let file = scratch.write("script", text(&tree, path).unwrap().as_bytes());
        accepts("sh", &["-n", &file]);
    }
    let nobody = Container { user: "1234".into(), ..runs(&["nginx"]) };
    let error = make(&mut image(&OPENRC), Service::Auto, nobody).unwrap_err();
    assert!(error.hint().unwrap().to_string().contains("adduser -D -H -u 1234 nginx"), "{error}");
}

#[test]
fn whether_there_is_a_service_is_told() {
    let note = |service: Service, command: &[&str]| {
        make(&mut image(&SYSTEMD), service, runs(command)).map(|notes| notes.join("\n"))
    };
    assert_eq!(
        note(Service::Auto, &["bash"]).unwrap(),
        "service: none, bash has nothing to do without a terminal"
    );
    assert_eq!(
        note(Service::Auto, &["/sbin/init"]).unwrap(),
        "service: none, /sbin/init is an init and the machine has its own"
    );
    assert_eq!(
        note(Service::Auto, &["sh", "-c", "/setup && exec /sbin/init"]).unwrap(),
        "service: none, /sbin/init is an init and the machine has its own, sh -c '/setup && exec /sbin/init' is not run"
    );
    assert_eq!(note(Service::Auto, &[]).unwrap(), "");
    assert_eq!(note(Service::Off, &["nginx"]).unwrap(), "");
    assert_eq!(note(Service::Named("x".into()), &["bash"]).unwrap(), "service x: runs bash");
    let error = note(Service::Named("x".into()), &[]).unwrap_err();
    assert!(error.to_string().starts_with("service: x has nothing to run"), "{error}");

    let mut bare = image(&SYSTEMD[2..]);
    let notes = make(&mut bare, Service::Auto, runs(&["nginx"])).unwrap();
    assert_eq!(notes, ["service nginx: not made, the machine has neither systemd nor OpenRC"]);
    assert!(make(&mut bare, Service::Named("x".into()), runs(&["nginx"])).is_err());
}

#[test]
fn a_program_without_a_name_has_that_of_the_image() {
    for (title, name) in [
        (Some("My Web-Shop 2.0 "), "my-web-shop-2-0"),
        (Some("nginx"), "nginx"),
        (Some("--"), "app"),
        (Some("日本"), "app"),
        (None, "app"),
    ] {
        let script = ["sh", "-c", "case $A in *) nginx;; esac"];
        let container = Container { title: title.map(str::to_owned), ..runs(&script) };
        let notes = make(&mut image(&SYSTEMD), Service::Auto, container).unwrap();
        assert!(notes[0].starts_with(&format!("service {name}: runs sh -c ")), "{title:?}: {notes:?}");
    }
    let named = Container { title: Some("shop".into()), ..runs(&["sh", "-c", "sleep 1; exec nginx"]) };
    let notes = make(&mut image(&SYSTEMD), Service::Auto, named).unwrap();
    assert_eq!(notes[0], "service nginx: runs sh -c 'sleep 1; exec nginx'");
}

#[test]
fn what_a_container_could_not_start_is_an_error() {
    for (container, message) in [
        (runs(&["caddy"]), "caddy: is no program of the image, and its ENTRYPOINT or CMD runs it"),
        (
            Container { user: "none".into(), ..runs(&["nginx"]) },
            "USER: \"none\" is not in the image's /etc/passwd",
        ),
        (
            Container { stop_signal: "SIGFOO".into(), ..runs(&["nginx"]) },
            "STOPSIGNAL: \"SIGFOO\" is no signal",
        ),
        (runs(&["nginx", "a\0b"]), "\"a\\0b\": has a NUL in it"),
        (
            Container { working_dir: "/a\nb".into(), ..runs(&["nginx"]) },
            "WORKDIR: \"/a\\nb\" is no directory that systemd takes",
        ),
    ] {
        let error = make(&mut image(&SYSTEMD), Service::Auto, container.clone()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(make(&mut image(&SYSTEMD), Service::Off, container).is_ok());
    }
    let mut bare = tree(&SYSTEMD);
    Editor::new(&mut bare, Time::default()).write_file("/srv/app", *b"", 0o755).unwrap();
    let error = make(&mut bare, Service::Auto, runs(&["/srv/app"])).unwrap_err();
    assert_eq!(error.to_string(), "sh: is not in the image, and its service needs it");
}

#[test]
fn a_name_is_taken_once_only() {
    let nginx = ("/usr/lib/systemd/system/nginx.service", "[Service]\nExecStart=/usr/sbin/nginx\n");
    let enabled = (
        "/etc/systemd/system/multi-user.target.wants/nginx.service",
        "-> /usr/lib/systemd/system/nginx.service",
    );
    let files = [&SYSTEMD[..], &[nginx, enabled]].concat();
    let mut tree = image(&files);
    let notes = make(&mut tree, Service::Auto, runs(&["nginx"])).unwrap();
    assert_eq!(
        notes,
        ["service nginx-app: runs nginx", "systemd: nginx.service disabled, it runs what nginx-app runs"]
    );
    assert!(tree.resolve_nofollow(enabled.0).is_none());
    let once = tree.dump(Default::default()).unwrap();
    make(&mut tree, Service::Auto, runs(&["nginx"])).unwrap();
    assert_eq!(tree.dump(Default::default()).unwrap(), once, "a second time changes something");

    let error = make(&mut image(&files), Service::Named("nginx".into()), runs(&["nginx"])).unwrap_err();
    assert_eq!(error.to_string(), "service: the image has a service nginx already");
}

#[test]
fn directories_in_run_are_made_at_every_boot() {
    let mut files = SYSTEMD.to_vec();
    files.extend([("/var/run", "-> /run"), ("/run/app/a b/", ""), ("/run/lock/", ""), ("/run/file", "")]);
    let mut tree = image(&files);
    let inode = tree.resolve("/run/app").unwrap();
    tree.inode_mut(inode).meta.permissions = 0o2775;
    tree.inode_mut(inode).meta.uid = 33;
    let container = Container { volumes: ["/var/run/volume".to_owned()].into(), ..runs(&["nginx"]) };
    make(&mut tree, Service::Auto, container).unwrap();
    assert_eq!(
        text(&tree, "/usr/lib/tmpfiles.d/nginx.conf").unwrap(),
        "# Made by vmimage: directories of the image in /run.\n\
         d /run/app 2775 33 0\nd \"/run/app/a b\" 0755 0 0\nd /run/volume 0755 0 0\n"
    );
}

/// The scripts themselves, in the shells that images have.
mod scripts {
    use std::process::Command;

    use super::*;

    const SHELLS: [&[&str]; 3] = [&["sh"], &["bash", "--posix"], &["busybox", "sh"]];

    fn start(shell: &[&str], script: &str, words: &[&str]) -> Command {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(script).args(words);
        command
    }

    #[test]
    fn the_programs_output_can_be_opened_again() {
        for shell in SHELLS {
            let scratch = Scratch::new();
            let script = scratch.write("run", include_bytes!("run.sh"));
            let folder = scratch.path().to_str().unwrap();
            let line = "echo one; echo two >/dev/stdout; echo three >/dev/stderr; echo \"$1\"; exit 7";
            let mut command = start(shell, &script, &[folder, "/bin/sh", "-c", line, "sh", "a  b"]);
            // A socket, as systemd gives it: what cannot be opened by its name.
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            command.stdout(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()));
            command.stderr(std::os::fd::OwnedFd::from(theirs));
            let mut child = command.spawn().unwrap();
            drop(command);
            assert_eq!(child.wait().unwrap().code(), Some(7), "{shell:?}");
            let said = std::io::read_to_string(ours).unwrap();
            assert_eq!(said, "one\ntwo\nthree\na  b\n", "{shell:?}");
            let started: u64 = text_of(&scratch, "started").trim().parse().unwrap();
            assert!(started > 0);
        }
    }

    fn text_of(scratch: &Scratch, name: &str) -> String {
        std::fs::read_to_string(scratch.file(name)).unwrap()
    }

    #[test]
    fn only_failures_in_a_row_make_it_unhealthy() {
        for shell in SHELLS {
            let scratch = Scratch::new();
            let script = scratch.write("health", include_bytes!("health.sh"));
            let folder = scratch.path().to_str().unwrap();
            scratch.write("started", b"0\n");
            let check = |start_period: &str, program: &[&str]| {
                let words = [&[folder, "3", "1", start_period], program].concat();
                start(shell, &script, &words).output().unwrap().status.success()
            };
            let verdicts = [false, false, true, false, false, false, true, false]
                .map(|works| check("0", &[if works { "true" } else { "false" }]));
            assert_eq!(verdicts, [true, true, true, true, true, false, true, true], "{shell:?}");

            // Nothing counts in the start period until it has worked once; then everything does.
            std::fs::remove_file(scratch.file("failures")).unwrap();
            let long = u32::MAX.to_string();
            assert!((0..5).all(|_| check(&long, &["false"])), "{shell:?}");
            assert!(check(&long, &["true"]), "{shell:?}");
            assert_eq!([(); 3].map(|()| check(&long, &["false"])), [true, true, false], "{shell:?}");
            assert!(!check("0", &["sleep", "60"]), "{shell:?}: what takes too long has failed");
        }
    }
}

/// What no process can be started with, or nobody has.
#[test]
fn words_of_a_container_have_limits() {
    let word = |len: usize| "a".repeat(len);
    let env = |count: usize, len: usize| vec![format!("A={}", word(len - 3)); count];
    let path = |count: usize| vec![format!("PATH=/usr/sbin{}", ":/bin".repeat(count - 1))];
    let deep = |len: usize| Container { volumes: ["/a".repeat(len / 2)].into(), ..runs(&["nginx"]) };
    for (container, said) in [
        (Container { env: env(1, limits::PROCESS_WORD), ..runs(&["nginx"]) }, None),
        (
            Container { env: env(1, limits::PROCESS_WORD + 1), ..runs(&["nginx"]) },
            Some("ENTRYPOINT, CMD and ENV: a word has more than 131071 bytes, which is the limit"),
        ),
        (
            runs(&["nginx", &word(limits::PROCESS_WORD)]),
            Some("ENTRYPOINT, CMD and ENV: a word has more than 131071 bytes, which is the limit"),
        ),
        (
            Container { env: env(48, limits::PROCESS_WORD), ..runs(&["nginx"]) },
            Some("ENTRYPOINT, CMD and ENV: have more than 6291456 bytes, which is the limit"),
        ),
        (Container { env: path(limits::PROGRAM_DIRECTORIES), ..runs(&["nginx"]) }, None),
        (
            Container { env: path(limits::PROGRAM_DIRECTORIES + 1), ..runs(&["nginx"]) },
            Some("ENV PATH: has more than 256 directories, which is the limit"),
        ),
        (deep(limits::PATH), None),
        (deep(limits::PATH + 3), Some("the path is longer than Linux takes")),
        (deep(1 << 20), Some("the path is longer than Linux takes")),
    ] {
        let made = make(&mut image(&SYSTEMD), Service::Auto, container).map_err(|error| error.to_string());
        assert_eq!(made.is_ok(), said.is_none(), "{made:?}");
        assert!(made.err().zip(said).is_none_or(|(error, said)| error.ends_with(said)));
    }
}

/// Each looked through all before it.
#[test]
fn many_variables_are_told_apart() {
    let env: Vec<_> = (0..300_000).map(|at| format!("V{}={at}", at % 150_000)).collect();
    let container = Container { env, ..runs(&["nginx"]) };
    let account = Account { uid: 0, gid: 0, name: None, home: "/".into() };
    let variables = environment(&container, &account);
    assert_eq!(variables.len(), 150_002);
    assert_eq!(variables.get(2), Some(&("V0".to_owned(), "150000".to_owned())));
}
