use super::*;
use crate::spec::setup::{ContextFile, File, Group, Keys, Password, Root, Secret, Services, User};
use crate::tree::testing::{text, tree};
use crate::tree::{Meta, Time, Tree, os};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ada@example";
const DAY: i64 = 86_400;

/// A Debian as far as it matters here.
const DEBIAN: [(&str, &str); 15] = [
    ("/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\napp:x:1000:1000:\u{fc}:/home/app:/bin/sh\n",
    ),
    ("/etc/shadow", "root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\napp:!:19000:0:99999:7:::\n"),
    ("/etc/group", "root:x:0:\nsudo:x:27:\nwww-data:x:33:\napp:x:1000:\n"),
    ("/etc/gshadow", "root:*::\nsudo:*::\nwww-data:*::\napp:!::\n"),
    ("/etc/skel/.profile", "# profile\n"),
    ("/bin/bash", ""),
    ("/bin/sh", ""),
    ("/usr/bin/sudo", ""),
    ("/sbin/init", "-> /lib/systemd/systemd"),
    ("/lib/systemd/systemd", ""),
    ("/usr/lib/systemd/system/web.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("/usr/lib/systemd/system/static.service", "[Unit]\n"),
    ("/usr/lib/systemd/system/at@.service", "[Install]\nWantedBy=x.target\n"),
    ("/usr/share/zoneinfo/Europe/Berlin", "TZif2"),
];

const ALPINE: [(&str, &str); 10] = [
    ("/sbin/init", ""),
    ("/etc/os-release", "ID=alpine\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/shadow", "root:*::0:::::\n"),
    ("/etc/group", "root:x:0:root\nwheel:x:10:root\n"),
    ("/bin/sh", ""),
    ("/usr/bin/doas", ""),
    ("/sbin/openrc", ""),
    ("/etc/init.d/sshd", ""),
    ("/etc/runlevels/boot/syslog", "-> /etc/init.d/syslog"),
];

fn materials() -> Materials {
    let context = tree(&[
        ("/keys/ada.pub", &format!("# comment\n{KEY}\n")),
        ("/site/a/index.html", "hi"),
        ("/link", "-> /etc/shadow"),
    ]);
    let secrets = [("password", "hunter2\n"), ("token", "abc"), ("keys", KEY), ("bad", "no key\n")];
    let secrets = secrets.into_iter().map(|(id, text)| (id.to_owned(), text.as_bytes().to_vec())).collect();
    Materials { context, secrets, ..Materials::default() }
}

/// The tree after the setup, and the notes.
fn set_up_on(files: &[(&str, &str)], setup: &Setup) -> Result<(Tree, Vec<String>)> {
    let mut tree = tree(files);
    let os = os::detect(&tree).unwrap();
    let time = Time { seconds: 20_000 * DAY, nanoseconds: 0 };
    let editor = &mut Editor::new(&mut tree, time);
    let notes = set_up(editor, &os, setup, &materials(), &Seed::new(b"seed"))?;
    Ok((tree, notes))
}

fn on_debian(setup: &Setup) -> Result<(Tree, Vec<String>)> {
    set_up_on(&DEBIAN, setup)
}

fn ada() -> User {
    User { name: "ada".into(), ..User::default() }
}

fn users(users: &[User]) -> Setup {
    Setup { users: users.to_vec(), ..Setup::default() }
}

fn secret(id: &str) -> Secret {
    Secret { secret: id.into() }
}

fn meta(tree: &Tree, path: &str) -> Meta {
    tree.inode(tree.lookup(path).unwrap_or_else(|| panic!("no {path}"))).meta.clone()
}

fn line(tree: &Tree, file: &str, name: &str) -> String {
    let text = text(tree, file).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{name}:"))).collect();
    assert_eq!(lines.len(), 1, "{file}: {text}");
    lines[0].to_owned()
}

#[test]
fn nothing_asked_is_nothing_changed() {
    let before = tree(&DEBIAN);
    let (after, notes) = on_debian(&Setup::default()).unwrap();
    assert!(notes.is_empty());
    assert_eq!(before.dump(Default::default()).unwrap(), after.dump(Default::default()).unwrap());
}

#[test]
fn a_new_user_has_a_home_a_group_and_no_password() {
    let (tree, notes) = on_debian(&users(&[ada()])).unwrap();
    assert_eq!(line(&tree, "/etc/passwd", "ada"), "ada:x:1001:1001::/home/ada:/bin/bash");
    assert_eq!(line(&tree, "/etc/group", "ada"), "ada:x:1001:");
    assert_eq!(line(&tree, "/etc/gshadow", "ada"), "ada:!::");
    assert_eq!(line(&tree, "/etc/shadow", "ada"), "ada:*:20000:0:99999:7:::");
    for (path, permissions) in [("/home/ada", 0o700), ("/home/ada/.profile", 0o644)] {
        let meta = meta(&tree, path);
        assert_eq!((meta.uid, meta.gid, meta.permissions), (1001, 1001, permissions), "{path}");
    }
    assert_eq!(notes, ["user ada: number 1001, without a password"]);
    // The lines of others are as they were.
    assert!(text(&tree, "/etc/passwd").unwrap().starts_with(DEBIAN[1].1));
    assert_eq!(line(&tree, "/etc/shadow", "root"), "root:*:19000:0:99999:7:::");
}

#[test]
fn all_that_a_user_can_have() {
    let user = User {
        uid: Some(2000),
        gid: Some(33),
        groups: vec!["sudo".into(), "www-data".into()],
        comment: Some("Ada Lovelace".into()),
        home: Some("/srv/ada".into()),
        shell: Some("/bin/sh".into()),
        password: Some(Password::Secret(secret("password"))),
        authorized_keys: vec![
            Keys::Key(KEY.into()),
            Keys::File(ContextFile { file: "keys/ada.pub".into() }),
            Keys::Secret(secret("keys")),
        ],
        sudo: true,
        ..ada()
    };
    let (tree, notes) = on_debian(&users(&[user])).unwrap();
    assert_eq!(line(&tree, "/etc/passwd", "ada"), "ada:x:2000:33:Ada Lovelace:/srv/ada:/bin/sh");
    assert_eq!(line(&tree, "/etc/group", "sudo"), "sudo:x:27:ada");
    assert_eq!(line(&tree, "/etc/gshadow", "www-data"), "www-data:*::ada");
    // The same key three times is one line.
    assert_eq!(text(&tree, "/srv/ada/.ssh/authorized_keys").unwrap(), format!("{KEY}\n"));
    for (path, permissions) in [("/srv/ada/.ssh", 0o700), ("/srv/ada/.ssh/authorized_keys", 0o600)] {
        let meta = meta(&tree, path);
        assert_eq!((meta.uid, meta.gid, meta.permissions), (2000, 33, permissions), "{path}");
    }
    assert_eq!(text(&tree, "/etc/sudoers.d/90-vmimage-ada").unwrap(), "ada ALL=(ALL:ALL) ALL\n");
    assert_eq!(meta(&tree, "/etc/sudoers.d/90-vmimage-ada").permissions, 0o440);
    let shadow = line(&tree, "/etc/shadow", "ada");
    let hash = shadow.split(':').nth(1).unwrap();
    assert!(hash.starts_with("$6$") && shadow.ends_with(":20000:0:99999:7:::"), "{shadow}");
    let salt = hash.split('$').nth(2).unwrap();
    let openssl = std::process::Command::new("openssl")
        .args(["passwd", "-6", "-salt", salt, "hunter2"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(openssl.stdout).unwrap().trim(), hash);
    assert!(!notes.concat().contains("hunter2") && notes[0].ends_with("with a password"), "{notes:?}");
}

#[test]
fn a_user_that_is_there_is_changed_and_not_doubled() {
    let app = User {
        name: "app".into(),
        uid: Some(1000),
        shell: Some("/bin/bash".into()),
        authorized_keys: vec![Keys::Key(KEY.into())],
        ..User::default()
    };
    let (tree, _) = on_debian(&users(&[app.clone(), app])).unwrap();
    assert_eq!(line(&tree, "/etc/passwd", "app"), "app:x:1000:1000:\u{fc}:/home/app:/bin/bash");
    assert!(tree.lookup("/home/app/.profile").is_none(), "a home was made for a user that has none");
    // Locked without a password: a key may log in now, without PAM too.
    assert_eq!(line(&tree, "/etc/shadow", "app"), "app:*:19000:0:99999:7:::");
    assert_eq!(line(&tree, "/etc/group", "app"), "app:x:1000:");
}

#[test]
fn owners_and_modes_of_the_databases_stay() {
    let mut tree = tree(&DEBIAN);
    let os = os::detect(&tree).unwrap();
    let shadow = tree.lookup("/etc/shadow").unwrap();
    tree.inode_mut(shadow).meta = Meta { permissions: 0o640, gid: 42, ..Meta::default() };
    let editor = &mut Editor::new(&mut tree, Time::default());
    set_up(editor, &os, &users(&[ada()]), &materials(), &Seed::new(b"seed")).unwrap();
    let meta = meta(&tree, "/etc/shadow");
    assert_eq!((meta.permissions, meta.gid), (0o640, 42));
    assert_eq!(line(&tree, "/etc/shadow", "ada"), "ada:*:1:0:99999:7:::", "day 0 asks for a new password");
}

#[test]
fn a_locked_user_has_no_way_in() {
    let user = User { password: Some(Password::Hash("$6$salt$hash".into())), locked: true, ..ada() };
    let (tree, notes) = on_debian(&users(&[user])).unwrap();
    assert!(line(&tree, "/etc/shadow", "ada").starts_with("ada:!$6$salt$hash:"));
    assert!(notes[0].ends_with("locked"));
}

#[test]
fn root_is_locked_until_it_is_asked_for() {
    let (tree, _) = on_debian(&users(&[ada()])).unwrap();
    assert!(line(&tree, "/etc/shadow", "root").starts_with("root:*:"));
    let root = Root {
        password: Some(Password::Secret(secret("password"))),
        authorized_keys: vec![Keys::Key(KEY.into())],
    };
    let (tree, _) = on_debian(&Setup { root: Some(root), ..Setup::default() }).unwrap();
    assert!(line(&tree, "/etc/shadow", "root").starts_with("root:$6$"));
    assert_eq!(text(&tree, "/root/.ssh/authorized_keys").unwrap(), format!("{KEY}\n"));
}

#[test]
fn groups_are_made_and_filled() {
    let group = |name: &str, gid, members: &[&str]| Group {
        name: name.into(),
        gid,
        members: members.iter().map(|&name| name.into()).collect(),
    };
    let setup = Setup {
        groups: vec![
            group("db", Some(700), &["ada", "www-data"]),
            group("sudo", None, &["ada"]),
            group("new", None, &[]),
        ],
        users: vec![User { groups: vec!["db".into()], ..ada() }],
        ..Setup::default()
    };
    let (tree, notes) = on_debian(&setup).unwrap();
    assert_eq!(line(&tree, "/etc/group", "db"), "db:x:700:ada,www-data");
    assert_eq!(line(&tree, "/etc/group", "sudo"), "sudo:x:27:ada");
    assert_eq!(line(&tree, "/etc/group", "new"), "new:x:1001:");
    assert_eq!(line(&tree, "/etc/passwd", "ada"), "ada:x:1002:1002::/home/ada:/bin/bash");
    assert_eq!(notes[0], "group db: made with the number 700");
}

#[test]
fn a_user_has_the_group_of_that_name_as_its_own() {
    let groups = vec![Group { name: "admin".into(), gid: Some(700), ..Group::default() }];
    let user = User { group: Some("admin".into()), ..ada() };
    let (tree, _) = on_debian(&Setup { groups, ..users(&[user]) }).unwrap();
    assert_eq!(line(&tree, "/etc/passwd", "ada"), "ada:x:1001:700::/home/ada:/bin/bash");
    assert_eq!(line(&tree, "/etc/group", "admin"), "admin:x:700:");
    assert_eq!(meta(&tree, "/home/ada").gid, 700);
    assert!(!text(&tree, "/etc/group").unwrap().contains("ada:x:"));
}

#[test]
fn what_contradicts_the_image_is_refused() {
    let with = |change: &dyn Fn(&mut User)| {
        let mut user = ada();
        change(&mut user);
        users(&[user])
    };
    let file = |file: File| Setup { files: vec![File { path: "/a".into(), ..file }], ..Setup::default() };
    let service = |services: Services| Setup { services, ..Setup::default() };
    for (setup, message) in [
        (with(&|user| user.uid = Some(33)), "user ada: the uid 33 is another user's"),
        (
            with(&|user| (user.name, user.uid) = ("app".into(), Some(7))),
            "user app: has the uid 1000 in the image, 7 is asked for",
        ),
        (with(&|user| user.groups = vec!["none".into()]), "group none: is not on the machine"),
        (with(&|user| user.group = Some("none".into())), "group none: is not on the machine"),
        (
            with(&|user| (user.group, user.gid) = (Some("sudo".into()), Some(27))),
            "user ada: has a gid and a group",
        ),
        (
            with(&|user| (user.name, user.group) = ("app".into(), Some("sudo".into()))),
            "user app: has the gid 1000 in the image, 27 is asked for",
        ),
        (
            with(&|user| user.shell = Some("/bin/zsh".into())),
            "user ada: the shell /bin/zsh is not on the machine",
        ),
        (
            with(&|user| user.password = Some(Password::Secret(secret("none")))),
            "secret none: was not given to the build",
        ),
        (
            with(&|user| user.authorized_keys = vec![Keys::Secret(secret("bad"))]),
            "secret bad: entry 1 is no public SSH key",
        ),
        (
            with(&|user| user.authorized_keys = vec![Keys::File(ContextFile { file: "none".into() })]),
            "none: is not in the build context",
        ),
        (
            Setup {
                groups: vec![Group { name: "db".into(), gid: Some(27), ..Group::default() }],
                ..Setup::default()
            },
            "group db: the number 27 is another group's",
        ),
        (
            Setup {
                groups: vec![Group { name: "sudo".into(), gid: Some(7), ..Group::default() }],
                ..Setup::default()
            },
            "group sudo: has the number 27 in the image, 7 is asked for",
        ),
        (
            Setup {
                groups: vec![Group { name: "sudo".into(), members: vec!["bob".into()], gid: None }],
                ..Setup::default()
            },
            "group sudo: its member bob is no user of the machine",
        ),
        (file(File::default()), "/a: takes exactly one of content, source and secret"),
        (file(File { source: Some("none".into()), ..File::default() }), "none: is not in the build context"),
        (
            file(File { source: Some("link".into()), ..File::default() }),
            "link: is neither a file nor a folder",
        ),
        (
            file(File { source: Some("link/x".into()), ..File::default() }),
            "link/x: is not in the build context",
        ),
        (file(File { secret: Some("none".into()), ..File::default() }), "secret none: was not given"),
        (
            file(File { content: Some(String::new()), owner: Some("bob".into()), ..File::default() }),
            "/a: its owner bob is not on the machine",
        ),
        (
            service(Services { enable: vec!["none".into()], ..Services::default() }),
            "service none.service: is not on the machine",
        ),
        (
            service(Services { enable: vec!["static".into()], ..Services::default() }),
            "service static.service: has no [Install] section",
        ),
        (
            service(Services { enable: vec!["at@.service".into()], ..Services::default() }),
            "service at@.service: is a template",
        ),
        (
            Setup { timezone: Some("Mars/Base".into()), ..Setup::default() },
            "timezone: /usr/share/zoneinfo/Mars/Base is not on the machine",
        ),
    ] {
        let error = on_debian(&setup).expect_err(message).to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn no_sudo_and_no_doas_is_told() {
    let files: Vec<_> = DEBIAN.into_iter().filter(|(path, _)| *path != "/usr/bin/sudo").collect();
    let error = set_up_on(&files, &users(&[User { sudo: true, ..ada() }])).unwrap_err();
    assert!(error.to_string().contains("neither sudo nor doas"), "{error}");
}

#[test]
fn files_have_the_owner_and_the_mode_that_is_asked_for() {
    let file = |path: &str| File { path: path.into(), ..File::default() };
    let files = vec![
        File { content: Some("hi".into()), ..file("/etc/motd") },
        File {
            content: Some("x".into()),
            mode: Some("4755".into()),
            owner: Some("ada:sudo".into()),
            ..file("/opt/bin/x")
        },
        File { source: Some("site".into()), owner: Some("www-data".into()), ..file("/srv/site") },
        File {
            source: Some("keys/ada.pub".into()),
            mode: Some("600".into()),
            owner: Some("7".into()),
            ..file("/etc/key")
        },
        File { secret: Some("token".into()), owner: Some("7:8".into()), ..file("/etc/token") },
    ];
    let (tree, notes) = on_debian(&Setup { files, ..users(&[ada()]) }).unwrap();
    for (path, uid, gid, permissions) in [
        ("/etc/motd", 0, 0, 0o644),
        ("/opt/bin/x", 1001, 27, 0o4755),
        ("/srv/site", 33, 33, 0o755),
        ("/srv/site/a/index.html", 33, 33, 0o644),
        ("/etc/key", 7, 7, 0o600),
        ("/etc/token", 7, 8, 0o600),
    ] {
        let meta = meta(&tree, path);
        assert_eq!((meta.uid, meta.gid, meta.permissions), (uid, gid, permissions), "{path}");
    }
    assert_eq!(text(&tree, "/etc/token").unwrap(), "abc");
    assert!(!notes.concat().contains("abc"), "{notes:?}");
}

#[test]
fn services_are_switched_as_systemctl_does() {
    let services = |enable: &[&str], disable: &[&str], mask: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        Setup {
            services: Services { enable: names(enable), disable: names(disable), mask: names(mask) },
            ..Setup::default()
        }
    };
    let link = "/etc/systemd/system/multi-user.target.wants/web.service";
    let (tree, notes) = on_debian(&services(&["web"], &[], &["other.timer"])).unwrap();
    assert!(tree.lookup(link).is_some());
    assert!(systemd::is_masked(&tree, "other.timer"));
    assert_eq!(notes, ["systemd: other.timer masked", "systemd: web.service enabled"]);

    let enabled = [(link, "-> /usr/lib/systemd/system/web.service")];
    let (tree, _) =
        set_up_on(&[&DEBIAN[..], &enabled].concat(), &services(&[], &["web.service"], &[])).unwrap();
    assert!(tree.lookup(link).is_none());

    let masked = [("/etc/systemd/system/web.service", "-> /dev/null")];
    let (tree, _) = set_up_on(&[&DEBIAN[..], &masked].concat(), &services(&["web"], &[], &[])).unwrap();
    assert!(tree.lookup(link).is_some() && !systemd::is_masked(&tree, "web.service"));

    let own = [("/etc/systemd/system/own.service", "[Unit]\n")];
    let error = set_up_on(&[&DEBIAN[..], &own].concat(), &services(&[], &[], &["own"])).unwrap_err();
    assert!(error.to_string().contains("cannot be masked"), "{error}");
}

#[test]
fn services_of_openrc_are_in_runlevels() {
    let services = |enable: &str, disable: &str, mask: &str| {
        let names = |name: &str| (!name.is_empty()).then(|| name.to_owned()).into_iter().collect();
        Setup {
            services: Services { enable: names(enable), disable: names(disable), mask: names(mask) },
            ..Setup::default()
        }
    };
    let (tree, _) = set_up_on(&ALPINE, &services("sshd.service", "", "")).unwrap();
    assert!(tree.lookup("/etc/runlevels/default/sshd").is_some());
    let syslog = [("/etc/init.d/syslog", "")];
    let (tree, _) = set_up_on(&[&ALPINE[..], &syslog].concat(), &services("", "syslog", "")).unwrap();
    assert!(tree.lookup("/etc/runlevels/boot/syslog").is_none());
    assert!(set_up_on(&ALPINE, &services("none", "", "")).is_err());
    assert!(set_up_on(&ALPINE, &services("", "", "sshd")).is_err());
}

#[test]
fn alpine_has_no_gshadow_and_doas() {
    let user = User { sudo: true, groups: vec!["wheel".into()], ..ada() };
    let (tree, _) = set_up_on(&ALPINE, &users(&[user])).unwrap();
    assert!(tree.lookup("/etc/gshadow").is_none());
    assert_eq!(line(&tree, "/etc/group", "wheel"), "wheel:x:10:root,ada");
    assert_eq!(line(&tree, "/etc/passwd", "ada"), "ada:x:1000:1000::/home/ada:/bin/sh");
    assert_eq!(text(&tree, "/etc/doas.d/90-vmimage-ada.conf").unwrap(), "permit nopass ada\n");
}

#[test]
fn time_zone_locale_and_modules_are_where_each_distribution_looks() {
    let setup = Setup {
        timezone: Some("Europe/Berlin".into()),
        locale: Some("de_DE.UTF-8".into()),
        modules: vec!["nbd".into(), "zram".into()],
        ..Setup::default()
    };
    let old = [("/etc/default/locale", "LANG=C\nLC_TIME=C")];
    let (tree, _) = set_up_on(&[&DEBIAN[..], &old].concat(), &setup).unwrap();
    assert_eq!(text(&tree, "/etc/localtime").unwrap(), "TZif2");
    assert_eq!(text(&tree, "/etc/timezone").unwrap(), "Europe/Berlin\n");
    assert_eq!(text(&tree, "/etc/default/locale").unwrap(), "LC_TIME=C\nLANG=de_DE.UTF-8\n");
    assert_eq!(text(&tree, "/etc/modules-load.d/vmimage.conf").unwrap(), "nbd\nzram\n");

    let zone = [("/usr/share/zoneinfo/Europe/Berlin", "TZif2")];
    let (tree, _) = set_up_on(&[&ALPINE[..], &zone].concat(), &setup).unwrap();
    assert_eq!(text(&tree, "/etc/profile.d/vmimage-locale.sh").unwrap(), "export LANG=de_DE.UTF-8\n");
    assert!(tree.lookup("/etc/timezone").is_none());
}

/// A name that leads out of its line never gets as far as a file.
#[test]
fn hostile_files_of_the_image_break_nothing() {
    for (path, content) in [
        ("/etc/passwd", "ada\n:::\n\nada:x\n"),
        ("/etc/shadow", "ada\nada:\n"),
        ("/etc/group", ":\nada:x\n"),
        ("/etc/passwd", "-> /etc/shadow"),
        ("/etc/skel/loop", "-> /etc/skel"),
        ("/home", "-> /nowhere"),
    ] {
        let files: Vec<_> =
            DEBIAN.into_iter().filter(|(known, _)| *known != path).chain([(path, content)]).collect();
        let (tree, _) = set_up_on(&files, &users(&[ada()])).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text(&tree, "/etc/passwd").unwrap().contains("ada:x:"));
    }
}

/// A row such as `::1000` has no name, and a number all the same; each that was asked for looked through all of them.
#[test]
fn numbers_that_are_all_taken_are_told() {
    let rows =
        |numbers: std::ops::Range<u32>| numbers.map(|number| format!("::{number}\n")).collect::<String>();
    let user = |name: String| User { name, ..User::default() };
    let group = |name: String| Group { name, ..Group::default() };
    for (taken, count, is_right) in [
        (1000..60_000, 1, false),
        (1000..59_999, 1, true),
        (1000..59_999, 2, false),
        (1000..59_000, 1000, true),
        (0..65_536, 1, false),
    ] {
        let files =
            [("/etc/passwd", rows(taken.clone())), ("/etc/group", rows(0..1000)), ("/bin/sh", String::new())];
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let users =
            Setup { users: (0..count).map(|at| user(format!("u{at}"))).collect(), ..Setup::default() };
        let groups =
            Setup { groups: (0..count).map(|at| group(format!("g{at}"))).collect(), ..Setup::default() };
        for setup in [users, groups] {
            let made = set_up_on(&files, &setup).map(|(_, notes)| notes.len());
            assert_eq!(made.as_ref().ok(), is_right.then_some(&count), "{taken:?} {count} {made:?}");
            let said = "/etc/passwd and /etc/group: no number from 1000 to 59999 is free";
            assert!(made.err().is_none_or(|error| error.to_string() == said));
        }
    }
}

/// Each of them read and wrote all files.
#[test]
fn many_users_and_keys_are_set_up_at_once() {
    let members: String = (0..90_000).map(|at| format!(",m{at}")).collect();
    let files = [("/bin/sh", ""), ("/etc/group", &format!("sudo:x:27:{}\n", &members[1..]))];
    let names: Vec<_> = (0..2000).map(|at| format!("u{at}")).collect();
    let user =
        |name: &String| User { name: name.clone(), groups: vec!["sudo".into(); 100], ..User::default() };
    let group = Group { name: "all".into(), members: names.clone(), ..Group::default() };
    let users = names
        .iter()
        .take(100)
        .map(user)
        .chain(names.iter().skip(100).map(|name| User { name: name.clone(), ..User::default() }));
    let setup = Setup { users: users.collect(), groups: vec![group], ..Setup::default() };
    let (tree, _) = set_up_on(&files, &setup).unwrap();
    let group = text(&tree, "/etc/group").unwrap();
    assert!(group.contains(",m89999,u0,u1,"), "each once, at the end");
    assert!(group.contains(&format!("all:x:1000:{}\n", names.join(","))));
    assert_eq!(text(&tree, "/etc/passwd").unwrap().lines().count(), 2000);

    let keys: String = (0..40_000).map(|at| format!("ssh-rsa AAAA{at}\n")).collect();
    let mut materials = materials();
    materials.secrets.insert("many".into(), keys.clone().into_bytes());
    let keys_of = Keys::Secret(Secret { secret: "many".into() });
    let ada = User { name: "ada".into(), authorized_keys: vec![keys_of.clone(), keys_of], ..User::default() };
    let setup = Setup { users: vec![ada], ..Setup::default() };
    let mut tree = crate::tree::testing::tree(&files);
    let os = os::detect(&tree).unwrap();
    set_up(&mut Editor::new(&mut tree, Time::default()), &os, &setup, &materials, &Seed::new(b"")).unwrap();
    assert_eq!(tree.read("/home/ada/.ssh/authorized_keys", 2 << 20).unwrap().unwrap(), keys.into_bytes());
}
