//! Encrypted volumes, opened where they are to be opened: by the cryptsetup and the kernel of each release of Debian.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::lab::{boot, build, context, copy_of, nonce, run, scratch};

const RELEASES: [&str; 4] =
    ["vmimage-test/debian:11", "vmimage-test/debian:12", "vmimage-test/debian:13", "vmimage-test/debian:sid"];
/// Each kind of key slot, and each way to have a secret.
const VOLUMES: [&str; 4] = ["argon2id-passphrase", "argon2id-key", "pbkdf2-passphrase", "pbkdf2-key"];

const DATA: &str = r#"
profile = "data"
format = "raw"

[[partitions]]
type = "linux-generic"
label = "argon2id-passphrase"
source = "/argon2id-passphrase"
encrypt = { passphrase = "passphrase", memory = "32M" }
[[partitions]]
type = "linux-generic"
label = "argon2id-key"
source = "/argon2id-key"
encrypt = { key = "key", memory = "32M" }
[[partitions]]
type = "linux-generic"
label = "pbkdf2-passphrase"
source = "/pbkdf2-passphrase"
encrypt = { passphrase = "passphrase", kdf = "pbkdf2" }
[[partitions]]
type = "linux-generic"
label = "pbkdf2-key"
source = "/pbkdf2-key"
encrypt = { key = "key", kdf = "pbkdf2" }
"#;

/// A digest of the digests of all files in this folder, by their names.
const DIGEST: &str = "find . -type f -exec sha256sum {} + | LC_ALL=C sort | sha256sum | cut -c 1-64";

/// Both secrets lie in the machine, whose root is no secret here; a passphrase comes by a pipe, as from who types it.
const READER: &str = r#"
hostname = "web"
install = ["cryptsetup-bin"]

[[files]]
path = "/etc/report.d/luks"
content = '''
fact cryptsetup "$(cryptsetup --version)"
opens() { # LABEL KIND FOLDER
	case $2 in
	key) cryptsetup open --readonly --key-file "$3/key" "/dev/disk/by-partlabel/$1" luks ;;
	passphrase) cryptsetup open --readonly "/dev/disk/by-partlabel/$1" luks <"$3/passphrase" ;;
	esac
}
for label in VOLUMES; do
	opens "$label" "${label#*-}" /etc/luks/wrong
	wrong=$?
	opens "$label" "${label#*-}" /etc/luks/right && mount -o ro /dev/mapper/luks /mnt
	fact "$label" "$wrong $(cd /mnt && DIGEST)"
	umount /mnt
	cryptsetup close luks
done
'''
"#;

/// What cryptsetup ends with where no key slot opens by a secret (cryptsetup(8), "RETURN CODES").
const NO_PERMISSION: &str = "2";

/// A folder with what opens the volumes, and one with what does not.
fn secrets(folder: &Path) -> PathBuf {
    let secrets = folder.join("luks");
    for (name, passphrase) in [("right", "correct horse battery staple"), ("wrong", "correct horse")] {
        let of = secrets.join(name);
        std::fs::create_dir_all(&of).unwrap();
        std::fs::write(of.join("passphrase"), format!("{passphrase}\n")).unwrap();
        std::fs::write(of.join("key"), nonce()).unwrap();
    }
    secrets
}

/// A disk with the same tree in each volume, and the digest of that.
fn data(secrets: &Path, folder: &Path) -> (PathBuf, String) {
    let copies: String = VOLUMES.iter().map(|label| format!("COPY site /{label}\n")).collect();
    let context = context(folder, &format!("FROM scratch\n{copies}"));
    let site = context.join("site");
    std::fs::create_dir_all(site.join("a folder/b")).unwrap();
    let large: Vec<_> = (0..5_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in
        [("index.html", &b"hello"[..]), ("a folder/empty", b""), ("a folder/b/large", &large)]
    {
        std::fs::write(site.join(name), bytes).unwrap();
    }
    std::fs::write(context.join("vmimage.toml"), DATA).unwrap();
    let digest = run(Command::new("sh").args(["-ec", DIGEST]).current_dir(&site)).trim().to_owned();
    let secret =
        |name: &str| format!("--secret=id={name},src={}", secrets.join("right").join(name).display());
    let disk = folder.join("data.raw");
    build(&context, &disk, &[&secret("passphrase"), &secret("key")]);
    (disk, digest)
}

/// A machine of a release that opens the volumes of another disk.
fn reader(base: &str, secrets: &Path, folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    run(Command::new("cp").arg("-r").arg(secrets).arg(&context));
    let dockerfile = context.join("Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).unwrap() + "COPY luks /etc/luks\n";
    std::fs::write(dockerfile, text).unwrap();
    let config = READER.replace("VOLUMES", &VOLUMES.join(" ")).replace("DIGEST", DIGEST);
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
    disk
}

#[test]
#[ignore = "long: make matrix"]
fn every_release_of_debian_opens_what_the_exporter_has_encrypted() {
    let folder = scratch();
    let secrets = secrets(folder.path());
    let (data, digest) = data(&secrets, folder.path());
    let disk = data.display().to_string();
    for base in RELEASES {
        let folder = scratch();
        let machine = reader(base, &secrets, folder.path());
        let report = boot(&machine, "--bios", &["--disk", &disk]);
        check_report(base, "--bios", &report);
        eprintln!("{base}: {}", report.get("cryptsetup"));
        for label in VOLUMES {
            assert_eq!(report.get(label), format!("{NO_PERMISSION} {digest}"), "{base}: {label}");
        }
    }
}
