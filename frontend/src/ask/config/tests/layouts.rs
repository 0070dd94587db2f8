//! Layouts, and what goes with them: slots, updates, bundles.

use exporter::spec::layout::slots;

use super::*;

/// The TOML of the page, each block a file.
fn recipes() -> Vec<String> {
    let page = include_str!("../../../../../docs/layouts.md");
    let blocks = page.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_layouts_of_the_page_are_right() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 12);
    for recipe in &recipes {
        let config = Config::parse("vmimage.toml", recipe).unwrap_or_else(|problems| panic!("{problems}"));
        assert_ne!(config, Config::default());
    }
    let mut asked = crate::ask::Asked::default();
    let config = Config::parse("vmimage.toml", &recipes[0]).unwrap();
    Configuration { config, ..Configuration::default() }.ask(&mut asked);
    let labels: Vec<_> = slots(&asked.spec).into_iter().map(|slot| slot.label).collect();
    assert_eq!(labels, ["bios", "esp", "boot", "root", "srv"]);
}

#[test]
fn what_is_asked_of_good_boots_is_told_at_its_key() {
    are_wrong(&[
        ("layout = \"ab\"\n[update]\nhealthy = \"\"", "3:11", "update.healthy: is no line of shell"),
        (
            "layout = \"ab\"\n[update]\ndeadline = 5",
            "3:12",
            "update.deadline: is not between 10 and 86400 seconds",
        ),
        ("layout = \"ab\"\n[update]\ntries = 0", "3:9", "update.tries: is not between 1 and 9"),
        (
            "layout = \"ab\"\n[update]\nfrom = \"/srv/update\"",
            "3:8",
            "update.from is \"/srv/update\": expected the URL of a folder, or a reference in a registry",
        ),
        ("layout = \"ab\"\n[update]\nevery = \"6h\"", "3:9", "update.every: needs from: where to look"),
        (
            "layout = \"ab\"\n[update]\nfrom = \"a/b\"\nevery = \"often\"",
            "4:9",
            "update.every is \"often\": expected a time from 10s to 365d, a number with s, m, h or d, such as 6h",
        ),
        (
            "layout = \"ab\"\n[update]\nfrom = \"a/b\"\nwindow = \"02:00-04:00\"",
            "4:10",
            "update.window: needs every: the machine restarts by itself then alone",
        ),
        (
            "layout = \"ab\"\n[update]\nwindow = \"2-4\"",
            "3:10",
            "update.window is \"2-4\": expected two times of day",
        ),
        (
            "layout = \"ab\"\n[update]\nca = \"ca.pem\"",
            "3:6",
            "update.ca is \"ca.pem\": expected a path from the root on",
        ),
        (
            "layout = \"ab\"\n[update]\ncertificate = \"/a\"",
            "3:15",
            "update.certificate: needs key: the key of the certificate",
        ),
        (
            "layout = \"ab\"\n[update]\npublic-key = [\"RW\"]",
            "3:15",
            "update.public-key is \"RW\": expected a public key of minisign",
        ),
        (
            "layout = \"ab\"\n[update]\nsign = \"a/b\"",
            "3:8",
            "update.sign is \"a/b\": expected the id of a secret",
        ),
        (
            "layout = \"ab\"\n[update]\nsign = [\"a\", \"a\"]",
            "3:8",
            "update.sign: has other than one key of minisign and one of GPG",
        ),
        ("[update]\ntries = 3", "1:1", "update: is of a machine that has another root to go back to"),
        (
            "format = \"update\"",
            "1:10",
            "format: has update, the root for a machine that has two: ask for layout = \"ab\"",
        ),
    ]);
}

#[test]
fn what_no_bundle_comes_of_is_told_at_its_key() {
    let certificate = "rauc.certificate: is not said, and a bundle of RAUC is always signed";
    are_wrong(&[
        ("layout = \"ab\"\nformat = \"rauc\"", "2:10", certificate),
        ("layout = \"ab\"\nformat = \"rauc\"\n[rauc]\nkey = \"release\"", "3:1", certificate),
        (
            "[rauc]\nkey = \"release\"",
            "1:1",
            "rauc: is of a machine that has two roots: ask for layout = \"ab\"",
        ),
        ("layout = \"ab\"\n[rauc]\nkey = \"a b\"", "3:7", "rauc.key is \"a b\": expected "),
        ("layout = \"ab\"\n[rauc]\nkeyring = \"/ca.crt\"", "3:11", "rauc.keyring is \"/ca.crt\": expected "),
    ]);
}

#[test]
fn what_no_firmware_starts_is_told_at_its_key() {
    are_wrong(&[
        ("uki = true", "1:7", "uki: needs loader = \"systemd-boot\""),
        ("[secure-boot]\nenroll = \"keys\"", "1:1", "secure-boot: needs loader = \"systemd-boot\""),
        ("layout = \"ab\"\n[grub]\nkey = \"a\"", "3:7", "grub.key: is of disks with one root so far"),
        ("[grub]\nkey = \"a\"\npassword = { secret = \"b\" }", "2:7", "grub.key: goes with no password"),
        ("[grub]\nkey = \"a b\"", "2:7", "grub.key is \"a b\": expected the id of a secret"),
        (
            "loader = \"systemd-boot\"\nuki = true\nlayout = \"ab\"",
            "2:7",
            "uki: is signed once for both slots, so it names neither",
        ),
        (
            "loader = \"systemd-boot\"\n[secure-boot]\nkey = \"db\"",
            "3:7",
            "secure-boot.key: needs certificate: what the key is of",
        ),
        (
            "loader = \"systemd-boot\"\n[secure-boot]\nenroll-mode = \"never\"",
            "3:15",
            "secure-boot.enroll-mode is \"never\": one of if-safe, force, manual",
        ),
        (
            "loader = \"systemd-boot\"\n[secure-boot]\nkey = \"a b\"\ncertificate = \"c\"",
            "3:7",
            "secure-boot.key is \"a b\": expected the id of a secret",
        ),
    ]);
}

#[test]
fn a_wrong_layout_is_told_all_at_once_with_the_place_of_each_key() {
    for (text, places) in [
        (
            "[[partitions]]\ntype = \"esp\"\n[[partitions]]\ntype = \"srv\"\ngrow = true\nmount = \"/proc\"\n\
             [[partitions]]\ntype = \"home\"\nsize = \"1G\"\nmax = \"2G\"",
            &[
                "1:1: partitions: one partition has the tree (mount = \"/\"), and here are 0",
                "5:8: partitions.grow: srv cannot grow at boot: there are partitions behind it",
                "6:9: partitions.mount: /proc is made anew at each boot",
                "9:8: partitions.size: size is in place of min and max",
            ][..],
        ),
        (
            "layout = \"simple\"\nprofile = \"data\"",
            &["1:10: layout: layout is for machines: profile is data", "partitions: a disk of files has no"],
        ),
        (
            "sector-size = 4096\nformat = \"vmdk\"",
            &["1:15: sector-size: a vmdk disk has sectors of 512 bytes"],
        ),
        (
            "layout = \"simple\"\n[persist]\nbind = [\"/var\", \"/etc/ssh\"]\n[[partitions]]\ntype = \"srv\"",
            &[
                "2:1: persist: what is kept lies on a partition",
                "3:8: persist.bind: /etc/ssh lies in /etc, which",
            ],
        ),
        (
            "layout = \"simple\"\n[[partitions]]\ntype = \"root\"\nlabel = \"a\"\n[[partitions]]\ntype = \"esp\"\nlabel = \"a\"",
            &["4:9: partitions.label: two partitions have the label \"a\""],
        ),
    ] {
        let shown = problems(text);
        for place in places {
            assert!(shown.contains(place), "{place}:\n{shown}");
        }
        assert_eq!(shown.matches("vmimage.toml:").count(), places.len(), "{shown}");
    }
    are_wrong(&[
        (
            "[[partitions]]\ntype = \"server\"",
            "2:8",
            "partitions.type is \"server\": expected esp, xbootldr, root,",
        ),
        ("[[partitions]]\nsize = \"1G\"", "1:1", "partitions: the key type is required"),
        (
            "[[partitions]]\ntype = \"srv\"\nsize = \"big\"",
            "3:8",
            "partitions.size is \"big\": expected a number with",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nmount = \"srv\"",
            "3:9",
            "partitions.mount is \"srv\": expected / or a path",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = \"a/../b\"",
            "3:10",
            "partitions.source is \"a/../b\": expected a path of the image",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = { from = \"$A\", path = \"/a\" }",
            "3:19",
            "partitions.source.from is \"$A\": expected the name of a stage",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = { stage = \"a\" }",
            "3:12",
            "unknown key partitions.source.stage: ",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nfilesystem = \"ntfs\"",
            "3:14",
            "partitions.filesystem is \"ntfs\": one of ext4",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nattributes = [\"x\"]",
            "3:15",
            "partitions.attributes is \"x\": one of req",
        ),
        ("[[partitions]]\ntype = \"srv\"\nuuid = \"1\"", "3:8", "partitions.uuid is \"1\": expected a UUID"),
        ("sector-size = 1024", "1:15", "sector-size is \"1024\": one of 512, 4096"),
        ("[persist]\noverlay = [\"etc\"]", "2:12", "persist.overlay is \"etc\": expected / or a path"),
        ("[persist]\nbinds = []", "2:1", "unknown key persist.binds: "),
    ]);
}

#[test]
fn only_builds_by_docker_know_other_stages() {
    let refused = |source: &str| {
        let text = format!(
            "[[partitions]]\ntype = \"esp\"\n[[partitions]]\ntype = \"root\"\n[[partitions]]\ntype = \"srv\"\nsource = {source}"
        );
        let config = Config::parse("f", &text).unwrap();
        let mut asked = crate::ask::Asked::default();
        Configuration { config, ..Configuration::default() }.ask(&mut asked);
        asked.refuse_stages().map_err(|error| error.to_string())
    };
    assert_eq!(refused("\"site\""), Ok(()));
    let said = refused("{ from = \"assets\", path = \"/site\" }").unwrap_err();
    assert!(said.starts_with("partitions.source: assets:/site is of a stage"), "{said}");
}
