//! What steps leave for one another, and what of it is trusted, by each package manager's script with programs that
//! stand in for it: they say what a real one says of its index, and tell what they find before they install.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::scripts::{Sandbox, text};

const DOWNLOADS: &str = include_str!("downloads.sh");
/// What comes before `install_packages` is called.
const APT: &str = concat!(include_str!("downloads.sh"), include_str!("apt.sh"));
const DNF: &str = concat!(include_str!("downloads.sh"), include_str!("rpm.sh"), include_str!("dnf.sh"));
const ZYPPER: &str = concat!(include_str!("downloads.sh"), include_str!("rpm.sh"), include_str!("zypper.sh"));
const APK: &str = concat!(include_str!("apk.sh"), include_str!("apk-machine.sh"));
const PACMAN: &str = include_str!("pacman-machine.sh");

/// The archive that an index knows, and one of the same size that it does not.
const GOOD: &str = "good";
const POISON: &str = "evil";

fn sha256(content: &str) -> String {
    format!("{:x}", Sha256::digest(content))
}

/// A step of one package manager, whose cache anybody has written to.
struct Step(Sandbox);

impl Step {
    /// `body` is the manager's program; `$last` is its last argument.
    fn new(manager: &str, body: &str) -> Self {
        let step = Self(Sandbox::new());
        let path = step.path(&format!("bin/{manager}"));
        let program = format!("#!/bin/sh\nset -eu\nfor last; do :; done\n{LIST}{body}\n");
        fs::write(&path, program).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        step
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    /// What lies in the cache: a file's content, or `-> ` a link's target.
    fn kept(&self, name: &str, what: &str) {
        match what.strip_prefix("-> ") {
            Some(target) => symlink(target, self.path(&format!("cache/{name}"))).unwrap(),
            None => fs::write(self.path(&format!("cache/{name}")), what).unwrap(),
        }
    }

    /// Runs the script; what the manager found when it was to install, a line "PATH CONTENT" each.
    fn found(&self, script: &str) -> Vec<String> {
        // Every program of the manager is told of the folders.
        let folders: String = ["CACHE", "WORK"]
            .map(|name| format!("export {name}='{}'\n", self.path(&name.to_lowercase())))
            .concat();
        let done = self.0.run(&format!("set -eu\n{folders}{script}"), &[], &[]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout).lines().filter_map(|line| line.strip_prefix("found ")).map(str::to_owned).collect()
    }
}

/// Tells every archive below a folder.
const LIST: &str = r#"list() {
	for file in $(cd "$1" && find . -type f -name "*.$2" | sort); do echo "found ${file#./} $(cat "$1/$file")"; done
}
"#;

#[test]
fn apt_is_given_only_archives_that_the_lists_of_this_step_know() {
    for (digest, what, is_taken) in [
        (format!("SHA256:{}", sha256(GOOD)), GOOD, true),
        (format!("SHA256:{}", sha256(GOOD)), POISON, false),
        // Nobody knows what has no digest, or one that is worth nothing.
        ("MD5Sum:755f85c2723bb39381c7379a604160d8".to_owned(), GOOD, false),
        (String::new(), GOOD, false),
        (format!("SHA256:{}", sha256(GOOD)), "-> other", false),
    ] {
        let body = format!(
            "case \"$*\" in\n*--print-uris\\ *) echo 'Reading package lists...'; echo \"'http://m/p/a%3a1.deb' a_1%253a1_all.deb 4 {digest}\" ;;\n\
             *install*) list \"$WORK/archives\" deb ;;\nesac"
        );
        let step = Step::new("apt-get", &body);
        step.kept("a_1%253a1_all.deb", what);
        fs::write(step.path("cache/other"), GOOD).unwrap();
        // One that nothing asks for.
        step.kept("b_1_all.deb", GOOD);
        let expected = if is_taken { vec![format!("a_1%253a1_all.deb {GOOD}")] } else { Vec::new() };
        assert_eq!(step.found(&format!("{APT}install_packages a")), expected, "{digest} {what}");
    }
}

#[test]
fn pacman_is_given_only_archives_that_its_index_knows() {
    for (what, is_taken) in [(GOOD, true), (POISON, false), ("-> other", false)] {
        let body = format!(
            "case \"$*\" in\n*--print-format*) echo 'a-1:2-1-x86_64.pkg.tar.zst {}'; echo '../a {}' ;;\n\
             *-Su\\ *) list \"$WORK/pacman\" zst ;;\nesac",
            sha256(GOOD),
            sha256(GOOD)
        );
        let step = Step::new("pacman", &body);
        step.kept("a-1:2-1-x86_64.pkg.tar.zst", what);
        fs::write(step.path("cache/other"), GOOD).unwrap();
        fs::write(step.path("a"), GOOD).unwrap();
        let functions =
            &PACMAN[PACMAN.find("install_packages() {").unwrap()..PACMAN.find("restore_programs\n").unwrap()];
        let expected = if is_taken { vec![format!("a-1:2-1-x86_64.pkg.tar.zst {GOOD}")] } else { Vec::new() };
        assert_eq!(step.found(&format!("{DOWNLOADS}{functions}install_packages a")), expected, "{what}");
    }
}

/// An archive is a text here: whether it is whole, and what `apk index` says of it.
#[test]
fn apk_is_given_only_whole_archives_that_an_index_of_this_step_knows() {
    let body = r#"tell() { printf '%s\n' "$1" >"$WORK/APKINDEX" && tar -cz -C "$WORK" APKINDEX; }
case "$1" in
update) tell "$(printf 'C:Q1good=\nP:a\nV:1-r0\n\nC:Q1other=\nP:b\nV:1-r0')" >"$WORK/apk/APKINDEX.0123.tar.gz" ;;
verify) grep -q whole "$last" ;;
index) tell "$(sed 1d "$last")" ;;
add) list "$WORK/apk" apk ;;
esac"#;
    for (name, what, is_taken) in [
        ("a-1-r0.01234567.apk", "whole\nC:Q1good=\nP:a\nV:1-r0", true),
        ("a-1-r0.01234567.apk", "half\nC:Q1good=\nP:a\nV:1-r0", false),
        ("a-1-r0.01234567.apk", "whole\nC:Q1evil=\nP:a\nV:1-r0", false),
        // A package that there is, under the name of another or of another version.
        ("a-1-r0.01234567.apk", "whole\nC:Q1other=\nP:b\nV:1-r0", false),
        ("a-2-r0.01234567.apk", "whole\nC:Q1good=\nP:a\nV:1-r0", false),
        ("a-1-r0.01234567.apk", "whole\n", false),
        ("a-1-r0.01234567.apk", "-> other", false),
        ("x\nC:Q1good=\nP:a\nV:1-r0\nA:a-1-r0.01234567.apk", "whole\nC:Q1evil=\nP:a\nV:1-r0", false),
    ] {
        let step = Step::new("apk", body);
        step.kept(name, what);
        fs::write(step.path("cache/other"), "whole\nC:Q1good=\nP:a\nV:1-r0").unwrap();
        // The cache's own index counts for nothing.
        step.kept("APKINDEX.0123.tar.gz", "C:Q1evil=");
        let (before, _) = APK.split_once("# An initramfs").unwrap();
        let found = step.found(&format!("restore_programs() {{ :; }}\n{DOWNLOADS}{before}"));
        assert_eq!(!found.is_empty(), is_taken, "{name} {what}: {found:?}");
    }
}

/// They compare digests themselves, so they may see anything, but in folders of their own.
#[test]
fn dnf_and_zypper_are_given_archives_where_they_would_have_put_them() {
    let dnf =
        "case \"$1\" in\nmakecache) mkdir -p \"$WORK/dnf/os-0123\" ;;\ninstall) list \"$WORK\" rpm ;;\nesac";
    let zypper = "case \"$*\" in\n*\\ --download-only\\ *) list \"$WORK\" rpm ;;\nesac";
    for (manager, body, script, name, place) in [
        ("dnf", dnf, DNF, "os-0123,packages,a.rpm", "dnf/os-0123/packages/a.rpm"),
        ("microdnf", dnf, DNF, "os-0123,packages,a.rpm", "dnf/os-0123/packages/a.rpm"),
        ("yum", dnf, DNF, "os-0123,packages,a.rpm", "dnf/os-0123/packages/a.rpm"),
        ("dnf", dnf, DNF, "other-0123,packages,a.rpm", ""),
        ("dnf", dnf, DNF, "os-0123,repodata,a.rpm", ""),
        ("dnf", dnf, DNF, "..,packages,a.rpm", ""),
        ("dnf", dnf, DNF, "os-0123,packages,..,..,..,a.rpm", "dnf/os-0123/packages/a.rpm"),
        ("zypper", zypper, ZYPPER, "os,x86_64,a.rpm", "zypp/packages/os/x86_64/a.rpm"),
        ("zypper", zypper, ZYPPER, "os,..,..,..,a.rpm", ""),
        ("zypper", zypper, ZYPPER, "os,x86_64,a.rpm,b.rpm", ""),
        ("zypper", zypper, ZYPPER, "os,x86_64,solv", ""),
        ("zypper", zypper, ZYPPER, "os,x86_64,a b.rpm", ""),
    ] {
        let step = Step::new(manager, body);
        step.kept(name, POISON);
        step.kept(&name.replace(",a", ",link").replace(",solv", ",link.rpm"), &format!("-> {name}"));
        let expected = if place.is_empty() { Vec::new() } else { vec![format!("{place} {POISON}")] };
        assert_eq!(step.found(&format!("{script}install_packages a")), expected, "{manager} {name}");
        assert!(!fs::exists(step.path("a.rpm")).unwrap(), "{name}");
    }
}

/// What was downloaded is kept in place of whatever has its name, and what was taken is not written again.
#[test]
fn downloads_are_kept_and_no_link_is_followed() {
    let sandbox = Sandbox::new();
    let path = |name: &str| sandbox.path(name);
    fs::create_dir_all(path("work/dnf/os/packages")).unwrap();
    fs::create_dir_all(path("elsewhere")).unwrap();
    for name in ["new", "file", "link", "dangling", "folder"] {
        fs::write(path(&format!("work/dnf/os/packages/{name}.rpm")), GOOD).unwrap();
    }
    let kept = |name: &str| path(&format!("cache/os,packages,{name}.rpm"));
    fs::write(kept("file"), POISON).unwrap();
    fs::write(path("victim"), "victim").unwrap();
    symlink(path("victim"), kept("link")).unwrap();
    symlink(path("elsewhere/made"), kept("dangling")).unwrap();
    symlink(path("elsewhere"), kept("folder")).unwrap();
    fs::write(kept("taken"), GOOD).unwrap();
    let script = format!(
        "{DOWNLOADS}packages=$WORK/dnf/os/packages\n\
         take_archive os,packages,taken.rpm \"$packages/taken.rpm\"\necho later >\"$CACHE/os,packages,taken.rpm\"\n\
         keep_archives \"$WORK/dnf\" \"$packages\"/*.rpm \"$packages\"/*.none"
    );
    let done = sandbox.run(&script, &[], &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    for name in ["new", "file", "link", "dangling", "folder"] {
        assert!(fs::symlink_metadata(kept(name)).unwrap().is_file(), "{name}");
        assert_eq!(fs::read_to_string(kept(name)).unwrap(), GOOD, "{name}");
    }
    assert_eq!(fs::read_to_string(kept("taken")).unwrap(), "later\n");
    assert_eq!(fs::read_to_string(path("victim")).unwrap(), "victim");
    assert_eq!(fs::read_dir(path("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(path("cache")).unwrap().count(), 6);
}

#[test]
fn a_cache_that_has_grown_too_large_is_begun_anew_and_no_archive_is_larger() {
    for (limit, left) in [("4194304", 2), ("7", 0)] {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("cache/old"), [0; 16384]).unwrap();
        fs::write(sandbox.path("work/a.deb"), GOOD).unwrap();
        let script = format!("{DOWNLOADS}cache_limit={limit}\nkeep_archives \"$WORK\" \"$WORK/a.deb\"");
        assert!(sandbox.run(&script, &[], &[]).status.success());
        assert_eq!(fs::read_dir(sandbox.path("cache")).unwrap().count(), left, "{limit}");
    }
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("cache/a"), GOOD).unwrap();
    let script = format!("{DOWNLOADS}archive_limit=2\ntake_archive a \"$WORK/a\"");
    assert!(sandbox.run(&script, &[], &[]).status.success());
    assert_eq!(fs::read_to_string(sandbox.path("work/a")).unwrap(), &GOOD[..2]);
}

/// The cache mount is read and written by these functions alone.
#[test]
fn no_script_has_anything_else_to_do_with_the_cache_mount() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provision");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".sh") || name == "downloads.sh" {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("CACHE")) {
            let is_list = line.trim_start().starts_with("for kept in \"$CACHE");
            assert!(is_list || line == "WORK=${CACHE%/*}/work", "{name}: {line}");
        }
    }
}

/// The frontend image's own build runs the scripts of apt's boot step by hand: the same ones in the same order.
#[test]
fn the_dockerfile_of_the_frontend_runs_the_boot_step_of_apt() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dockerfile = fs::read_to_string(root.join("../Dockerfile.frontend")).unwrap();
    let (_, names) = dockerfile.split_once("cd /provision && cat ").unwrap();
    let names = names.split(' ').take_while(|name| *name != "|");
    let piped: String =
        names.map(|name| fs::read_to_string(root.join("src/provision").join(name)).unwrap()).collect();
    assert_eq!(piped, DOWNLOADS.to_owned() + &super::apt::MANAGER.boot_script.concat());
    assert!(dockerfile.contains("CACHE=/var/cache/vmimage WORK=/work sh "));
}
