//! A folder and what is typed → the exact QEMU command, or an error in one line.

use std::fs;

use clap::Parser;
use serde_json::{Value, json};

use super::super::kind::{self, SourceKind};
use super::*;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn typed(words: &str) -> Args {
    Typed::parse_from(std::iter::once("run").chain(words.split_whitespace())).args
}

fn description() -> Value {
    json!({
        "version": 1, "name": "web", "architecture": "x86_64", "cpus": 2, "memory_mib": 192,
        "kernel": "vmlinuz", "initramfs": "initramfs", "cmdline": "root=/dev/vda rw",
        "drives": [{"id": "root", "file": "root.raw", "format": "raw", "read_only": false}],
        "ports": ["80/tcp"], "agent": "io.vmimage.agent", "status": "io.vmimage.status",
        "machines": ["q35", "microvm"],
    })
}

/// The folder of a microVM that is described so.
fn folder(description: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vmlinuz", "initramfs", "root.raw"] {
        fs::write(folder.path().join(name), "content").unwrap();
    }
    fs::write(folder.path().join("vm.json"), description.to_string()).unwrap();
    folder
}

/// The command without the path of the folder.
fn command(description: &Value, words: &str) -> Result<String> {
    let folder = folder(description);
    let args = typed(&format!("{} {words}", folder.path().display()));
    kind::refuse_others(&args, SourceKind::Microvm)?;
    let microvm = Microvm::read(folder.path())?;
    let is_attached = args.program.interactive || args.program.tty;
    let mode = if is_attached { Mode::Attached { keeps_root: true } } else { Mode::Console };
    let machine = Machine::new(&args, microvm, Some(folder.path()), mode)?;
    let machine = Machine { qemu: "qemu".into(), accel: Accel::Tcg, ..machine };
    let shown = shell::show(&machine.command(&args, "socket,fd=7"));
    Ok(shown.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn a_pc_with_no_more_than_it_needs() {
    assert_eq!(
        command(&description(), "").unwrap(),
        "qemu -machine q35,vmport=off,smbus=off,sata=off -accel tcg,thread=multi -cpu max -m 192M -smp 2 \
         -nodefaults -no-user-config -no-reboot -display none \
         -kernel vmlinuz -initrd initramfs -append 'root=/dev/vda rw' \
         -drive if=none,id=root,format=raw,file.driver=file,file.filename=root.raw \
         -device virtio-blk-pci,drive=root,serial=root -device virtio-serial-pci,id=ports \
         -chardev socket,id=status,fd=7 \
         -device virtserialport,bus=ports.0,chardev=status,name=io.vmimage.status \
         -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
         -device virtio-rng-pci -serial mon:stdio"
    );
}

#[test]
fn a_machine_without_pci_and_every_flag() {
    let mut description = description();
    description["drives"][0]["read_only"] = true.into();
    description.as_object_mut().unwrap().remove("initramfs");
    let words = "--machine microvm -m 64M -c 1 -p 8080:80 --agent a,b --snapshot --qemu-arg -s";
    let clock = clock::words().map(|words| format!("{words} ")).unwrap_or_default();
    assert_eq!(
        command(&description, words).unwrap(),
        format!(
            "qemu -machine microvm -accel tcg,thread=multi -cpu max -m 64M -smp 1 \
         -nodefaults -no-user-config -no-reboot -display none -kernel vmlinuz -append '{clock}root=/dev/vda rw' \
         -drive if=none,id=root,format=raw,readonly=on,file.driver=file,file.filename=root.raw \
         -device virtio-blk-device,drive=root,serial=root -device virtio-serial-device,id=ports \
         -chardev socket,id=status,fd=7 \
         -device virtserialport,bus=ports.0,chardev=status,name=io.vmimage.status \
         -chardev socket,id=agent,server=on,wait=off,path=a,,b \
         -device virtserialport,bus=ports.0,chardev=agent,name=io.vmimage.agent \
         -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80 -device virtio-net-device,netdev=net \
         -device virtio-rng-device -serial mon:stdio -s"
        )
    );
}

#[test]
fn writes_are_thrown_away_and_cards_left_out_where_that_is_asked() {
    let command = command(&description(), "--snapshot --no-network").unwrap();
    assert!(
        command.contains("id=root,format=raw,snapshot=on,") && !command.contains("virtio-net"),
        "{command}"
    );
}

#[test]
fn a_machine_is_told_more_by_a_drive_behind_its_own() {
    let command = command(&description(), "-e A=b --hostname web").unwrap();
    let drive = " -device virtio-blk-pci,drive=root,serial=root \
                 -drive if=none,id=told,format=raw,readonly=on,file.driver=file,file.filename=told \
                 -device virtio-blk-pci,drive=told,serial=vmimage-config -device virtio-serial-pci,";
    assert!(command.contains(drive) && command.ends_with(" -serial mon:stdio"), "{command}");
}

#[test]
fn a_root_that_is_served_is_read_over_its_socket_and_never_written() {
    let folder = folder(&description());
    let args = typed(&folder.path().display().to_string());
    let microvm =
        Microvm::read(folder.path()).unwrap().with_root(At::Server("/x/a,b.sock".into())).with_size(2, 1024);
    let mode = Mode::Attached { keeps_root: false };
    let machine = Machine::new(&args, microvm, Some(folder.path()), mode).unwrap();
    let command = shell::show(&machine.command(&args, "socket,fd=7"));
    let drive = " -m 1024M -smp 2 ";
    assert!(command.contains(drive), "{command}");
    let drive = " -drive if=none,id=root,format=raw,snapshot=on,file.driver=nbd,file.server.type=unix,file.server.path=/x/a,,b.sock \
                 -device virtio-blk-pci,drive=root,serial=root ";
    assert!(command.contains(drive), "{command}");
}

#[test]
fn with_a_terminal_the_console_is_in_a_file_and_the_agent_is_ours() {
    let command = command(&description(), "-it").unwrap();
    for part in [
        " -chardev socket,id=agent,server=on,wait=off,path=agent.sock ",
        " -chardev file,id=console,path=console -serial chardev:console",
        "serial=vmimage-config",
    ] {
        assert!(command.contains(part), "{part}: {command}");
    }
    assert!(!command.contains("stdio"), "{command}");
}

#[test]
fn what_a_kernel_cannot_do_is_refused() {
    let error = command(&description(), "--machine microvm,acpi=off").unwrap_err();
    assert!(error.to_string().starts_with("--machine microvm,acpi=off: the kernel of "), "{error}");
    assert_eq!(error.hint(), Some(&"it can do q35 and microvm".into()));
    for flag in ["--bios", "--uefi", "--secure-boot", "--graphics"] {
        let error = command(&description(), flag).unwrap_err().to_string();
        assert!(error.starts_with(flag) && error.ends_with(" is a microVM"), "{error}");
    }
}

/// A description with one member that is another.
#[track_caller]
fn refused(pointer: &str, value: Value, part: &str) {
    let mut description = description();
    *description.pointer_mut(pointer).unwrap() = value;
    let error = command(&description, "").unwrap_err();
    let error = error.to_string();
    assert!(error.contains(part) && !error.contains('\n'), "{pointer}: {error}");
}

#[test]
fn a_description_is_not_believed() {
    refused("/version", 2.into(), "vm.json: is of version 2, and this");
    refused("/architecture", "riscv64".into(), "vm.json: describes no microVM: unknown variant `riscv64`");
    refused("/cpus", 0.into(), "cpus: 0 are not 1 to 255");
    refused("/memory_mib", (2 << 20).into(), "memory_mib: 2097152 are not 1 to");
    refused("/cmdline", "quiet\ninit=/bin/sh".into(), "cmdline: is not one line");
    refused("/cmdline", "x".repeat(2048).into(), "cmdline: is not one line");
    refused("/status", "a,path=/etc/passwd".into(), "is no name of a port");
    refused("/drives/0/id", "root,file=/etc/passwd".into(), "is no id of a drive");
    refused("/drives/0/format", "vmdk".into(), "unknown variant `vmdk`");
    refused("/drives/0/format", "qcow2".into(), "root.raw");
    refused("/machines", json!("q35"), "invalid type");
    for outside in ["/etc/passwd", "../vmlinuz", "..", ".", "", "a/b", "vmlinuz/", "./vmlinuz", "a\0"] {
        for pointer in ["/kernel", "/initramfs", "/drives/0/file"] {
            refused(pointer, outside.into(), "which is no file beside it");
        }
    }
    refused("/kernel", "missing".into(), "missing: No such file");
}

#[test]
fn links_and_folders_are_no_files() {
    let folder = folder(&description());
    let root = folder.path().join("root.raw");
    fs::remove_file(&root).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &root).unwrap();
    let error = Microvm::read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("vm.json: root.raw: is no regular file"), "{error}");
    fs::remove_file(&root).unwrap();
    fs::create_dir(&root).unwrap();
    assert!(Microvm::read(folder.path()).is_err());
}

#[test]
fn a_qcow2_that_names_another_file_is_refused() {
    let mut description = description();
    description["drives"][0]["format"] = "qcow2".into();
    let folder = folder(&description);
    // The header of version 2 with a backing file's name of 11 bytes at offset 72, and a disk of one cluster.
    let mut header = vec![0; 1 << 16];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    header[15] = 72;
    header[19] = 11;
    header[23] = 16;
    header[29] = 1;
    // One entry of the L1 table, behind the first cluster.
    header[39] = 1;
    header[45] = 1;
    header.resize(2 << 16, 0);
    header[72..83].copy_from_slice(b"/etc/passwd");
    let root = folder.path().join("root.raw");
    fs::write(&root, &header).unwrap();
    let error = Microvm::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("backing file"), "{error}");
    header[8..20].fill(0);
    fs::write(&root, &header).unwrap();
    assert!(Microvm::read(folder.path()).is_ok(), "the same without one");
}

#[test]
fn an_initramfs_is_one_file() {
    let mut description = description();
    description["initramfs"] = "initramfs,secret".into();
    let folder = folder(&description);
    fs::write(folder.path().join("initramfs,secret"), "").unwrap();
    let error = Microvm::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("has a comma"), "{error}");
}

/// QEMU runs in another folder, where its own disk and its sockets are.
#[test]
fn a_machine_that_stays_writes_to_a_disk_of_its_own() {
    let folder = folder(&description());
    let args = typed(&format!("{} --name web -e A=b", folder.path().display()));
    let microvm = Microvm::read(folder.path()).unwrap();
    let machine = Machine::new(&args, microvm, None, Mode::Console).unwrap();
    let machine = Machine { qemu: "qemu".into(), accel: Accel::Tcg, ..machine };
    let made = machine.stay(&args).unwrap();
    assert!(made.config.as_ref().unwrap().starts_with(b"{\"env\":[\"A=b\"]}"));
    let folder = folder.path().canonicalize().unwrap();
    assert_eq!((made.drives.len(), made.drives[0].base()), (1, &*folder.join("root.raw")));
    assert_eq!((made.drives[0].size, &*made.drives[0].driver), (512, "raw"));
    let command = shell::show(&made.command);
    for part in [
        format!("-kernel {0}/vmlinuz -initrd {0}/initramfs ", folder.display()),
        "-drive if=none,id=root,format=qcow2,file.driver=file,file.filename=root.qcow2 ".into(),
        "-drive if=none,id=told,format=raw,readonly=on,file.driver=file,file.filename=told ".into(),
        "-chardev socket,id=status,path=status.sock ".into(),
        "-chardev socket,id=agent,server=on,wait=off,path=port.sock ".into(),
        "-chardev socket,id=console,path=console.sock -serial chardev:console -qmp unix:qmp.sock,server=on,wait=off".into(),
    ] {
        assert!(command.contains(&part), "{part}: {command}");
    }
    assert!(!command.contains("stdio"), "{command}");
}
