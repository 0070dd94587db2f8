//! Secure Boot by keys of one's own: firmware that knows them starts a disk that they have signed, and nothing else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::damage;
use super::lab::{Partition, VMIMAGE, build, copy_of, extract, nonce, partitions, refused, run, scratch};
use super::rack::{Bus, Firmware, Rack};

const DEBIAN: &str = "vmimage-test/debian:13";
/// Has systemd-boot write the keys into a firmware that has none.
const ENROLLS: &str = "enroll = \"keys\"\nenroll-mode = \"force\"\n";
/// Bytes of a block of verity's.
const BLOCK: u64 = 4096;
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
const ROOT_VERITY_SIG: &str = "41092b05-9fc8-4523-994f-2def0408b176";
/// Empty variables, as they come with the firmware: it is in setup mode, and starts everything.
const TEMPLATE: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The same in the folder of a machine, which may have been given keys.
const VARIABLES: &str = "variables_4M.secboot.fd";

/// What a machine says of its loader, of its image and of the words that addons have.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/loader"
content = '''
fact images "$(ls /boot/efi/EFI/Linux | tr '\n' ' ')"
fact stub "$(bootctl status 2>/dev/null | grep -o -m 1 systemd-stub)"
fact words "$(tr ' ' '\n' </proc/cmdline | grep -c -e '^vmimage.mark=' -e '^vmimage.told$')"
'''
"#;

/// A disk that keys in the folder `keys` have signed, with a word in the command line of its image.
struct Sealed {
    folder: tempfile::TempDir,
    disk: PathBuf,
    mark: String,
}

impl Sealed {
    /// With further keys of its configuration, such of `[secure-boot]`, and tables.
    fn new([keys_before, keys_within, tables]: [&str; 3]) -> Self {
        let folder = scratch();
        let (keys, context) = (folder.path().join("keys"), copy_of("machine", folder.path()));
        run(Command::new(VMIMAGE).args(["keys", "generate", "--name", "Acme"]).arg(&keys));
        // Of what was made, the context has what everybody may see.
        fs::create_dir(context.join("keys")).unwrap();
        for name in ["db.crt", "PK.auth", "KEK.auth", "db.auth"] {
            fs::copy(keys.join(name), context.join("keys").join(name)).unwrap();
        }
        let mark = format!("vmimage.mark={}", nonce());
        let config = format!(
            "hostname = \"web\"\nloader = \"systemd-boot\"\ninstall = \"systemd-boot\"\ncmdline = \"{mark}\"\n\
             {keys_before}\n[image]\nid = \"kiosk\"\n{FACTS}\n[secure-boot]\ncertificate = \"keys/db.crt\"\nkey = \"db\"\n\
             addons = {{ mark = \"vmimage.told\" }}\n{keys_within}\n{tables}"
        );
        fs::write(context.join("vmimage.toml"), config).unwrap();
        let disk = folder.path().join("disk.raw");
        let (base, secret) =
            (format!("BASE={DEBIAN}"), format!("id=db,src={}", keys.join("db.key").display()));
        let progress = build(&context, &disk, &["--build-arg", &base, "--secret", &secret]);
        assert!(progress.contains("all that UEFI starts is signed by CN=Acme db"), "{progress}");
        Self { folder, disk, mark }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Have the firmware of its machine know the keys.
    fn trusts(&self) {
        let (keys, variables) = (self.path().join("keys"), self.path().join(VARIABLES));
        let mut vars = Command::new(VMIMAGE);
        vars.args(["keys", "vars", "--template", TEMPLATE, "--keys"]).arg(keys).arg("-o").arg(variables);
        run(&mut vars);
    }

    /// Have a firmware without keys be given them by the disk: systemd-boot restarts the machine once they are written.
    fn enrolls(&self) {
        fs::copy(TEMPLATE, self.path().join(VARIABLES)).unwrap();
        let console = self.rack().ends();
        assert!(!console.contains("report:"), "{console}");
    }

    fn rack(&self) -> Rack {
        Rack::new(Firmware::OwnKeys, self.path()).drive(Bus::Nvme, &self.disk).online_by_virtio()
    }

    /// It starts under enforced signatures, its boot is a good one, and its image is tried no more.
    fn starts(&self) {
        let report = self.rack().reports();
        assert_eq!((report.get("secure-boot"), report.get("app")), ("1", "version one"));
        assert_eq!(report.get("images"), format!("kiosk-{}.efi", report.get("kernel")));
        assert_eq!((report.get("stub"), report.get("words")), ("systemd-stub", "2"));
    }

    /// It ends with this on the console, and has reported nothing; what was there.
    fn refuses(&self, said: &str) -> String {
        let mut machine = self.rack().start();
        machine.says(said);
        let console = machine.switch_off();
        assert!(!console.contains("report:"), "{console}");
        console
    }

    /// Where these bytes lie on the disk for the first time: on its ESP, which comes first.
    fn find(&self, bytes: &[u8]) -> u64 {
        find(&File::open(&self.disk).unwrap(), bytes)
    }

    /// Some packed bytes of the kernel in the image on the ESP, which are nowhere else.
    fn within_kernel(&self, esp: &Partition) -> Vec<u8> {
        let [volume, image, kernel] = ["esp.img", "image.efi", "kernel"].map(|name| self.path().join(name));
        extract(&self.disk, esp, &volume);
        run(Command::new("mcopy").arg("-i").arg(&volume).arg("::EFI/Linux/kiosk-*.efi").arg(&image));
        let section = format!(".linux={}", kernel.display());
        let mut objcopy = Command::new("objcopy");
        run(objcopy.args(["-O", "binary", "--dump-section", &section]).arg(&image).arg("/dev/null"));
        fs::read(kernel).unwrap()[1 << 20..][..64].to_vec()
    }
}

/// One flipped bit in the command line of the image, and it is not started: the reason is on the console.
#[test]
#[ignore = "long: make matrix"]
fn a_firmware_that_knows_the_key_starts_the_image_and_no_other() {
    let sealed = Sealed::new(["", "", ""]);
    sealed.trusts();
    sealed.starts();
    damage(&sealed.disk, sealed.find(sealed.mark.as_bytes()), || {
        let console = sealed.refuses("Error loading");
        assert!(!console.contains("Linux version"), "{console}");
    });
    sealed.starts();
}

/// A disk gives a firmware in setup mode its keys. From then on the firmware checks the image, the stub its addon, our initramfs that
/// the addon was taken, and by the root hash in the image the kernel checks each block of the root.
#[test]
#[ignore = "long: make matrix"]
fn no_byte_of_a_sealed_disk_can_be_another() {
    let root = "[[partitions]]\ntype = \"root\"\nverity = true\n";
    let sealed = Sealed::new(["layout = \"simple\"\nvolatile = \"overlay\"\n", ENROLLS, root]);
    sealed.enrolls();
    // Its image loses its counters, so that a try more is none of the disk's business.
    sealed.starts();
    let table = partitions(&sealed.disk);
    let [esp, root] = [ESP, ROOT].map(|kind| table.iter().position(|part| part.kind == kind).unwrap());
    let (data, hashes) = (table[root].start, table[root + 1].start);
    let kernel = sealed.find(&sealed.within_kernel(&table[esp]));
    let [words, addon] = [&*sealed.mark, "vmimage.addon=mark "].map(|text| sealed.find(text.as_bytes()));
    for (what, at, said) in [
        ("the root, where no file is", data, "data block 0 is corrupted"),
        ("the tree of hashes", hashes + 2 * BLOCK, "metadata block 2 is corrupted"),
        ("the kernel in the image", kernel, "Error loading"),
        ("the command line in the image", words, "Error loading"),
        ("the words of the addon", addon, "addon mark: the boot loader has not taken it"),
    ] {
        eprintln!("{what}: {at:#x}");
        damage(&sealed.disk, at, || drop(sealed.refuses(said)));
    }
    let mut dissect = Command::new("systemd-dissect");
    dissect.arg("--json=short").arg(&sealed.disk);
    assert!(run(&mut dissect).contains(r#""designator":"root-verity-sig""#));
    let signature = table.iter().find(|partition| partition.kind == ROOT_VERITY_SIG).unwrap();
    damage(&sealed.disk, signature.start, || assert!(refused(&mut dissect).contains("signature partition")));
    sealed.starts();
}

/// The disk itself gives a firmware in setup mode its keys, which from then on starts nothing else.
#[test]
#[ignore = "long: make matrix"]
fn a_firmware_without_keys_is_given_them_by_the_disk() {
    let sealed = Sealed::new(["", ENROLLS, ""]);
    sealed.enrolls();
    sealed.starts();
}

/// Where a text lies on a disk for the first time.
pub(crate) fn find(disk: &File, text: &[u8]) -> u64 {
    const CHUNK: usize = 1 << 20;
    let len = disk.metadata().unwrap().len();
    let mut chunk = vec![0; CHUNK + text.len()];
    let mut starts = (0..len - chunk.len() as u64).step_by(CHUNK);
    let found = starts.find_map(|start| {
        disk.read_exact_at(&mut chunk, start).unwrap();
        let at = chunk.windows(text.len()).position(|window| window == text)?;
        Some(start + at as u64)
    });
    found.unwrap_or_else(|| panic!("{:?} is nowhere on the disk", String::from_utf8_lossy(text)))
}
