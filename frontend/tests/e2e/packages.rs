//! Where packages come from in a closed network: a folder of each layout that `--packages` takes, without any network,
//! and a mirror. The packages are made here, of one file with a word that no cached step has seen.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::lab::{nonce, refused, run, scratch, syntax};

/// The package, and its file.
pub(super) const PACKAGE: &str = "vmimage-probe";
pub(super) const FILE: &str = "usr/share/vmimage-probe";

/// The build of an image on `base` with the package in it, which a step of the user finds.
pub(super) fn image(base: &str, word: &str, folder: &Path) -> Command {
    let context = folder.join("context");
    fs::create_dir_all(&context).unwrap();
    let dockerfile = format!("FROM {base}\nRUN test \"$(cat /{FILE})\" = {word}\n");
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "--progress", "plain", "--output", "type=cacheonly"]);
    build.args(["--build-arg", &syntax(), "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    build.args(["--build-arg", &format!("VMIMAGE_INSTALL={PACKAGE}")]);
    build.arg(context);
    build
}

/// The package comes from this folder, in a build that has no network.
fn comes_from(packages: &Path, base: &str, word: &str, folder: &Path) {
    let from = format!("vmimage-packages={}", packages.display());
    run(image(base, word, folder).args(["--network", "none", "--build-context", &from]));
}

/// A Debian with all that a machine needs, so that the package alone is missing.
pub(super) fn complete_debian(folder: &Path) -> String {
    let image = "vmimage-test/complete-debian";
    let context = folder_in(folder, "debian");
    fs::write(context.join("Dockerfile"), "FROM vmimage-test/debian:12\n").unwrap();
    let mut complete = Command::new("docker");
    complete.args(["buildx", "build", "-q", "--load", "-t", image, "--build-arg", &syntax()]);
    run(complete.args(["--build-arg", "VMIMAGE_STAGE=rootfs"]).arg(&context));
    image.to_owned()
}

/// A folder of a name.
pub(super) fn folder_in(folder: &Path, name: &str) -> PathBuf {
    let made = folder.join(name);
    fs::create_dir_all(&made).unwrap();
    made
}

/// A package of Debian's.
pub(super) fn deb(to: &Path, word: &str) {
    let root = scratch();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(FILE, word);
    let control =
        "Version: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a probe\n";
    write("DEBIAN/control", &format!("Package: {PACKAGE}\n{control}"));
    // Not packed: packages of words of one length have one length.
    run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(root.path()).arg(to));
}

/// What apt-ftparchive says of a folder, in a file.
pub(super) fn index(of: &Path, args: &[&str], to: &Path) {
    let text = run(Command::new("apt-ftparchive").args(args).current_dir(of));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, text).unwrap();
}

#[test]
fn apt_takes_a_repository_an_index_or_packages_alone() {
    let folder = scratch();
    let base = complete_debian(folder.path());
    let word = nonce();
    let alone = folder_in(folder.path(), "alone");
    deb(&alone.join("vmimage-probe_1_all.deb"), &word);
    comes_from(&alone, &base, &word, folder.path());

    let word = nonce();
    let flat = folder_in(folder.path(), "flat");
    // The index knows where a file lies, and under which name.
    deb(&folder_in(&flat, "below").join("probe.deb"), &word);
    index(&flat, &["packages", "."], &flat.join("Packages"));
    comes_from(&flat, &base, &word, folder.path());

    let word = nonce();
    let repository = folder_in(folder.path(), "repository");
    deb(&folder_in(&repository, "pool/main").join("vmimage-probe_1_all.deb"), &word);
    let suite = repository.join("dists/company");
    index(&repository, &["packages", "pool"], &suite.join("main/binary-amd64/Packages"));
    let about = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
    let (suite_name, components) = (about("Suite", "company"), about("Components", "main"));
    let release = ["-o", &suite_name, "-o", &components, "release", "."];
    index(&suite, &release, &folder.path().join("Release"));
    fs::rename(folder.path().join("Release"), suite.join("Release")).unwrap();
    comes_from(&repository, &base, &word, folder.path());

    // A file that is not the one of the index is refused, trusted or not.
    let word = nonce();
    deb(&repository.join("pool/main/vmimage-probe_1_all.deb"), &word);
    let from = format!("vmimage-packages={}", repository.display());
    let mut changed = image(&base, &word, folder.path());
    let said = refused(changed.args(["--network", "none", "--build-context", &from]));
    assert!(said.contains("vmimage-probe_1_all.deb"), "{said}");
}

/// Add an entry to a tar.
fn append(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &Path, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
}

/// The files of a package: one, with its hash, below its folders.
fn files(path: &Path, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let folders: Vec<_> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
    folders.iter().rev().for_each(|folder| append(&mut tar, tar::EntryType::Directory, folder, &[]));
    let file = scratch();
    fs::write(file.path().join("content"), content).unwrap();
    let said = run(Command::new("sha1sum").arg(file.path().join("content")));
    let digest = said.split(' ').next().unwrap();
    // Not by `append_pax_extensions`: apk refuses a record without a name.
    let record = format!(" APK-TOOLS.checksum.SHA1={digest}\n");
    let record = format!("{}{record}", record.len() + 2);
    append(&mut tar, tar::EntryType::XHeader, "PaxHeader".as_ref(), record.as_bytes());
    append(&mut tar, tar::EntryType::Regular, path, content);
    gzip(&tar.into_inner().unwrap())
}

/// A tar of one file without the two blocks at its end: another part goes on with it.
fn part(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, tar::EntryType::Regular, name.as_ref(), content);
    let mut tar = tar.into_inner().unwrap();
    tar.truncate(tar.len() - 1024);
    gzip(&tar)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut packed).unwrap();
    packed.truncate(len);
    packed
}

/// A package of Alpine's, apk-package(5), version 2: what is said of it, and its files.
pub(super) fn apk(folder: &Path, word: &str) {
    let files = files(FILE.as_ref(), word.as_bytes());
    let digest: String = Sha256::digest(&files).iter().map(|byte| format!("{byte:02x}")).collect();
    let info = format!(
        "pkgname = {PACKAGE}\npkgver = 1-r0\npkgdesc = a probe\narch = noarch\nsize = {}\ndatahash = {digest}\n",
        word.len()
    );
    let about = part(".PKGINFO", info.as_bytes());
    fs::write(folder.join(format!("{PACKAGE}-1-r0.apk")), [about, files].concat()).unwrap();
}

/// A package of version 3, which apk itself makes.
fn apk_3(folder: &Path, word: &str) {
    let files = folder_in(folder, "files/usr/share");
    fs::write(files.join(PACKAGE), word).unwrap();
    let make = format!(
        "apk mkpkg --files files --info name:{PACKAGE} --info version:1-r0 --info arch:x86_64 \
         --output {PACKAGE}-1-r0.apk && rm -r files"
    );
    in_alpine(folder, &make);
}

/// Run commands of Alpine's in a folder.
fn in_alpine(folder: &Path, script: &str) {
    let mount = format!("{}:/folder", folder.display());
    let args =
        ["run", "--rm", "--network", "none", "-v", &mount, "-w", "/folder", ALPINE, "sh", "-ec", script];
    run(Command::new("docker").args(args));
}

/// A real one with a kernel, so that the package alone is missing.
pub(super) const ALPINE: &str = "vmimage-test/alpine:3.23";
/// An index as Alpine's repositories have it, of the packages beside it.
const INDEX: &str =
    "apk index --quiet --no-warnings --allow-untrusted --rewrite-arch x86_64 -o APKINDEX.tar.gz *.apk";

#[test]
fn apk_takes_a_repository_an_index_or_packages_alone() {
    let folder = scratch();
    let comes_from = |packages: &Path, word: &str| comes_from(packages, ALPINE, word, folder.path());
    for (name, make) in [("alone", apk as fn(&Path, &str)), ("alone-3", apk_3)] {
        let (alone, word) = (folder_in(folder.path(), name), nonce());
        make(&alone, &word);
        comes_from(&alone, &word);
    }
    for (packages, below) in [("flat", ""), ("repository", "x86_64")] {
        let (packages, word) = (folder_in(folder.path(), packages), nonce());
        let below = folder_in(&packages, below);
        apk(&below, &word);
        in_alpine(&below, INDEX);
        comes_from(&packages, &word);
    }
    let (packages, word) = (folder_in(folder.path(), "indexed-3"), nonce());
    apk_3(&packages, &word);
    in_alpine(&packages, "apk mkndx --quiet --allow-untrusted -o index.adb *.apk");
    comes_from(&packages, &word);
}

/// Their contexts have one name and lie in two folders.
#[test]
fn builds_side_by_side_have_packages_of_their_own() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (folder, word) = (scratch(), nonce());
                let packages = folder_in(folder.path(), "packages");
                apk(&packages, &word);
                comes_from(&packages, ALPINE, &word, folder.path());
            });
        }
    });
}

/// A server of a folder's files for HTTP on a loopback port, which goes on to the end of the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Server {
    pub(super) fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = server.asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (folder, asked) = (folder.clone(), asked.clone());
                std::thread::spawn(move || answer(client, &folder, &asked));
            }
        });
        server
    }

    /// The paths it was asked for.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request, and its answer.
fn answer(mut client: TcpStream, folder: &Path, asked: &Mutex<BTreeSet<String>>) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let file = fs::read(folder.join(path.trim_start_matches('/')));
    asked.lock().unwrap().insert(path);
    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), &body].concat()).ok()
}

/// An index with a signature that the image trusts, as apk wants it of all that comes from a network.
fn sign(index: &Path, key: &Path) {
    let mut sign = Command::new("openssl");
    let signature = index.with_extension("sig");
    run(sign.args(["dgst", "-sha1", "-sign"]).arg(key).arg("-out").arg(&signature).arg(index));
    let name = format!(".SIGN.RSA.{}.pub", key.file_name().unwrap().to_str().unwrap());
    let signature = part(&name, &fs::read(&signature).unwrap());
    fs::write(index, [signature, fs::read(index).unwrap()].concat()).unwrap();
}

/// The index of a folder of packages, signed.
pub(super) fn index_of_alpine(folder: &Path, key: &Path) {
    in_alpine(folder, INDEX);
    sign(&folder.join("APKINDEX.tar.gz"), key);
}

#[test]
fn apk_asks_the_mirror_in_place_of_alpines_host() {
    let folder = scratch();
    let key = folder.path().join("company.rsa");
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key));
    let base = "vmimage-test/trusting-alpine";
    let context = folder_in(folder.path(), "trusting");
    let dockerfile = format!("FROM {ALPINE}\nCOPY company.rsa.pub /etc/apk/keys/\n");
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let public = context.join("company.rsa.pub");
    run(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&key).arg("-out").arg(public));
    run(Command::new("docker").args(["build", "-q", "-t", base]).arg(&context));

    let word = nonce();
    let served = folder_in(folder.path(), "served");
    for name in ["main", "community"] {
        let repository = folder_in(&served, &format!("alpine/v3.23/{name}/x86_64"));
        apk(&repository, &word);
        index_of_alpine(&repository, &key);
    }
    let server = Server::start(served.clone());
    let mirror = format!("VMIMAGE_MIRROR=http://{}", server.address);
    run(image(base, &word, folder.path()).args(["--network", "host", "--build-arg", &mirror]));
    let asked = server.asked();
    assert!(asked.contains("/alpine/v3.23/community/x86_64/APKINDEX.tar.gz"), "{asked:?}");
    assert!(asked.iter().any(|path| path.ends_with(&format!("/{PACKAGE}-1-r0.apk"))), "{asked:?}");

    // What nobody has signed is not taken from it. Another address is another step.
    let word = nonce();
    for name in ["main", "community"] {
        let repository = served.join(format!("alpine/v3.23/{name}/x86_64"));
        apk(&repository, &word);
        in_alpine(&repository, INDEX);
    }
    let server = Server::start(served);
    let mirror = format!("VMIMAGE_MIRROR=http://{}", server.address);
    let said = refused(image(base, &word, folder.path()).args(["--network", "host", "--build-arg", &mirror]));
    assert!(said.contains("UNTRUSTED"), "{said}");
}
