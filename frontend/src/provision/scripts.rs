//! The parts of the scripts that decide something, run as they are, with programs that say what others recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A folder for the cache, the step's own folder, and the programs of one script.
pub(super) struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "cache", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A program that prints `output`, whatever it is asked.
    pub(super) fn program(&self, name: &str, output: &str) {
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\ncat <<'EOF'\n{output}\nEOF\n")).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    pub(super) fn run(&self, script: &str, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin"));
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(args).env_clear();
        command.env("PATH", path).envs(["CACHE", "WORK"].map(|name| (name, self.path(&name.to_lowercase()))));
        command.envs(environment.iter().copied());
        command.output().unwrap()
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a script has said; it has to end well.
pub(super) fn text_of(done: &Output) -> String {
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout)
}

pub(super) const DOWNLOADS: &str = include_str!("downloads.sh");
const APT: &str = concat!(
    include_str!("downloads.sh"),
    include_str!("apt.sh"),
    include_str!("version.sh"),
    "printf '> %s\\n' \"$@\""
);
const DNF: &str = concat!(
    include_str!("downloads.sh"),
    include_str!("rpm.sh"),
    include_str!("repodata.sh"),
    include_str!("dnf.sh"),
    include_str!("version.sh"),
    "printf '> %s\\n' \"$@\""
);
const ZYPPER: &str = concat!(
    include_str!("downloads.sh"),
    include_str!("rpm.sh"),
    include_str!("zypper.sh"),
    include_str!("version.sh"),
    "printf '> %s\\n' \"$@\""
);

/// Before and after a step that installs: what there is in /boot and /lib/modules, what was asked, and the record.
#[test]
fn a_step_records_the_kernels_that_it_leaves() {
    let virt = "under /boot/vmlinuz-virt\n";
    for (before, after, what, record) in [
        (&[][..], &["boot/vmlinuz-virt"][..], "under", virt),
        (&[], &["boot/vmlinuz-virt"], "asked", "under /boot/vmlinuz-virt\nasked /boot/vmlinuz-virt\n"),
        (
            &["boot/vmlinuz-1"],
            &["boot/vmlinuz-2", "lib/modules/2/vmlinuz"],
            "asked",
            "under /boot/vmlinuz-1\nunder /boot/vmlinuz-2\nunder /lib/modules/2/vmlinuz\n\
             asked /boot/vmlinuz-2\nasked /lib/modules/2/vmlinuz\n",
        ),
        // It was there already.
        (&["boot/vmlinuz-virt"], &[], "asked", "under /boot/vmlinuz-virt\nasked /boot/vmlinuz-virt\n"),
        (&["boot/vmlinuz-virt"], &[], "under", virt),
        (&[], &[], "asked", ""),
    ] {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.path("boot")).unwrap();
        let root = sandbox.path("");
        let make = |files: &[&str]| {
            for path in files.iter().map(|file| sandbox.path(file)) {
                fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
        };
        make(before);
        let install: String = after
            .iter()
            .map(|file| format!("mkdir -p \"${{1}}{0}\"; rmdir \"${{1}}{0}\"; : >\"${{1}}{0}\"\n", file))
            .collect();
        let kernels = include_str!("kernels.sh");
        let kernels = ["/boot/", "/lib/modules/"]
            .iter()
            .fold(kernels.to_owned(), |text, path| text.replace(path, &format!("{root}{}", &path[1..])));
        let done = sandbox.run(&format!("set -eu\n{kernels}{install}record_kernels {what}"), &[&root], &[]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let recorded = fs::read_to_string(sandbox.path("boot/vmimage-kernels")).unwrap_or_default();
        assert_eq!(recorded.replace(&root, "/"), record, "{before:?} {after:?} {what}");
    }
}

/// GRUB's core for a BIOS is told a file to look for, on the disk that was started first, and no partition.
#[test]
fn the_core_for_a_bios_knows_no_partition() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("boot.img"), "boot").unwrap();
    let folder = sandbox.path("");
    let script = format!(
        "set -eu\ncore_modules='part_msdos fat xfs'\n{}mkimage() {{ cat \"$WORK/core.cfg\"; echo \"$@\"; }}\nbios_core mkimage \"$1\" \"$2\" debian",
        include_str!("grub.sh")
    );
    let done = sandbox.run(&script, &[&folder, &sandbox.path("work")], &[]);
    let said = text(&done.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        said.starts_with("search.file /EFI/debian/grub.cfg root ${root},\nset prefix=(${root})/EFI/debian\n"),
        "{said}"
    );
    assert!(said.contains(" -p /EFI/debian ") && !said.contains(",gpt"), "{said}");
    assert!(said.contains(" biosdisk part_msdos fat xfs normal "), "{said}");
    assert_eq!(fs::read_to_string(sandbox.path("work/modules")).unwrap(), "part_msdos fat xfs\n");
    assert_eq!(fs::read_to_string(sandbox.path("work/boot.img")).unwrap(), "boot");
    assert!(!said.contains("i386-pc-pxe"), "{said}");
    fs::write(sandbox.path("cdboot.img"), "cdboot").unwrap();
    let done = sandbox.run(&format!("media=yes\n{script}"), &[&folder, &sandbox.path("work")], &[]);
    let said = text(&done.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(said.contains("-O i386-pc-pxe -d ") && said.contains(" -p / pxe net tftp http "), "{said}");
    assert_eq!(fs::read_to_string(sandbox.path("work/cdboot.img")).unwrap(), "cdboot");
}

/// GRUB that checks signatures has the place of a key, and a configuration that comes before all that is read.
#[test]
fn a_grub_that_checks_signatures_ends_where_it_reads_none() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("pgp.mod"), "").unwrap();
    let run = |checks: &str, format: &str| {
        let script = format!(
            "set -eu\n{checks}core_modules='part_gpt fat xfs'\n{}mkimage() {{ cat \"$WORK/checking.cfg\"; echo \"$@\"; }}\n\
             checking_grub mkimage {format} \"$1\" image debian",
            include_str!("grub.sh")
        );
        let done = sandbox.run(&script, &[&sandbox.path("")], &[]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    let locked = "set superusers=root\nexport superusers\n";
    let end = "set check_signatures=enforce\nverify_detached $prefix/grub.cfg $prefix/grub.cfg.sig\nnormal $prefix/grub.cfg\nhalt\n";
    let (bios, uefi) = (run("checks=yes\n", "i386-pc"), run("checks=yes\n", "x86_64-efi"));
    // The program was asked what it knows, which printed the first of both.
    for (said, disk) in [(&bios, " biosdisk part_gpt fat xfs normal "), (&uefi, " part_gpt fat xfs normal ")]
    {
        assert!(said.starts_with(locked) && said.contains(end) && said.contains(disk), "{said}");
        assert!(
            said.contains(" -p /EFI/debian --pubkey=") && said.contains(" pgp gcry_rsa gcry_sha512\n"),
            "{said}"
        );
        // Nothing that shows files, or reads variables of one that nobody signs.
        assert!(
            [" ls ", " cat ", " loadenv ", " minicmd "].iter().all(|module| !said.contains(module)),
            "{said}"
        );
    }
    let search = "search.file /EFI/debian/grub.cfg root ${root},\nset prefix=(${root})/EFI/debian\n";
    assert!(
        bios.contains(&format!("terminal_output console serial\nset check_signatures=no\n{search}{end}")),
        "{bios}"
    );
    assert!(uefi.contains(&format!("{locked}{end}")) && !uefi.contains("biosdisk"), "{uefi}");
    let place = fs::read(sandbox.path("work/key")).unwrap();
    assert!(place.len() == 1024 && place.starts_with(b"vmimage: the place of the key of GRUB "));
    assert_eq!(run("", "x86_64-efi"), "");
}

/// Each is told in a file that its own tool reads, now and when a kernel comes.
#[test]
fn an_initramfs_is_told_of_the_drivers_of_its_root() {
    let run = |script: &str, etc: &str| {
        let sandbox = Sandbox::new();
        let root = sandbox.path("root");
        let conf = format!("{root}/etc/mkinitfs");
        fs::create_dir_all(format!("{conf}/features.d")).unwrap();
        fs::create_dir_all(format!("{root}/boot")).unwrap();
        fs::write(format!("{root}/boot/vmlinuz-virt"), "").unwrap();
        fs::create_dir_all(format!("{root}/usr/share/kernel/virt")).unwrap();
        fs::write(format!("{root}/usr/share/kernel/virt/kernel.release"), "6.1-virt\n").unwrap();
        fs::write(format!("{conf}/mkinitfs.conf"), "features=\"ata base ext4\"\n").unwrap();
        sandbox.program("dracut", "");
        let script = ["/etc/", "/usr/share/", "/boot/"]
            .iter()
            .fold(script.to_owned(), |text, path| text.replace(path, &format!("{root}{path}")));
        let head = format!(
            "set -eu\ndrivers='erofs xfs'\nunlock=passphrase\nis_new_kernel() {{ true; }}\n\
             make_initramfs() {{ echo \"$@\" >{root}/made; }}\n"
        );
        for _ in 0..2 {
            let done = sandbox.run(&(head.clone() + &script), &["linux-image-amd64"], &[]);
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        fs::read_to_string(format!("{root}{etc}")).unwrap()
    };
    let dracut = include_str!("dracut-drivers.sh");
    let apt = dracut.to_owned() + include_str!("apt-drivers.sh");
    let apk = include_str!("apk-drivers.sh");
    let conf = "/etc/dracut.conf.d/vmimage-drivers.conf";
    let add = "add_drivers+=\" erofs xfs \"\n";
    assert_eq!(run(&apt, "/usr/share/initramfs-tools/modules.d/vmimage"), "erofs\nxfs\n");
    assert_eq!(run(&apt, conf), add);
    assert_eq!(run(&format!("{dracut}add_drivers_to_dracut"), conf), add);
    assert_eq!(run(apk, "/etc/mkinitfs/features.d/vmimage.modules"), "kernel/fs/erofs\nkernel/fs/xfs\n");
    assert_eq!(run(apk, "/etc/mkinitfs/mkinitfs.conf"), "features=\"ata base ext4 vmimage\"\n");
    assert_eq!(run(apk, "/made"), "virt 6.1-virt\n");
    let crypt = include_str!("apk-crypt.sh");
    assert_eq!(run(crypt, "/etc/mkinitfs/mkinitfs.conf"), "features=\"ata base ext4 cryptsetup\"\n");
    assert_eq!(run(crypt, "/made"), "virt 6.1-virt\n");
    let of_dracut = "/etc/dracut.conf.d/vmimage-crypt.conf";
    let crypt = include_str!("dracut-crypt.sh");
    assert_eq!(run(crypt, of_dracut), "add_dracutmodules+=\" crypt \"\n");
    let by = |way: &str| run(&format!("unlock={way}\n{crypt}"), of_dracut);
    assert_eq!(by("tpm2"), "add_dracutmodules+=\" crypt tpm2-tss \"\n");
    assert_eq!(by("tang"), "add_dracutmodules+=\" crypt clevis clevis-pin-tang \"\n");
    assert!(by("key-file").starts_with("add_dracutmodules+=\" crypt \"\nadd_drivers+=\" vfat "));
    let pacman = include_str!("pacman-drivers.sh");
    assert_eq!(run(pacman, "/etc/mkinitcpio.conf.d/vmimage-drivers.conf"), "MODULES+=(erofs xfs)\n");
}

const MADISON: &str = "\
 linux | 6.1.148-1 | http://deb.debian.org/debian bookworm/main amd64 Packages
 linux | 6.1.140-1 | http://security.debian.org/debian-security bookworm-security/main amd64 Packages
 linux | 6.10.11-1~bpo12+1 | http://deb.debian.org/debian bookworm-backports/main amd64 Packages";
const REPOQUERY: &str = "\
Last metadata expiration check: 0:00:01 ago on Sat Nov 22 00:00:00 2025.
linux-0:6.17.1-300.fc43.x86_64
linux-0:6.17.10-300.fc43.x86_64
linux-0:6.18.1-200.fc43.x86_64";
/// yum breaks lines that are long.
const YUM: &str = "\
Loaded plugins: fastestmirror
Available Packages
linux.x86_64          3.10.0-1160.el7                                 base
linux.x86_64
                      3.10.0-1160.119.1.el7                           updates";
const SEARCH: &str = "\
Loading repository data...

S | Name  | Type    | Version                  | Arch   | Repository
--+-------+---------+--------------------------+--------+-----------
v | linux | package | 6.4.0-150600.23.47.2     | x86_64 | updates
  | linux | package | 6.4.0-150600.21.2.150600 | x86_64 | main";

/// The newest that goes on from what was asked at the border of a component.
#[test]
fn a_version_is_the_newest_that_begins_so() {
    for (script, program, output, asked, installed) in [
        (APT, "apt-cache", MADISON, "6.1", "linux=6.1.148-1"),
        (APT, "apt-cache", MADISON, "6", "linux=6.10.11-1~bpo12+1"),
        (APT, "apt-cache", MADISON, "6.10", "linux=6.10.11-1~bpo12+1"),
        (APT, "apt-cache", MADISON, "6.1.140", "linux=6.1.140-1"),
        (APT, "apt-cache", MADISON, "6.1.140-1", "linux=6.1.140-1"),
        (DNF, "dnf", REPOQUERY, "6.17", "linux-6.17.10-300.fc43"),
        (DNF, "dnf", REPOQUERY, "6.17.1", "linux-6.17.1-300.fc43"),
        (DNF, "dnf", REPOQUERY, "6.17.1-300.fc43", "linux-6.17.1-300.fc43"),
        (DNF, "microdnf", REPOQUERY, "6.18.1-200", "linux-6.18.1-200.fc43"),
        (DNF, "yum", YUM, "3.10.0", "linux-3.10.0-1160.119.1.el7"),
        (ZYPPER, "zypper", SEARCH, "6.4", "linux=6.4.0-150600.23.47.2"),
        (ZYPPER, "zypper", SEARCH, "6.4.0-150600.21", "linux=6.4.0-150600.21.2.150600"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.program("apt-get", "");
        sandbox.program(program, output);
        let done = sandbox.run(script, &["init", &format!("linux@{asked}"), "?more"], &[]);
        assert!(done.status.success(), "{asked}: {}", text(&done.stderr));
        let args = text(&done.stdout);
        let args: Vec<_> = args.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        assert_eq!(args, ["init", installed, "?more"], "{asked}");
    }
}

#[test]
fn a_version_that_there_is_not_is_told_with_those_there_are() {
    for (script, program, output, asked, said) in [
        (
            APT,
            "apt-cache",
            MADISON,
            "6.14",
            "linux has no version 6.14; there is: 6.10.11-1~bpo12+1 6.1.148-1 6.1.140-1\n",
        ),
        (APT, "apt-cache", MADISON, "6.1.14", "linux has no version 6.1.14; there is: "),
        (APT, "apt-cache", "", "6.1", "linux has no version 6.1; there is: none\n"),
        (
            DNF,
            "dnf",
            REPOQUERY,
            "6.1",
            "linux has no version 6.1; there is: 6.18.1-200.fc43 6.17.10-300.fc43 ",
        ),
        (ZYPPER, "zypper", SEARCH, "6.40", "linux has no version 6.40; there is: 6.4.0-150600.23.47.2 "),
    ] {
        let sandbox = Sandbox::new();
        sandbox.program("apt-get", "");
        sandbox.program(program, output);
        let done = sandbox.run(script, &[&format!("linux@{asked}")], &[]);
        assert!(!done.status.success(), "{asked}: {}", text(&done.stdout));
        assert!(text(&done.stderr).starts_with(said), "{asked}: {}", text(&done.stderr));
    }
}

/// What a script makes of one of the image's .repo files.
fn mirrored(repo: &str) -> Result<String, String> {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("repos")).unwrap();
    fs::write(sandbox.path("repos/a.repo"), repo).unwrap();
    let script = concat!(include_str!("rpm.sh"), "redirect \"$1\"");
    let done = sandbox.run(script, &[&sandbox.path("repos")], &[("MIRROR", "http://m:80/x")]);
    if !done.status.success() {
        return Err(text(&done.stderr));
    }
    let left = fs::read_to_string(sandbox.path("repos/a.repo")).unwrap();
    assert_eq!(left, repo, "the image's own settings");
    Ok(fs::read_to_string(sandbox.path("work/sources/a.repo")).unwrap())
}

/// The lines of each are those of the distribution's own image.
#[test]
fn a_mirror_stands_for_the_hosts_of_each_distribution() {
    for (before, after) in [
        (
            "#baseurl=http://download.example/pub/fedora/linux/releases/$releasever/Everything/$basearch/os/\n\
             metalink=https://mirrors.fedoraproject.org/metalink?repo=fedora-$releasever&arch=$basearch\n",
            "baseurl=http://m:80/x/pub/fedora/linux/releases/$releasever/Everything/$basearch/os/\n",
        ),
        (
            "metalink=https://mirrors.centos.org/metalink?repo=centos-appstream-$stream&arch=$basearch&protocol=https,http\n",
            "baseurl=http://m:80/x/$stream/AppStream/$basearch/os/\n",
        ),
        (
            "mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os&infra=$infra\n\
             #baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\n",
            "baseurl=http://m:80/x/centos/$releasever/os/$basearch/\n",
        ),
        (
            "mirrorlist=https://mirrors.rockylinux.org/mirrorlist?arch=$basearch&repo=BaseOS-$releasever\n\
             #baseurl=http://dl.rockylinux.org/$contentdir/$releasever/BaseOS/$basearch/os/\n",
            "baseurl=http://m:80/x/$contentdir/$releasever/BaseOS/$basearch/os/\n",
        ),
        (
            "mirrorlist=https://mirrors.almalinux.org/mirrorlist/$releasever/baseos\n\
             # baseurl=https://repo.almalinux.org/almalinux/$releasever/BaseOS/$basearch/os/\n",
            "baseurl=http://m:80/x/almalinux/$releasever/BaseOS/$basearch/os/\n",
        ),
        (
            "baseurl=https://yum$ociregion.$ocidomain/repo/OracleLinux/OL9/baseos/latest/$basearch/\n",
            "baseurl=http://m:80/x/repo/OracleLinux/OL9/baseos/latest/$basearch/\n",
        ),
        (
            "baseurl=http://repo.openeuler.org/openEuler-24.03-LTS/OS/$basearch/\n\
             gpgkey=http://repo.openeuler.org/openEuler-24.03-LTS/OS/$basearch/RPM-GPG-KEY-openEuler\n",
            "baseurl=http://m:80/x/openEuler-24.03-LTS/OS/$basearch/\n\
             gpgkey=http://m:80/x/openEuler-24.03-LTS/OS/$basearch/RPM-GPG-KEY-openEuler\n",
        ),
        (
            "baseurl=http://download.opensuse.org/distribution/leap/$releasever/repo/oss/\n",
            "baseurl=http://m:80/x/distribution/leap/$releasever/repo/oss/\n",
        ),
    ] {
        // Repositories of others stay as they are, whichever side they are on.
        let other = "[other]\nmetalink=https://mirrors.example/list\nbaseurl=http://repo.example/centos.org/\nenabled=1\n";
        let repo = |middle: &str| format!("{other}[os]\nname=OS\n{middle}enabled=1\n{other}");
        assert_eq!(mirrored(&repo(before)).map(|text| text.trim_start().to_owned()), Ok(repo(after)));
    }
    let none = mirrored("[os]\nmirrorlist=https://cdn.amazonlinux.com/al2023/core/mirrors/mirror.list\n");
    assert!(none.unwrap_err().contains("names no host that http://m:80/x could stand for"));
}

/// libsolv reads the dependencies that it could not tell from one another.
#[test]
fn entries_of_rpms_are_xml() {
    let entries = "<name>a</name>\n\
                   entry\trpmlib(FileDigests)\t<=\t4.6.0-1\n\
                   entry\t(none)\t\t(none)\n\
                   entry\tlibc.so.6()(64bit)\t\t\n\
                   entry\tkernel\t=\t1:6.1-3.el9\n\
                   entry\tdracut\t>=\t049\n\
                   entry\t(a < 2 if b & \"c\")\t\t\n\
                   file\t/usr/share/a&b\n";
    let sandbox = Sandbox::new();
    let script = format!("{}printf '%s' \"$1\" | as_xml", include_str!("repodata.sh"));
    let done = sandbox.run(&script, &[entries], &[]);
    assert_eq!(
        text(&done.stdout),
        "<name>a</name>\n\
         <rpm:entry name=\"libc.so.6()(64bit)\"/>\n\
         <rpm:entry name=\"kernel\" flags=\"EQ\" epoch=\"1\" ver=\"6.1\" rel=\"3.el9\"/>\n\
         <rpm:entry name=\"dracut\" flags=\"GE\" ver=\"049\"/>\n\
         <rpm:entry name=\"(a &lt; 2 if b &amp; &quot;c&quot;)\"/>\n\
         <file>/usr/share/a&amp;b</file>\n",
        "{}",
        text(&done.stderr)
    );
}

#[test]
fn a_folder_without_packages_is_told() {
    let sandbox = Sandbox::new();
    sandbox.program("dnf", "");
    fs::create_dir(sandbox.path("empty")).unwrap();
    let done = sandbox.run(DNF, &[], &[("PACKAGES", &sandbox.path("empty"))]);
    assert!(!done.status.success());
    assert!(text(&done.stderr).ends_with("/empty holds no .rpm files\n"), "{}", text(&done.stderr));
    assert!(Path::new(&sandbox.path("work/sources")).is_dir());
}

/// The lines are those of the releases' own images; what has no archive of its own there is left out.
#[test]
fn an_archive_stands_for_the_hosts_of_old_releases() {
    let sources = "deb http://deb.debian.org/debian buster main\n\
                   deb http://security.debian.org/debian-security buster/updates main\n\
                   deb http://security.debian.org stretch/updates main\n\
                   deb http://security.debian.org/ jessie/updates main\n\
                   deb http://deb.debian.org/debian buster-updates main\n\
                   deb http://deb.debian.org/debian stretch-updates main\n\
                   deb http://apt.example/x stretch main\n";
    let archived = "deb http://a/debian buster main\n\
                    deb http://a/debian-security buster/updates main\n\
                    deb http://a/debian-security stretch/updates main\n\
                    deb http://a/debian-security jessie/updates main\n\
                    deb http://a/debian buster-updates main\n\
                    deb http://apt.example/x stretch main\n";
    let sandbox = Sandbox::new();
    sandbox.program("apt-get", "");
    fs::create_dir_all(sandbox.path("apt/sources.list.d")).unwrap();
    fs::write(sandbox.path("apt/sources.list"), sources).unwrap();
    let script = APT.replace("/etc/apt/", &format!("{}/", sandbox.path("apt")));
    let done = sandbox.run(&script, &[], &[("ARCHIVE", "http://a"), ("MIRROR", "http://a")]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap();
    assert_eq!(read("work/sources/parts/sources.list"), archived);
    assert!(read("work/apt.conf").contains("Acquire::Check-Valid-Until \"false\";"));
    sandbox.run(&script, &[], &[("MIRROR", "http://a")]);
    assert!(!read("work/apt.conf").contains("Valid-Until"));
}

#[test]
fn an_old_image_that_names_another_place_is_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("repos")).unwrap();
    let script = concat!(include_str!("rpm.sh"), "redirect \"$1\"");
    let redirect = |repo: &str| {
        fs::write(sandbox.path("repos/a.repo"), repo).unwrap();
        let archive = "http://vault.centos.org";
        let done =
            sandbox.run(script, &[&sandbox.path("repos")], &[("ARCHIVE", archive), ("MIRROR", archive)]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        fs::read_to_string(sandbox.path("work/sources/a.repo")).unwrap()
    };
    let of_image = "[base]\nmirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os\n\
                    #baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\n";
    let archived = redirect(of_image);
    assert!(
        archived.contains("\nbaseurl=http://vault.centos.org/centos/$releasever/os/$basearch/\n"),
        "{archived}"
    );
    assert!(!archived.contains("mirrorlist"), "{archived}");
    for own in [
        "[base]\nbaseurl=http://mirror.corp/centos/7/os/\n",
        "[base]\nbaseurl=http://vault.centos.org/7.9.2009/os/\n",
    ] {
        assert_eq!(redirect(own).trim_start(), own);
    }
}

/// Whatever reads standard input finds its end, and apt is told to keep files of the image's own.
#[test]
fn no_step_asks_anybody() {
    for script in [APT, DNF, ZYPPER] {
        let sandbox = Sandbox::new();
        sandbox.program("apt-get", "");
        sandbox.program("dnf", "");
        let script =
            format!("{}{script}\nif read -r answer; then echo asked; fi", include_str!("unattended.sh"));
        let path = format!("{}:/usr/bin:/bin", sandbox.path("bin"));
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).env("PATH", path).env("CACHE", sandbox.path("cache"));
        command.env("WORK", sandbox.path("work"));
        command.stdin(fs::File::open(sandbox.file("answer", "yes\n")).unwrap());
        let said = text_of(&command.output().unwrap());
        assert!(!said.contains("asked"), "{said}");
    }
    let sandbox = Sandbox::new();
    sandbox.program("apt-get", "");
    text_of(&sandbox.run(APT, &[], &[]));
    let settings = sandbox.read("work/apt.conf").unwrap();
    assert!(settings.contains(r#"Dpkg::Options { "--force-confdef"; "--force-confold"; };"#), "{settings}");
}
