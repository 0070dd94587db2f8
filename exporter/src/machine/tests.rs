use super::*;
use crate::fs::{FileSystem, VolumeId};
use crate::seed::Uuid;
use crate::tree::os;
use crate::tree::testing::{text, tree};

const UNIT_DIRECTORY: &str = "/usr/lib/systemd/system";

fn mount(point: &str, id: VolumeId, file_system: FileSystem) -> Mount {
    let found_by = FsSpec::Id(id);
    Mount { point: point.into(), found_by, file_system, options: String::new(), is_covered: false }
}

fn machine() -> Machine {
    Machine {
        mounts: vec![
            mount("/", VolumeId::Uuid(Uuid([0x11; 16])), FileSystem::Ext4),
            mount("/boot/efi", VolumeId::Serial(0x1234_abcd), FileSystem::Vfat),
        ],
        opened: Vec::new(),
        swaps: Vec::new(),
        hostname: None,
        network: crate::spec::Network::default(),
        serial: Some("ttyS0".into()),
        grows: Some("/".into()),
        is_labelled_at_boot: true,
        grow: Some(Arc::from(*b"program")),
        time: Time { seconds: 1_700_000_000, nanoseconds: 0 },
    }
}

fn make_machine(tree: &mut Tree) -> Result<Vec<String>> {
    let os = os::detect(tree)?;
    let editor = &mut Editor::new(tree, machine().time);
    let service = plan_service(editor, &crate::spec::Service::Off, None)?;
    let mut notes = forget_container(editor)?;
    notes.extend(apply(tree, &os, &machine(), &service)?);
    Ok(notes)
}

fn debian() -> Tree {
    tree(&[
        ("/.dockerenv", ""),
        ("/bin", "-> usr/bin"),
        ("/lib", "-> usr/lib"),
        ("/sbin", "-> usr/sbin"),
        ("/etc/os-release", "ID=debian\n"),
        ("/usr/sbin/init", "-> /lib/systemd/systemd"),
        ("/usr/lib/systemd/systemd", ""),
        ("/usr/lib/systemd/system/systemd-networkd.service", "[Install]\nWantedBy=multi-user.target\n"),
        ("/usr/lib/systemd/system/systemd-resolved.service", "[Install]\nWantedBy=sysinit.target\n"),
        ("/usr/lib/systemd/system/getty@.service", "[Install]\nWantedBy=getty.target\n"),
        ("/var/log/apt/history.log", "today\n"),
        ("/var/log/dpkg.log", "today\n"),
        ("/var/log/wtmp", "yesterday\n"),
    ])
}

#[test]
fn a_debian_container_becomes_a_machine() {
    let mut tree = debian();
    let notes = make_machine(&mut tree).unwrap();
    assert_eq!(
        notes,
        [
            "/.dockerenv: removed",
            "/etc/machine-id: emptied, generated at boot",
            "/etc/fstab: / is UUID=11111111-1111-1111-1111-111111111111",
            "/etc/fstab: /boot/efi is UUID=1234-ABCD",
            "/etc/hostname: debian",
            "/etc/hosts: 127.0.0.1 localhost, ::1 localhost, 127.0.1.1 debian added",
            "/etc/systemd/network: DHCP on every Ethernet card",
            "systemd: systemd-networkd enabled",
            "systemd: systemd-resolved enabled",
            "/etc/resolv.conf: link to ../run/systemd/resolve/stub-resolv.conf",
            "systemd: login on tty1 enabled",
            "/usr/lib/vmimage/vmimage-grow: installed, the root grows with the disk",
        ]
    );
    let wanted = tree.resolve("/etc/systemd/system/local-fs.target.wants/vmimage-grow.service");
    assert_eq!(wanted, tree.lookup(format!("{UNIT_DIRECTORY}/vmimage-grow.service")));
    assert!(wanted.is_some());
    assert_eq!(tree.inode(tree.resolve("/usr/lib/vmimage/vmimage-grow").unwrap()).meta.permissions, 0o755);
}

#[test]
fn what_only_records_the_build_goes() {
    let time = |seconds| Time { seconds, nanoseconds: 0 };
    let mut tree = debian();
    let notes = forget_build(&mut Editor::new(&mut tree, time(5)), time(3));
    assert_eq!(notes, ["/var/log/dpkg.log: removed", "/var/log/apt: emptied"]);
    assert!(tree.lookup("/var/log/apt").is_some() && tree.lookup("/var/log/apt/history.log").is_none());
    assert_eq!(text(&tree, "/var/log/wtmp").as_deref(), Some("yesterday\n"));
    assert!(tree.walk().all(|(_, _, id)| tree.inode(id).meta.mtime <= time(3)));
}

/// A `vmimage` of `cargo build` alone has no such program, and none of another architecture.
#[test]
fn a_machine_that_does_not_grow_is_told() {
    let inits =
        [("/usr/lib/systemd/systemd", "systemd"), ("/sbin/openrc", "OpenRC"), ("/sbin/init", "sysvinit")];
    for (init, name) in inits {
        for grow in [None, machine().grow] {
            let mut tree = tree(&[(init, ""), ("/etc/os-release", "ID=x\n")]);
            let os = os::detect(&tree).unwrap();
            let service =
                plan_service(&mut Editor::new(&mut tree, machine().time), &crate::spec::Service::Off, None);
            let machine = Machine { grow: grow.clone(), ..machine() };
            let notes = apply(&mut tree, &os, &machine, &service.unwrap()).unwrap();
            let is_told = notes.iter().any(|note| note.starts_with("growth: none"));
            assert_eq!(is_told, grow.is_none(), "{name}: {notes:?}");
        }
    }
}

#[test]
fn a_second_time_changes_nothing() {
    let mut tree = debian();
    make_machine(&mut tree).unwrap();
    let once = tree.dump(Default::default()).unwrap();
    make_machine(&mut tree).unwrap();
    assert_eq!(tree.dump(Default::default()).unwrap(), once);
}

/// Every path that is written, as a link to a file of this machine: the link is replaced or stays, and
/// what it names here is never read or written.
#[test]
fn links_to_files_of_this_machine_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "UUID=evil / ext4\nnameserver 6.6.6.6\n").unwrap();
    let target = format!("-> {}", victim.display());
    let mut entries = vec![("/etc/os-release", "ID=evil\n"), ("/usr/lib/systemd/systemd", "")];
    for path in [
        "/etc/fstab",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/machine-id",
        "/etc/network/interfaces",
        "/etc/ssh/ssh_host_rsa_key",
        "/usr/sbin/policy-rc.d",
        "/usr/lib/vmimage/vmimage-grow",
        "/usr/lib/systemd/system/vmimage-grow.service",
        "/usr/lib/systemd/system/systemd-growfs-root.service.d/vmimage.conf",
        "/etc/cloud/cloud.cfg",
        "/etc/cloud/cloud.cfg.d/00_vmimage.cfg",
        "/var/log/dpkg.log",
        "/var/log/apt",
        "/run",
        "/tmp",
    ] {
        entries.push((path, &target));
    }
    let mut tree = tree(&entries);
    make_machine(&mut tree).unwrap();
    forget_build(&mut Editor::new(&mut tree, Time::default()), Time::default());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "UUID=evil / ext4\nnameserver 6.6.6.6\n");
    assert!(!text(&tree, "/etc/fstab").unwrap().contains("evil"));
    assert_eq!(text(&tree, "/usr/lib/vmimage/vmimage-grow").unwrap(), "program");
}

/// Directories as links: `/etc -> /somewhere` leads to a directory of the tree.
#[test]
fn links_to_directories_lead_to_places_of_the_tree() {
    let mut tree = tree(&[
        ("/etc", "-> /tmp/vmimage-elsewhere/../etc2"),
        ("/usr", "-> ../../u"),
        ("/usr/lib/systemd/systemd", ""),
    ]);
    make_machine(&mut tree).unwrap();
    assert!(tree.lookup("/u/lib/systemd/systemd").is_some());
    assert!(!std::path::Path::new("/tmp/vmimage-elsewhere").exists());
}

#[test]
fn what_cannot_be_written_is_an_error_and_no_panic() {
    for (path, content) in
        [("/etc", "a file"), ("/etc", "-> etc"), ("/etc/fstab/", ""), ("/usr/lib", "-> /usr/lib")]
    {
        let mut tree = tree(&[(path, content)]);
        let error = make_machine(&mut tree);
        assert!(error.is_err() || path == "/usr/lib", "{path} {content}");
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    /// Paths the edits touch, and some around them.
    const PATHS: [&str; 16] = [
        "/etc",
        "/etc/fstab",
        "/etc/hosts",
        "/etc/systemd",
        "/etc/systemd/system",
        "/etc/machine-id",
        "/etc/inittab",
        "/etc/ssh",
        "/lib",
        "/run",
        "/sbin/init",
        "/sbin/openrc",
        "/usr/lib",
        "/usr/lib/systemd/systemd",
        "/var/lib/dhcp",
        "/tmp",
    ];

    /// A hostile tree: any of these paths is a link to any other, a directory or a file.
    fn hostile() -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let path = prop::sample::select(&PATHS[..]);
        let link = (path.clone(), "(\\.\\./){0,3}").prop_map(|(path, up)| format!("-> {up}{path}"));
        let content = prop_oneof![
            link,
            Just("-> ..".to_owned()),
            "[\\PC\n=:#]{0,40}",
            Just("[Install]\nAlso=x".to_owned())
        ];
        prop::collection::vec((path, content), 0..12)
    }

    proptest! {
        #[test]
        fn no_tree_makes_the_edits_panic(entries in hostile()) {
            let mut tree = Tree::new(Default::default());
            let mut editor = Editor::new(&mut tree, Time::default());
            for (path, content) in &entries {
                // Some of these cannot be made below the others.
                let _ = match content.strip_prefix("-> ") {
                    Some(target) => editor.symlink(path, target),
                    None => editor.write_file(path, content.as_bytes(), 0o644),
                };
            }
            if make_machine(&mut tree).is_ok() {
                prop_assert!(text(&tree, "/etc/fstab").unwrap().starts_with("UUID=11111111-"));
            }
        }
    }
}
