use super::*;
use crate::tree::Editor;
use crate::tree::testing::tree;

#[test]
fn debian_keeps_links_to_the_newest() {
    let tree = tree(&[
        ("/lib", "-> usr/lib"),
        ("/boot/vmlinuz-6.1.0-9-amd64", ""),
        ("/boot/initrd.img-6.1.0-9-amd64", ""),
        ("/boot/vmlinuz-6.1.0-10-amd64", ""),
        ("/boot/initrd.img-6.1.0-10-amd64", ""),
        ("/boot/vmlinuz-7.0", ""),
        ("/usr/lib/modules/6.1.0-10-amd64/", ""),
        ("/usr/lib/modules/6.1.0-9-amd64/", ""),
        ("/vmlinuz", "-> boot/vmlinuz-6.1.0-10-amd64"),
        ("/initrd.img", "-> boot/initrd.img-6.1.0-10-amd64"),
    ]);
    let kernel = chosen(&tree).unwrap();
    let stable = StableLinks { image: "/vmlinuz".into(), initramfs: Some("/initrd.img".into()) };
    assert_eq!(kernel.version, "6.1.0-10-amd64");
    assert_eq!(kernel.initramfs.as_deref(), Some("/boot/initrd.img-6.1.0-10-amd64"));
    assert_eq!(kernel.modules.as_deref(), Some("/lib/modules/6.1.0-10-amd64"));
    assert_eq!(kernel.stable, Some(stable));
    let versions: Vec<_> =
        all(&tree).unwrap().into_iter().map(|kernel| (kernel.version, kernel.stable.is_some())).collect();
    assert_eq!(versions[1..], [("6.1.0-9-amd64".to_owned(), false), ("7.0".to_owned(), false)]);
}

/// A kernel with its initramfs, for each.
fn kernels(labels: &[&str], more: &[(&str, &str)]) -> Tree {
    let mut files: Vec<(String, &str)> = Vec::new();
    for label in labels {
        files.push((format!("/boot/vmlinuz-{label}"), label));
        files.push((format!("/boot/initrd.img-{label}"), ""));
        files.push((format!("/lib/modules/{label}/"), ""));
    }
    let files = files.iter().map(|(path, text)| (path.as_str(), *text));
    tree(&files.chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn a_kernel_of_the_images_own_layers_is_the_machines() {
    let cloud = "under /boot/vmlinuz-6.1-cloud\n";
    let link = ("/vmlinuz", "-> boot/vmlinuz-6.1-cloud");
    for (record, more, first) in [
        (cloud, &[][..], "6.1"),
        // What has been installed under the layers is no matter then.
        (cloud, &[link, ("/initrd.img", "-> boot/initrd.img-6.1-cloud")], "6.1"),
        ("", &[], "6.1-cloud"),
        ("under /boot/vmlinuz-6.1\n", &[], "6.1-cloud"),
        ("under /boot/vmlinuz-6.1\nunder /boot/vmlinuz-6.1-cloud\n", &[], "6.1-cloud"),
        // `--kernel` decides otherwise.
        ("under /boot/vmlinuz-6.1-cloud\nasked /boot/vmlinuz-6.1-cloud\n", &[], "6.1-cloud"),
        // The distribution's links, where nobody knows more.
        ("", &[("/vmlinuz", "-> boot/vmlinuz-6.1"), ("/initrd.img", "-> boot/initrd.img-6.1")], "6.1"),
        // One without an initramfs does not boot.
        (cloud, &[("/boot/vmlinuz-7.0", "no initramfs")], "6.1"),
        ("garbage\n\nasked\nasked /etc/passwd\n", &[], "6.1-cloud"),
    ] {
        let tree = kernels(&["6.1-cloud", "6.1"], &[more, &[(RECORD, record)]].concat());
        assert_eq!(chosen(&tree).unwrap().version, first, "{record} {more:?}");
    }
}

#[test]
fn what_gets_our_initramfs_needs_none_of_its_own() {
    let tree =
        kernels(&["6.1"], &[("/boot/vmlinuz-7.0", "no initramfs"), (RECORD, "under /boot/vmlinuz-6.1\n")]);
    assert_eq!(chosen(&tree).unwrap().version, "6.1");
    assert_eq!(chosen_for_ours(&tree).unwrap().version, "7.0");
    let asked = (RECORD, "asked /boot/vmlinuz-6.1\n");
    let tree = kernels(&["6.1"], &[("/boot/vmlinuz-7.0", "no initramfs"), asked]);
    assert_eq!(chosen_for_ours(&tree).unwrap().version, "6.1");
    assert!(chosen_for_ours(&kernels(&[], &[])).is_err());
}

#[test]
fn a_record_knows_kernels_by_flavour_and_beside_their_modules() {
    let alpine = tree(&[
        ("/boot/vmlinuz-virt", "virt"),
        ("/boot/initramfs-virt", ""),
        ("/boot/vmlinuz-lts", "lts"),
        ("/boot/initramfs-lts", ""),
        ("/lib/modules/6.18.57-0-virt/", ""),
        ("/lib/modules/6.18.56-0-lts/", ""),
        (RECORD, "under /boot/vmlinuz-virt\n"),
    ]);
    assert_eq!(chosen(&alpine).unwrap().image, "/boot/vmlinuz-lts");
    let fedora = tree(&[
        ("/lib/modules/6.17.1/vmlinuz", "a"),
        ("/lib/modules/6.17.1/initramfs.img", ""),
        ("/lib/modules/6.16.9-rt/vmlinuz", "b"),
        ("/lib/modules/6.16.9-rt/initramfs.img", ""),
        (RECORD, "under /lib/modules/6.17.1/vmlinuz\n"),
    ]);
    assert_eq!(chosen(&fedora).unwrap().version, "6.16.9-rt");
    let arch = kernels(&["linux", "linux-lts"], &[(RECORD, "under /boot/vmlinuz-linux-lts\n")]);
    assert_eq!(chosen(&arch).unwrap().image, "/boot/vmlinuz-linux");
}

#[test]
fn links_of_the_distribution_lead_to_the_kernel_that_boots() {
    for (image_link, initramfs_link, before, after) in [
        (
            "/vmlinuz",
            "/initrd.img",
            ["-> boot/vmlinuz-2", "-> boot/initrd.img-2"],
            ["boot/vmlinuz-1", "boot/initrd.img-1"],
        ),
        (
            "/boot/vmlinuz",
            "/boot/initrd.img",
            ["-> vmlinuz-2", "-> initrd.img-2"],
            ["vmlinuz-1", "initrd.img-1"],
        ),
        ("/boot/vmlinuz", "/boot/initrd", ["-> vmlinuz-2", "-> initrd.img-2"], ["vmlinuz-1", "initrd.img-1"]),
    ] {
        let links = [(image_link, before[0]), (initramfs_link, before[1])];
        let mut tree = kernels(&["1", "2"], &links);
        let mut kernel = all(&tree).unwrap().into_iter().find(|kernel| kernel.version == "1").unwrap();
        let mut editor = Editor::new(&mut tree, Default::default());
        assert_eq!(point_links(&mut editor, &mut kernel).unwrap().len(), 2);
        let stable = StableLinks { image: image_link.into(), initramfs: Some(initramfs_link.into()) };
        assert_eq!(kernel.stable, Some(stable));
        for (link, target) in [image_link, initramfs_link].into_iter().zip(after) {
            let id = tree.lookup(link).unwrap();
            assert!(
                matches!(&tree.inode(id).kind, InodeKind::Symlink(to) if **to == *target.as_bytes()),
                "{link}"
            );
        }
        // They lead there already, and none is made where there is none.
        assert!(
            point_links(&mut Editor::new(&mut tree, Default::default()), &mut kernel).unwrap().is_empty()
        );
    }
    let mut tree = kernels(&["1"], &[("/vmlinuz", "a file")]);
    let mut kernel = chosen(&tree).unwrap();
    assert!(point_links(&mut Editor::new(&mut tree, Default::default()), &mut kernel).unwrap().is_empty());
    assert_eq!(kernel.stable, None);
}

#[test]
fn alpine_names_kernels_by_flavour() {
    let tree = tree(&[
        ("/boot/vmlinuz-virt", ""),
        ("/boot/initramfs-virt", ""),
        ("/boot/boot", "-> ."),
        ("/lib/modules/6.18.56-0-virt/", ""),
    ]);
    let kernel = chosen(&tree).unwrap();
    assert_eq!((&*kernel.version, &*kernel.image), ("6.18.56-0-virt", "/boot/vmlinuz-virt"));
    assert_eq!(kernel.initramfs.as_deref(), Some("/boot/initramfs-virt"));
    assert_eq!(kernel.stable, None);
}

#[test]
fn arch_says_the_package_beside_the_modules() {
    let tree = tree(&[
        ("/boot/vmlinuz-linux", ""),
        ("/boot/initramfs-linux.img", ""),
        ("/usr/lib/modules/6.17.1-arch1-1/pkgbase", "linux\n"),
        ("/usr/lib/modules/6.12.9-1-lts/pkgbase", "linux-lts\n"),
        ("/lib", "-> usr/lib"),
    ]);
    assert_eq!(chosen(&tree).unwrap().version, "6.17.1-arch1-1");
}

#[test]
fn fedora_and_bootc_keep_kernels_beside_their_modules() {
    let fedora = tree(&[
        ("/lib", "-> usr/lib"),
        ("/usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz", ""),
        ("/boot/vmlinuz-6.17.1-300.fc43.x86_64", "-> ../usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz"),
        ("/boot/initramfs-6.17.1-300.fc43.x86_64.img", ""),
        ("/boot/vmlinuz-0-rescue-0123456789abcdef", "x"),
        ("/boot/initramfs-0-rescue-0123456789abcdef.img", "x"),
    ]);
    let kernels = all(&fedora).unwrap();
    assert_eq!(kernels.len(), 1);
    assert_eq!(kernels[0].image, "/boot/vmlinuz-6.17.1-300.fc43.x86_64");
    let spares: Vec<_> = spares(&fedora).unwrap().into_iter().map(|kernel| kernel.initramfs).collect();
    assert_eq!(spares, [Some("/boot/initramfs-0-rescue-0123456789abcdef.img".to_owned())]);

    let bootc = tree(&[
        ("/lib", "-> usr/lib"),
        ("/usr/lib/modules/6.17.1/vmlinuz", ""),
        ("/usr/lib/modules/6.17.1/initramfs.img", ""),
    ]);
    let kernel = chosen(&bootc).unwrap();
    assert_eq!(kernel.image, "/lib/modules/6.17.1/vmlinuz");
    assert_eq!(kernel.initramfs.as_deref(), Some("/lib/modules/6.17.1/initramfs.img"));
}

#[test]
fn a_plain_name_takes_the_version_of_the_only_modules() {
    let tree = tree(&[("/boot/vmlinuz", ""), ("/boot/initrd.img", ""), ("/lib/modules/5.4.1/", "")]);
    let kernel = chosen(&tree).unwrap();
    assert_eq!((&*kernel.version, kernel.initramfs.as_deref()), ("5.4.1", Some("/boot/initrd.img")));
}

#[test]
fn no_kernel_is_an_error_with_a_hint() {
    let tree = tree(&[("/boot/vmlinuz-1", "-> nowhere"), ("/boot/vmlinuz-2/", "")]);
    let error = chosen(&tree).unwrap_err();
    assert_eq!(*error.kind(), error::Kind::NotFound);
    assert!(error.hint().is_some());
}

#[test]
fn files_that_are_no_system_are_pointed_to_a_disk_for_data() {
    for (files, is_plain) in [
        (&[("/index.html", "hi")][..], true),
        (&[], true),
        (&[("/etc/hosts", ""), ("/app", "")], true),
        (&[("/etc/os-release", "ID=debian\n")], false),
        (&[("/usr/bin/busybox", ""), ("/bin", "-> usr/bin"), ("/usr/bin/sh", "-> busybox")], false),
    ] {
        let error = chosen(&tree(files)).unwrap_err();
        let points = error.hint().is_some_and(|hint| hint.to_string().contains("profile = \"data\""));
        assert_eq!(points, is_plain, "{files:?}");
    }
}

/// 20,000 of them were compared each with each.
#[test]
fn so_many_kernels_are_none() {
    let boot = |count: usize| (0..count).map(|at| (format!("/boot/vmlinuz-6.{at}"), at.to_string()));
    let modules = |count: usize| (0..count).map(|at| (format!("/lib/modules/6.{at}/"), String::new()));
    let most = limits::KERNELS;
    for (in_boot, beside, found) in
        [(most, most, Some(most)), (most + 1, 0, None), (0, most + 1, None), (20_000, 20_000, None)]
    {
        let files: Vec<_> = boot(in_boot).chain(modules(beside)).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let all = all(&tree(&files));
        assert_eq!(all.as_ref().ok().map(Vec::len), found);
        let said = "/boot and /lib/modules: more than 1000 kernels, which is the limit";
        assert!(all.err().is_none_or(|error| error.to_string() == said));
    }
}
