//! What a foreign build leaves in the cache mount of a package step does not get into a machine: a build fills the cache,
//! a foreign one with a base of its own replaces all that it can reach there, and the next honest build must have the
//! honest package. The cache is nevertheless of use: the last build has no archive to download.
//!
//! The bases are of releases of their own, so that no other test has their caches.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::lab::{nonce, refused, run, scratch, syntax};
use super::packages::{self, ALPINE, FILE, PACKAGE, Server, folder_in};
use super::rpm;

/// What nothing may be written through to.
const VICTIM: &str = "/etc/vmimage-victim";

/// An image of `base` with a release of its own, and further lines of a Dockerfile.
fn honest_base(base: &str, name: &str, lines: &str, folder: &Path) -> String {
    let context = folder_in(folder, "base");
    let release = "RUN sed -i 's/^VERSION_ID=.*/VERSION_ID=99.poison/' \"$(readlink -f /etc/os-release)\"\n";
    fs::write(context.join("Dockerfile"), format!("FROM {base}\nUSER 0\n{release}{lines}")).unwrap();
    let image = format!("vmimage-test/{name}");
    run(Command::new("docker").args(["build", "-q", "-t", &image]).arg(&context));
    image
}

/// A foreign build on a base whose package manager does this to the cache mount: every archive becomes `evil`, with its
/// digest wherever the honest one stands, or as many zeroes; and links lie where something could be written.
fn poison(base: &str, manager: &str, evil: Option<&Path>, folder: &Path) {
    let context = folder_in(folder, "poison");
    match evil {
        Some(evil) => fs::copy(evil, context.join("evil")).map(drop).unwrap(),
        None => fs::write(context.join("evil"), "").unwrap(),
    }
    let script = format!(
        r#"#!/bin/sh
# {}
set -eu
cd "$CACHE"
find . -type f | grep -E '\.(deb|apk|rpm)$' | while read -r archive; do
	size=$(stat -c %s "$archive")
	honest=$(sha256sum <"$archive")
	if [ -s /evil ]; then
		[ "$size" = "$(stat -c %s /evil)" ] || continue
		cat /evil >"$archive"
	else
		head -c "$size" /dev/zero >"$archive"
	fi
	poisoned=$(sha256sum <"$archive")
	find . -type f -exec sed -i "s/${{honest%% *}}/${{poisoned%% *}}/g" {{}} +
	echo "poisoned: $archive"
done
find . -name '*cache.bin' -exec rm {{}} +
for name in log ended apt.conf sources lists archives {PACKAGE}_2_all.deb {PACKAGE}-2-r0.apk; do
	[ -e "$name" ] || ln -s {VICTIM} "$name"
done
exit 1
"#,
        nonce()
    );
    fs::write(context.join("script"), script).unwrap();
    let dockerfile = format!(
        "FROM {base}\nCOPY evil script /\n\
         RUN program=$(readlink -f $(command -v {manager})) && cat /script >$program && chmod 755 $program\n"
    );
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let image = format!("{base}-foreign");
    run(Command::new("docker").args(["build", "-q", "-t", &image]).arg(&context));
    // Not with --no-cache, which would empty the cache mount.
    let said = refused(&mut packages::image(&image, "", folder));
    assert!(said.contains("poisoned: "), "{said}");
}

/// A build of the honest base with [`PACKAGE`] from `served`, at an address of its own: another step each time. The
/// package must hold `word`. Returns whether its archive was asked for.
fn installs(base: &str, word: &str, served: &Path, folder: &Path) -> bool {
    let server = Server::start(served.to_owned());
    let mirror = format!("VMIMAGE_MIRROR=http://{}", server.address);
    let mut build = packages::image(base, word, folder);
    let dockerfile = format!("FROM {base}\nRUN test \"$(cat /{FILE})\" = {word} && test ! -e {VICTIM}\n");
    fs::write(folder.join("context/Dockerfile"), dockerfile).unwrap();
    run(build.args(["--network", "host", "--build-arg", &mirror]));
    server.asked().iter().any(|path| path.ends_with(".deb") || path.ends_with(".apk"))
}

#[test]
fn what_another_build_leaves_in_the_cache_of_apt_is_not_installed() {
    let folder = scratch();
    let served = folder_in(folder.path(), "served");
    let company = folder_in(&served, "company");
    let sources = "RUN rm -rf /etc/apt/sources.list.d && \
                   echo 'deb [trusted=yes] http://deb.debian.org/company ./' >/etc/apt/sources.list\n";
    let base =
        honest_base(&packages::complete_debian(folder.path()), "poison-debian", sources, folder.path());
    let (word, evil_word) = (nonce(), nonce());
    let (archive, evil) = (company.join(format!("{PACKAGE}_1_all.deb")), folder.path().join("evil.deb"));
    packages::deb(&archive, &word);
    packages::deb(&evil, &evil_word);
    assert_eq!(fs::metadata(&archive).unwrap().len(), fs::metadata(&evil).unwrap().len());
    packages::index(&company, &["packages", "."], &company.join("Packages"));

    assert!(installs(&base, &word, &served, folder.path()));
    poison(&base, "apt-get", Some(&evil), folder.path());
    assert!(installs(&base, &word, &served, folder.path()), "the poison is as good as nothing");
    fs::remove_file(archive).unwrap();
    assert!(!installs(&base, &word, &served, folder.path()), "the cache is of no use");
}

#[test]
fn what_another_build_leaves_in_the_cache_of_apk_is_not_installed() {
    let folder = scratch();
    let key = folder.path().join("company.rsa");
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key));
    let public = folder_in(folder.path(), "base").join("company.rsa.pub");
    run(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&key).arg("-out").arg(public));
    let base = honest_base(ALPINE, "poison-alpine", "COPY company.rsa.pub /etc/apk/keys/\n", folder.path());
    let (word, evil_word) = (nonce(), nonce());
    let served = folder_in(folder.path(), "served");
    let repositories = ["main", "community"].map(|name| {
        let repository = folder_in(&served, &format!("alpine/v3.23/{name}/x86_64"));
        packages::apk(&repository, &word);
        packages::index_of_alpine(&repository, &key);
        repository
    });
    let name = format!("{PACKAGE}-1-r0.apk");
    let evil = folder_in(folder.path(), "evil");
    packages::apk(&evil, &evil_word);
    // Of one size: nothing is read behind the end of a package.
    let (good_len, evil) = (fs::metadata(repositories[0].join(&name)).unwrap().len(), evil.join(&name));
    let file = fs::File::options().write(true).open(&evil).unwrap();
    file.set_len(good_len).unwrap();

    assert!(installs(&base, &word, &served, folder.path()));
    poison(&base, "apk", Some(&evil), folder.path());
    assert!(installs(&base, &word, &served, folder.path()), "the poison is as good as nothing");
    repositories.iter().for_each(|repository| fs::remove_file(repository.join(&name)).unwrap());
    assert!(!installs(&base, &word, &served, folder.path()), "the cache is of no use");
}

/// dnf and zypper, as their stand-ins have them, from a server that lacks all packages in the end.
#[test]
#[ignore = "minutes: make matrix"]
fn what_another_build_leaves_in_the_caches_of_dnf_and_zypper_is_not_installed() {
    for (release, manager) in [("openeuler-24.03", "dnf"), ("opensuse-leap-15", "zypper")] {
        let folder = scratch();
        let (base, packages) = rpm::without_packages(release, manager, folder.path());
        let server = rpm::Server::start(folder.path());
        // Of another base each time, and so another step.
        let installs = || {
            let line = format!("RUN echo {} >/nonce\n", nonce());
            let base = honest_base(&base, &format!("poison-{manager}"), &line, folder.path());
            let context = folder_in(folder.path(), "honest");
            let dockerfile = format!("FROM {base}\nRUN ip -V && test ! -e {VICTIM}\n");
            fs::write(context.join("Dockerfile"), dockerfile).unwrap();
            let mut build = Command::new("docker");
            build.args(["buildx", "build", "--output", "type=cacheonly", "--network", "host"]);
            build.args(["--build-arg", &syntax(), "--build-arg", "VMIMAGE_STAGE=rootfs"]);
            build.args(["--build-arg", &format!("VMIMAGE_MIRROR={}", server.url)]).arg(&context);
            run(&mut build);
            base
        };
        let base = installs();
        poison(&base, manager, None, folder.path());
        installs();
        run(Command::new("find").arg(&packages).args(["-name", "*.rpm", "-delete"]));
        installs();
    }
}
