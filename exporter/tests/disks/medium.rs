//! Media of machines: what is around the disk, and that the disk is what it would be without them.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use exporter::assemble::{Input, plan};
use exporter::boot;
use exporter::container::{Format, write};
use exporter::engine::Run;
use exporter::machine::Materials;
use exporter::spec::{Firmware, Hardware, Initramfs, Loader, Mode, Spec};
use exporter::tree::{Editor, Meta, Time, Tree};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::inputs::input;
use crate::kernels;
use crate::layouts::said;
use crate::microvm::{STUB, debian, stub};

fn spec(formats: &[Format]) -> Spec {
    let initramfs = Some(Initramfs::Vmimage);
    Spec { name: "web".into(), formats: formats.to_vec(), initramfs, ..Spec::default() }
}

/// A machine whose kernel can be read, with boot loader files for media.
fn machine(spec: &Spec) -> Input {
    let root = debian(&[]);
    let install = "unattended = true\n";
    let mut context = Tree::new(Meta::default());
    Editor::new(&mut context, Time::default())
        .write_file("/install.toml", install.as_bytes(), 0o644)
        .unwrap();
    let mut input = Input { materials: Materials { context, ..Materials::default() }, ..input(root) };
    let boot = input.boot.as_mut().unwrap();
    boot.media.cdboot = Some(cdboot());
    boot.media.pxe = Some(Arc::from(&b"GRUB for TFTP"[..]));
    boot.media.net = Some(Arc::from(&b"GRUB for UEFI"[..]));
    boot.bios.as_mut().unwrap().modules = boot::core_modules(spec).into_iter().map(str::to_owned).collect();
    input
}

fn cdboot() -> Arc<[u8]> {
    vec![0x90; 2048].into()
}

struct Made {
    scratch: TempDir,
    edits: Vec<String>,
}

impl Made {
    fn of(spec: &Spec, threads: usize) -> Self {
        Self::with(spec, threads, |_| ())
    }

    fn with(spec: &Spec, threads: usize, change: impl FnOnce(&mut Input)) -> Self {
        let run = Run::silent(NonZeroUsize::new(threads).unwrap());
        let mut input = machine(spec);
        change(&mut input);
        let planned = plan(spec, input, &run).unwrap_or_else(|error| panic!("{error}"));
        let scratch = TempDir::new().unwrap();
        let target = |&format: &Format| {
            planned.target(scratch.path().join(format.name()), format, format.default_compression())
        };
        let targets: Vec<_> = spec.formats.iter().map(target).collect();
        write(planned.image(), &targets, &run).unwrap();
        Self { scratch, edits: planned.system.unwrap().edits }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.scratch.path().join(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.scratch.path().join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// All files of the ISO in a folder of their own.
    fn unpack(&self) {
        let out = self.path("out");
        said(Command::new("xorriso").args([
            "-osirrox",
            "on",
            "-indev",
            &self.path("iso"),
            "-extract",
            "/",
            &out,
        ]));
        said(Command::new("chmod").args(["-R", "u+w", &out]));
    }
}

fn read_json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn an_iso_has_the_disk_of_the_same_build_and_what_starts_it() {
    let mut asked = spec(&[Format::Raw, Format::Iso]);
    asked.cmdline = "quiet root=/dev/sda1".into();
    asked.medium.install = Some("install.toml".into());
    asked.medium.default = Some(Mode::Install);
    let made = Made::of(&asked, 2);
    made.unpack();
    assert!(made.bytes("out/vmimage/disk.raw") == made.bytes("raw"));
    assert_eq!(made.bytes("out/vmimage/disk.index").len(), made.bytes("raw").len().div_ceil(65536) * 36);
    assert_eq!(made.text("out/vmimage/install.toml"), "unattended = true\n");
    assert_eq!(made.bytes("out/vmimage/vmlinuz"), kernels::bz_image(&kernels::vmlinux()));
    let about = read_json(&made.bytes("out/vmimage/medium.json"));
    let id = about["id"].as_str().unwrap();
    assert_eq!(made.bytes(&format!("out/vmimage/{id}")), b"");
    assert_eq!(about["modes"], json!(["install", "live", "rescue"]));
    let root = json!({"partition": 3, "type": "ext4"});
    assert_eq!((&about["root"], &about["target"]["root"]), (&root, &root));
    assert_eq!(about["target"]["loader"], "\\EFI\\BOOT\\BOOTX64.EFI");
    assert_eq!((&about["disk"]["packed"], &about["disk"]["index_sha256"]), (&json!(false), &Value::Null));
    assert_eq!(about["disk"]["bytes"], made.bytes("raw").len());

    let menu = made.text("out/boot/grub/grub.cfg");
    assert!(menu.contains("set default=install\nset timeout=5\n"), "{menu}");
    let line = format!(
        "\tlinux /vmimage/vmlinuz vmimage.mode=live vmimage.medium={id} console=tty0 console=ttyS0,115200n8"
    );
    assert!(menu.contains(&line) && menu.contains(" quiet splash\n") && !menu.contains("root="), "{menu}");
    let stub = made.text("out/EFI/debian/grub.cfg");
    assert!(stub.contains(&format!("search.file /vmimage/{id} root $disk\n")), "{stub}");
    let esp = made.path("out/efi.img");
    let on_esp = said(Command::new("mtype").args(["-i", &esp, "::/EFI/debian/grub.cfg"]));
    assert_eq!(on_esp, stub);
    let report = Command::new("xorriso")
        .args(["-indev", &made.path("iso"), "-report_el_torito", "plain"])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.contains("BIOS") && report.contains("UEFI"), "{report}");
    let edits = made.edits.join("\n");
    assert!(edits.contains("medium: /boot/vmlinuz") && !edits.contains("no BIOS starts the disc"), "{edits}");
}

#[test]
fn a_folder_for_the_network_has_a_root_of_its_own() {
    let mut asked = spec(&[Format::Netboot]);
    asked.layout = serde_json::from_str(r#"{"preset":"split-boot"}"#).unwrap();
    let made = Made::of(&asked, 2);
    let expected = [
        "SHA256SUMS",
        "boot.ipxe",
        "disk.index",
        "disk.zst",
        "grub.cfg",
        "grub.pxe",
        "grubx64.efi",
        "initramfs",
        "medium.json",
        "mmx64.efi",
        "root.erofs",
        "shimx64.efi",
        "vmlinuz",
    ];
    assert_eq!(made.names("netboot"), expected);
    said(Command::new("fsck.erofs").arg(made.path("netboot/root.erofs")));
    // All of the tree, whatever partitions have of it.
    let listed =
        said(Command::new("dump.erofs").args(["--ls", "--path=/boot", &made.path("netboot/root.erofs")]));
    assert!(listed.contains("vmlinuz"), "{listed}");
    let sums = Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(made.path("netboot"))
        .status()
        .unwrap();
    assert!(sums.success());
    assert!(made.edits.iter().any(|edit| edit.contains("no netboot.efi")), "{:?}", made.edits);
}

#[test]
fn what_runs_live_without_a_menu_is_there_where_that_is_the_default() {
    let of = |default, has_stub: bool| {
        let mut asked = spec(&[Format::Netboot]);
        asked.medium.default = default;
        let made = Made::with(&asked, 1, |input| {
            if has_stub {
                Editor::new(&mut input.root, Time::default()).write_file(STUB, stub(), 0o644).unwrap();
            }
        });
        let lines: Vec<_> =
            made.edits.iter().filter(|edit| edit.contains("no netboot.efi")).cloned().collect();
        (made.names("netboot").contains(&"netboot.efi".to_owned()), lines.join("\n"))
    };
    assert_eq!(of(None, true), (true, String::new()));
    assert_eq!(of(Some(Mode::Live), true), (true, String::new()));
    let (there, line) = of(Some(Mode::Install), true);
    assert!(!there && line.ends_with("runs live, and medium.default is another mode"), "{line}");
    let (there, line) = of(None, false);
    assert!(!there && line.contains("no systemd stub"), "{line}");
}

#[test]
fn what_was_not_asked_for_has_no_files() {
    let mut asked = spec(&[Format::Iso, Format::Netboot]);
    asked.medium.modes = vec![Mode::Rescue];
    let made = Made::of(&asked, 2);
    made.unpack();
    for gone in ["disk.raw", "disk.index", "install.toml"] {
        assert!(!Path::new(&made.path(&format!("out/vmimage/{gone}"))).exists(), "{gone}");
    }
    let names = made.names("netboot");
    assert!(names.iter().all(|name| !name.starts_with("disk.") && !name.starts_with("root.")), "{names:?}");
    let mut live = spec(&[Format::Iso]);
    live.medium.modes = vec![Mode::Live];
    let made = Made::of(&live, 2);
    made.unpack();
    assert_eq!(made.names("out/vmimage").iter().filter(|name| name.starts_with("disk.")).count(), 2);
    assert_eq!(read_json(&made.bytes("out/vmimage/medium.json"))["disk"]["file"], "disk.raw");
}

#[test]
fn the_same_bytes_at_every_number_of_threads() {
    let asked = spec(&[Format::Iso, Format::Netboot]);
    let [one, other] = [1, 3].map(|threads| Made::of(&asked, threads));
    assert!(one.bytes("iso") == other.bytes("iso"));
    assert_eq!(one.names("netboot"), other.names("netboot"));
    for name in one.names("netboot") {
        assert!(one.bytes(&format!("netboot/{name}")) == other.bytes(&format!("netboot/{name}")), "{name}");
    }
}

#[test]
fn what_no_medium_comes_of_is_named() {
    let refused = |spec: &Spec, change: fn(&mut Input)| {
        let mut input = machine(spec);
        change(&mut input);
        let run = Run::silent(NonZeroUsize::MIN);
        plan(spec, input, &run).map(drop).unwrap_err().to_string()
    };
    let iso = spec(&[Format::Iso]);
    let no_program = refused(&iso, |input| input.programs.medium = None);
    assert!(no_program.starts_with("medium: is started by vmimage's own program"), "{no_program}");
    let bios = Spec { firmware: Firmware::Bios, ..iso.clone() };
    let no_cdboot = refused(&bios, |input| input.boot.as_mut().unwrap().media.cdboot = None);
    assert!(no_cdboot.ends_with("there is no cdboot.img"), "{no_cdboot}");
    let other = refused(&iso, |input| input.boot.as_mut().unwrap().bios.as_mut().unwrap().modules.clear());
    assert!(other.starts_with("core.img: was made for another layout"), "{other}");
    let mut file = iso.clone();
    file.medium.install = Some("fleet/install.toml".into());
    assert!(refused(&file, |_| ()).contains("fleet/install.toml"));
    let mut link = iso.clone();
    link.medium.install = Some("link.toml".into());
    let on_link = refused(&link, |input| {
        let editor = &mut Editor::new(&mut input.materials.context, Time::default());
        editor.symlink("/link.toml", "install.toml").unwrap();
    });
    assert_eq!(on_link, "link.toml: is no regular file, and the installer is told by one");
    let long = refused(&link, |input| {
        let editor = &mut Editor::new(&mut input.materials.context, Time::default());
        editor.write_file("/link.toml", vec![b'#'; (1 << 20) + 1], 0o644).unwrap();
    });
    assert!(long.contains("link.toml: 1048577 bytes"), "{long}");
    let loader = Spec { loader: Loader::SystemdBoot, ..iso };
    assert!(refused(&loader, |_| ()).starts_with("spec: loader: iso has a menu of GRUB's"));
}

#[test]
fn the_initramfs_of_a_machine_of_metal_begins_with_its_microcode() {
    let initramfs = |hardware| {
        let made = Made::with(&Spec { hardware, ..spec(&[Format::Netboot]) }, 1, |input| {
            Editor::new(&mut input.root, Time::default())
                .write_file("/lib/firmware/intel-ucode/06-8f-08", &b"for one processor"[..], 0o644)
                .unwrap();
        });
        made.bytes("netboot/initramfs")
    };
    let has = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    let metal = initramfs(Hardware::Metal);
    assert!(metal.starts_with(b"070701") && has(&metal[..1024], "kernel/x86/microcode/GenuineIntel.bin"));
    assert!(has(&metal[..2048], "for one processor"));
    assert!(!has(&initramfs(Hardware::Virtual), "microcode"));
}

#[test]
fn the_initramfs_has_the_authorities_of_the_image() {
    let made = Made::with(&spec(&[Format::Netboot]), 1, |input| {
        Editor::new(&mut input.root, Time::default())
            .write_file("/etc/pki/tls/certs/ca-bundle.crt", &b"an authority"[..], 0o644)
            .unwrap();
    });
    let initramfs = made.bytes("netboot/initramfs");
    let head = &initramfs[..4096.min(initramfs.len())];
    let find = |text: &[u8]| head.windows(text.len()).position(|window| window == text);
    let name = find(b"etc/ssl/certs/ca-certificates.crt").unwrap();
    assert!(initramfs.starts_with(b"070701") && name < find(b"an authority").unwrap());
    let none = Made::of(&spec(&[Format::Netboot]), 1).edits.join("\n");
    assert!(
        none.contains("HTTPS believes nobody") && !made.edits.join("\n").contains("believes nobody"),
        "{none}"
    );
}

#[test]
fn a_medium_that_tells_the_installer_something_else_is_another_one() {
    let mut asked = spec(&[Format::Netboot]);
    asked.medium.install = Some("install.toml".into());
    let of = |text: &'static str| {
        let made = Made::with(&asked, 1, |input| {
            Editor::new(&mut input.materials.context, Time::default())
                .write_file("/install.toml", text.as_bytes(), 0o644)
                .unwrap();
        });
        assert_eq!(made.text("netboot/install.toml"), text);
        read_json(&made.bytes("netboot/medium.json"))["id"].as_str().unwrap().to_owned()
    };
    let [one, same, other] = ["unattended = true", "unattended = true", "unattended = false"].map(of);
    assert!(one == same && one != other, "{one} {same} {other}");
}
