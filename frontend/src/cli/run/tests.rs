//! What is typed → the exact QEMU command.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn typed(words: &str) -> Args {
    Typed::parse_from(std::iter::once("run").chain(words.split_whitespace())).args
}

const PFLASH: Pflash = Pflash { code: "/fw/CODE.fd", vars: "/fw/VARS.fd" };

fn machine(firmware: QemuFirmware, accel: Accel) -> Machine {
    Machine {
        arch: Architecture::X86_64,
        qemu: "qemu".into(),
        firmware: ChosenFirmware::Installed(firmware),
        accel,
        network: Network::User,
        disk: "web.qcow2".into(),
        driver: "qcow2",
        sector_size: sectors::USUAL,
        further: Vec::new(),
        nocloud: None,
        is_kept: false,
    }
}

#[test]
fn a_disk_has_the_sectors_that_it_is_laid_out_for() {
    let machine = Machine { sector_size: 4096, ..machine(QemuFirmware::Bios, Accel::Tcg) };
    let command = shell::show(&machine.command(&typed("web.qcow2")));
    let device = "virtio-blk-pci,drive=disk,bootindex=0,logical_block_size=4096,physical_block_size=4096 ";
    assert!(command.contains(device), "{command}");
}

#[test]
fn the_plain_machine() {
    let command = machine(QemuFirmware::Bios, Accel::Kvm).command(&typed("web.qcow2"));
    assert_eq!(
        shell::show(&command),
        "qemu -machine q35 -accel kvm -cpu host -m 1G -smp 2 \
         -drive if=none,id=disk,format=qcow2,file.driver=file,file.filename=web.qcow2 \
         -device virtio-blk-pci,drive=disk,bootindex=0 \
         -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
         -device virtio-rng-pci -serial mon:stdio -display none"
    );
}

#[test]
fn every_option() {
    let words = "a,b.raw -m 512M -c 4 -p 8080:80 -p 0.0.0.0:53:53/udp --snapshot --graphics --qemu-arg=-no-reboot --qemu-arg -s";
    let mut machine = machine(QemuFirmware::SecureBoot(PFLASH), Accel::Tcg);
    machine.driver = "raw";
    machine.disk = "a,b.raw".into();
    assert_eq!(
        shell::show(&machine.command(&typed(words))),
        "qemu -machine q35,smm=on -accel tcg,thread=multi -cpu max -m 512M -smp 4 \
         -global driver=cfi.pflash01,property=secure,value=on \
         -drive if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd \
         -drive if=pflash,unit=1,format=raw,snapshot=on,file=/fw/VARS.fd \
         -drive if=none,id=disk,format=raw,snapshot=on,file.driver=file,file.filename=a,,b.raw \
         -device virtio-blk-pci,drive=disk,bootindex=0 \
         -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53 \
         -device virtio-net-pci,netdev=net,romfile= \
         -device virtio-rng-pci -serial mon:stdio -device virtio-gpu-pci -no-reboot -s"
    );
}

#[test]
fn a_machine_may_have_no_network_card() {
    for words in ["web.qcow2 --no-network", "web.qcow2 --network none -c 4 --snapshot"] {
        let args = typed(words);
        let network = Network::of(&args).unwrap();
        let command = Machine { network, ..machine(QemuFirmware::Bios, Accel::Tcg) }.command(&args);
        let command = shell::show(&command);
        assert!(command.contains(" -nic none ") && !command.contains("virtio-net"), "{command}");
    }
    for words in ["-p 8080:80", "--network user"] {
        let words = format!("run web.qcow2 --no-network {words}");
        assert!(Typed::try_parse_from(words.split_whitespace()).is_err(), "{words}");
    }
    let error = Network::of(&typed("web.qcow2 --network none -p 8080:80")).unwrap_err();
    assert!(error.to_string().starts_with("--publish: "), "{error}");
    let error = Network::of(&typed("web.qcow2 --network bridge=no-such0")).unwrap_err();
    assert_eq!(error.to_string(), "--network: there is no interface no-such0");
}

#[test]
fn a_disk_may_have_others_beside_it_ports_something_to_be_told_and_a_firmware_of_its_own() {
    let mut machine = machine(QemuFirmware::Bios, Accel::Tcg);
    machine.firmware = ChosenFirmware::File("coreboot.rom".into());
    machine.further = vec![
        DiskDrive { file: "a.qcow2".into(), driver: "qcow2" },
        DiskDrive { file: "b.vmdk".into(), driver: "vmdk" },
    ];
    machine.nocloud = Some("/room/cidata.raw".into());
    let command = shell::show(&machine.command(&typed("web.qcow2 --serial log=machine.log")));
    for part in [
        " -smp 2 -bios coreboot.rom -drive if=none,id=disk,",
        " -drive if=none,id=disk1,format=qcow2,file.driver=file,file.filename=a.qcow2 \
         -device virtio-blk-pci,drive=disk1,serial=disk1 ",
        " -drive if=none,id=disk2,format=vmdk,snapshot=on,file.driver=file,file.filename=b.vmdk ",
        " -drive if=none,id=told,format=raw,readonly=on,file.driver=file,file.filename=/room/cidata.raw \
         -device virtio-blk-pci,drive=told,serial=cidata ",
        " -device virtserialport,bus=ports.0,chardev=port0,name=log ",
    ] {
        assert!(command.contains(part), "{part}:\n{command}");
    }
}

#[test]
fn what_is_of_something_else_is_refused_in_one_line() {
    for (kind, words, why) in [
        (SourceKind::Disk, "web.qcow2 --machine q35", "--machine: web.qcow2 is no microVM"),
        (SourceKind::Disk, "web.qcow2 -e A=b", "--env: web.qcow2 is no microVM"),
        (SourceKind::Disk, "web.qcow2 -it", "--interactive: web.qcow2 is no microVM"),
        (SourceKind::Disk, "web.qcow2 -v .:/src", "--volume: web.qcow2 is no microVM"),
        (SourceKind::Disk, "web.qcow2 --kernel keep", "--kernel: web.qcow2 is no microVM"),
        (SourceKind::Disk, "web.qcow2 -- ls", "COMMAND: web.qcow2 is no microVM"),
        (SourceKind::Image, "app --uefi", "--uefi: app is an image"),
        (SourceKind::Image, "app --disk a.raw", "--disk: app is an image"),
        (SourceKind::Image, "app --user-data a", "--user-data: app is an image"),
        (SourceKind::Image, "app --build-network host", "--build-network: app is an image"),
        (
            SourceKind::Image,
            "app --dry-run",
            "--dry-run: app is an image, and its machine is made when it is run",
        ),
        (
            SourceKind::Image,
            "app --agent a",
            "--agent: app is an image, whose machine's agent starts the program",
        ),
        (SourceKind::Context, ". --plain-http", "--authfile and --plain-http: . is a build context"),
        (SourceKind::Disk, "web.qcow2 --stats", "--stats: web.qcow2 is no microVM"),
        (SourceKind::Microvm, "web --stats", "--stats: web is a microVM, whose kernel and root are made"),
        (SourceKind::Context, ". --stats", "--stats: . is a build context"),
        (
            SourceKind::Microvm,
            "web --kernel keep",
            "--kernel: web is a microVM, whose kernel and root are made",
        ),
        (SourceKind::Microvm, "web --ssh-key a", "--ssh-key: web is a microVM"),
        (
            SourceKind::Image,
            "app --commit",
            "--commit: app is an image, and what a machine has written goes into a disk alone",
        ),
    ] {
        let error = kind::refuse_others(&typed(words), kind).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
    for (kind, words) in [
        (
            SourceKind::Disk,
            "web.qcow2 --disk a.raw --ssh-key a --user-data b --serial a=b --firmware c --timeout 5m",
        ),
        (SourceKind::Microvm, "web --machine q35 -it -e A=b -v .:/src --timeout 9 -- ls"),
        (
            SourceKind::Image,
            "app -it --kernel file:bzImage --platform linux/arm64 -u app -w / --hostname a --entrypoint b",
        ),
        (SourceKind::Image, "app --stats --kernel image:debian:12"),
        (SourceKind::Context, ". --build-network host -c 2 -m 1G --network none"),
        (SourceKind::Image, "app -d --name web -e A=b -p 8080:80"),
        (SourceKind::Context, ". --save tried.raw"),
    ] {
        assert!(kind::refuse_others(&typed(words), kind).is_ok(), "{words}");
    }
}

#[test]
fn a_qemu_that_is_none_is_named() {
    let found = |words: &str| find_qemu(&typed(words), Architecture::X86_64);
    assert_eq!(found("web.qcow2 --qemu /bin/sh").unwrap(), Path::new("/bin/sh"));
    assert!(found("web.qcow2 --qemu sh").unwrap().is_absolute());
    for wrong in ["no-such-qemu", "/etc/passwd"] {
        let error = found(&format!("web.qcow2 --qemu {wrong}")).unwrap_err().to_string();
        assert_eq!(error, format!("--qemu {wrong}: is no program that can be run"));
    }
}

#[test]
fn formats_go_by_the_names_of_qemu() {
    let mut machine = machine(QemuFirmware::Bios, Accel::Tcg);
    for (format, driver) in [(Format::Vdi, "vdi"), (Format::Vhd, "vpc"), (Format::Vhdx, "vhdx")] {
        machine.driver = super::driver(Path::new("web.disk"), format).unwrap();
        let command = shell::show(&machine.command(&typed("web.disk")));
        assert!(command.contains(&format!("id=disk,format={driver},")), "{command}");
    }
}

#[test]
fn what_qemu_only_reads_is_a_snapshot() {
    let machine = Machine { driver: "vmdk", ..machine(QemuFirmware::Bios, Accel::Tcg) };
    let command = shell::show(&machine.command(&typed("web.vmdk")));
    assert!(command.contains("id=disk,format=vmdk,snapshot=on,file.driver=file,"), "{command}");
}

#[test]
fn a_disk_that_qemu_cant_read_is_refused() {
    let error = driver(Path::new("a disk.raw.zst"), Format::RawZst).unwrap_err();
    assert_eq!(error.to_string(), "a disk.raw.zst: QEMU cannot read a raw.zst disk");
    assert_eq!(error.hint(), Some(&"unpack it first: zstd -d 'a disk.raw.zst'".into()));
    let error = driver(Path::new("web.containerdisk.tar"), Format::ContainerDisk).unwrap_err();
    assert_eq!(error.hint(), Some(&"unpack it first: docker load -i web.containerdisk.tar".into()));
}

#[test]
fn arm_machines_have_no_system_management_mode() {
    let mut machine = machine(QemuFirmware::SecureBoot(PFLASH), Accel::Tcg);
    machine.arch = Architecture::Aarch64;
    let command = shell::show(&machine.command(&typed("web.qcow2")));
    assert!(command.starts_with(
        "qemu -machine virt,gic-version=max -accel tcg,thread=multi -cpu max -m 1G -smp 2 -drive if=pflash"
    ));
}

#[test]
fn only_one_firmware_at_a_time() {
    for words in
        ["run d --bios --uefi", "run d --uefi --secure-boot", "run d --firmware a --bios", "run d -p 80"]
    {
        assert!(Typed::try_parse_from(words.split_whitespace()).is_err(), "{words}");
    }
}

#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"a\xff,b");
    assert_eq!(option_value(Path::new(name)).as_bytes(), b"a\xff,,b");
}

#[test]
fn a_machine_that_stays_has_its_ends_in_its_folder() {
    let machine = Machine { disk: OVERLAY.into(), is_kept: true, ..machine(QemuFirmware::Bios, Accel::Tcg) };
    let command = shell::show(&machine.command(&typed("web.qcow2 -d")));
    for part in [
        "-drive if=none,id=disk,format=qcow2,file.driver=file,file.filename=overlay.qcow2 ",
        "-chardev socket,id=status,path=status.sock -device virtserialport,bus=ports.0,chardev=status,name=io.vmimage.status ",
        "-chardev socket,id=agent,server=on,wait=off,path=port.sock \
         -device virtserialport,bus=ports.0,chardev=agent,name=io.vmimage.agent ",
        "-chardev socket,id=console,path=console.sock -serial chardev:console ",
        "-qmp unix:qmp.sock,server=on,wait=off",
    ] {
        assert!(command.contains(part), "{part}: {command}");
    }
    assert!(!command.contains("stdio"), "{command}");
}

#[test]
fn what_is_thrown_away_does_not_stay() {
    for (words, part) in [
        ("web -d --snapshot", "--snapshot: "),
        ("web --name a --agent x", "--agent: "),
        ("web -d -i", "--interactive: "),
        ("web -d -v .:/src", "--volume: "),
        ("web.qcow2 -d --disk a.raw", "--disk: "),
        ("web.qcow2 -d --timeout 9", "--timeout: "),
    ] {
        let error = stays::refuse_what_is_thrown_away(&typed(words)).unwrap_err();
        assert!(error.to_string().starts_with(part) && error.hint().is_some(), "{error}");
    }
    for words in ["web -d", "web --name a", "web --save x.raw", "web --commit"] {
        assert!(stays::is_asked(&typed(words)), "{words}");
        stays::refuse_what_is_thrown_away(&typed(words)).unwrap();
    }
    assert!(!stays::is_asked(&typed("web --snapshot")));
    for words in ["run web -d --save x.raw", "run web -d --commit", "run web --name ../x"] {
        assert!(Typed::try_parse_from(words.split(' ')).is_err(), "{words}");
    }
}
