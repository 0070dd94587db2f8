//! Secure Boot by keys of one's own: firmware that knows them starts a disk that they have signed, and nothing else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::damage;
use super::lab::{VMIMAGE, build, copy_of, nonce, partitions, run, scratch};
use super::rack::{Bus, Firmware, Rack};

const DEBIAN: &str = "vmimage-test/debian:13";
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
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
fact stub "$(bootctl status 2>/dev/null | awk '/Stub:/ { print $2; exit }')"
fact words "$(tr ' ' '\n' </proc/cmdline | grep -c -e '^vmimage.mark=' -e '^vmimage.addon$')"
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
             addons = {{ mark = \"vmimage.addon\" }}\n{keys_within}\n{tables}"
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

    fn rack(&self) -> Rack {
        Rack::new(Firmware::OwnKeys, self.path()).drive(Bus::Nvme, &self.disk).online()
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

    /// Where a text lies on the disk for the first time: on its ESP, which comes first.
    fn find(&self, text: &str) -> u64 {
        find(&File::open(&self.disk).unwrap(), text.as_bytes())
    }
}

/// One flipped bit in the command line of the image, and it is not started: the reason is on the console.
#[test]
#[ignore = "long: make matrix"]
fn a_firmware_that_knows_the_key_starts_the_image_and_no_other() {
    let sealed = Sealed::new(["", "", ""]);
    sealed.trusts();
    sealed.starts();
    damage(&sealed.disk, sealed.find(&sealed.mark), || {
        let console = sealed.refuses("Error loading");
        assert!(!console.contains("Linux version"), "{console}");
    });
    sealed.starts();
}

/// The firmware checks the image, which has the root hash, and by that the kernel checks each block of the root.
#[test]
#[ignore = "long: make matrix"]
fn a_sealed_disk_starts_and_no_byte_of_its_image_or_root_can_be_another() {
    let root = "[[partitions]]\ntype = \"root\"\nverity = true\n";
    let sealed = Sealed::new(["layout = \"simple\"\nvolatile = \"overlay\"\n", "", root]);
    sealed.trusts();
    sealed.starts();
    damage(&sealed.disk, sealed.find("roothash="), || drop(sealed.refuses("Error loading")));
    let table = partitions(&sealed.disk);
    let root = table.iter().find(|partition| partition.kind == ROOT).unwrap();
    damage(&sealed.disk, root.start, || drop(sealed.refuses("data block 0 is corrupted")));
    sealed.starts();
}

/// The disk itself gives a firmware in setup mode its keys, which from then on starts nothing else.
#[test]
#[ignore = "long: make matrix"]
fn a_firmware_without_keys_is_given_them_by_the_disk() {
    let sealed = Sealed::new(["", "enroll = \"keys\"\nenroll-mode = \"force\"\n", ""]);
    fs::copy(TEMPLATE, sealed.path().join(VARIABLES)).unwrap();
    // systemd-boot restarts the machine once they are written.
    let console = sealed.rack().ends();
    assert!(!console.contains("report:"), "{console}");
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
    found.unwrap_or_else(|| panic!("{} is nowhere on the disk", String::from_utf8_lossy(text)))
}
