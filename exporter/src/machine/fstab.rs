//! `/etc/fstab`: the partitions of the disk by their ids.
//!
//! The user's lines for other mount points are kept. Those of partitions are replaced, since they cannot know the ids of
//! a disk that is only now made; their options are kept, as far as these file systems have them.

use std::fmt;

use super::{fields, lines, read};
use crate::error::{Result, show_text};
use crate::fs::{FileSystem, VolumeId};
use crate::tree::Editor;
use crate::tree::os::Init;

const PATH: &str = "/etc/fstab";

/// Options of every file system (mount(8)); `x-…` are those of other programs.
const GENERIC: [&str; 32] = [
    "async",
    "atime",
    "auto",
    "noauto",
    "dev",
    "nodev",
    "diratime",
    "nodiratime",
    "dirsync",
    "exec",
    "noexec",
    "group",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "_netdev",
    "nofail",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "suid",
    "nosuid",
    "owner",
    "ro",
    "rw",
    "sync",
    "noatime",
    "user",
];

/// What a file system is found by, the first field of fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsSpec {
    /// Its own name.
    Id(VolumeId),
    /// Its label. Every mount(8) knows it, Busybox' too.
    Label(String),
    /// That of its partition, where it has none.
    PartLabel(String),
    /// What it is called once it is open, if it is encrypted.
    Mapper(String),
    /// It is the one that the machine was started from, whichever that is.
    Booted,
}

impl fmt::Display for FsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{}={id}", id.tag()),
            Self::Label(label) => write!(f, "LABEL={label}"),
            Self::PartLabel(label) => write!(f, "PARTLABEL={label}"),
            Self::Mapper(name) => write!(f, "/dev/mapper/{name}"),
            Self::Booted => f.write_str("/dev/root"),
        }
    }
}

/// A partition that the machine mounts.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where: `/` and plain names, without a slash at the end.
    pub point: String,
    /// What it is found by.
    pub found_by: FsSpec,
    /// What it is.
    pub file_system: FileSystem,
    /// Options, with commas between them.
    pub options: String,
    /// Whether it is mounted before the init, or something over it: the init knows nothing of it.
    pub is_covered: bool,
}

impl Mount {
    /// The number of the pass in which it is checked at boot (fstab(5)): the root first, all but ext4 never.
    fn pass(&self) -> u8 {
        match self.file_system {
            _ if self.found_by == FsSpec::Booted => 0,
            FileSystem::Ext4 if self.point == "/" => 1,
            FileSystem::Ext4 => 2,
            // What has a journal or never changes, by itself; for the others there is no program that does it at boot.
            FileSystem::Vfat
            | FileSystem::Erofs
            | FileSystem::Swap
            | FileSystem::Xfs
            | FileSystem::Btrfs
            | FileSystem::Squashfs => 0,
        }
    }

    /// File systems that have the same options.
    fn kin(&self) -> &'static [&'static str] {
        match self.file_system {
            FileSystem::Ext4 => &["ext4", "ext3", "ext2"],
            FileSystem::Vfat => &["vfat", "msdos"],
            FileSystem::Erofs => &["erofs"],
            FileSystem::Swap => &["swap"],
            FileSystem::Xfs => &["xfs"],
            FileSystem::Btrfs => &["btrfs"],
            FileSystem::Squashfs => &["squashfs"],
        }
    }

    /// Whether nothing is ever written to it, or that was asked.
    fn is_read_only(&self) -> bool {
        self.file_system.is_read_only() || self.options.split(',').any(|option| option == "ro")
    }

    /// Whether there is a line for it. systemd leaves a root as it is that has none, and would look for a device that
    /// nobody has; others would make it writable.
    fn has_line(&self, init: Option<Init>) -> bool {
        !self.is_covered && (self.found_by != FsSpec::Booted || init != Some(Init::Systemd))
    }

    fn is_at(&self, field: &str) -> bool {
        field.trim_end_matches('/') == self.point.trim_end_matches('/')
    }
}

pub(super) fn write(
    editor: &mut Editor<'_>,
    init: Option<Init>,
    mounts: &[Mount],
    swaps: &[FsSpec],
) -> Result<Vec<String>> {
    let old = read(editor.tree(), PATH)?;
    let mut notes = Vec::new();
    let mut text = Vec::new();
    for mount in mounts.iter().filter(|mount| mount.has_line(init)) {
        let options = options(&old, mount, &mut notes);
        let Mount { point, found_by, file_system, .. } = mount;
        let (kind, pass) = (file_system.name(), mount.pass());
        text.extend(format!("{found_by} {point} {kind} {options} 0 {pass}\n").as_bytes());
        notes.push(format!("{PATH}: {point} is {found_by}"));
    }
    for mount in mounts {
        make_mount_point(editor, &mount.point)?;
    }
    for swap in swaps {
        text.extend(format!("{swap} none swap sw 0 0\n").as_bytes());
        notes.push(format!("{PATH}: swap is {swap}"));
    }
    for line in lines(&old).filter(|line| !is_replaced(line, mounts)) {
        text.extend(line);
    }
    editor.write_file(PATH, text, 0o644)?;
    Ok(notes)
}

/// For everybody's temporary files.
const STICKY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What is mounted there has the owner and permissions of the folder in the tree.
fn make_mount_point(editor: &mut Editor<'_>, point: &str) -> Result<()> {
    let is_new = editor.tree().resolve(point).is_none();
    let id = editor.mkdir_all(point)?;
    if is_new && STICKY.contains(&point) {
        editor.meta_mut(id).permissions = 0o1777;
    }
    Ok(())
}

/// Ours, unless the image sets the same, and then the image's for this mount point. Of another file system only those
/// are kept that every one has.
fn options(old: &[u8], mount: &Mount, notes: &mut Vec<String>) -> String {
    let mut lines = lines(old).map(fields);
    let line = lines.find(|line| line.get(1).is_some_and(|field| mount.is_at(field))).unwrap_or_default();
    let kind = line.get(2).map_or("auto", String::as_str);
    let is_kept = |option: &&str| {
        mount.kin().contains(&kind) || kind == "auto" || option.starts_with("x-") || GENERIC.contains(option)
    };
    let given = line.get(3).map(String::as_str).unwrap_or_default();
    let given = given.split(',').filter(|option| !matches!(*option, "" | "defaults"));
    let (kept, dropped): (Vec<_>, Vec<_>) = given.partition(is_kept);
    if !dropped.is_empty() {
        let (dropped, kind) = (dropped.join(","), show_text(kind));
        notes.push(format!(
            "{PATH}: {} without {}, which {kind} alone has",
            mount.point,
            show_text(&dropped)
        ));
    }
    let key = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let ours = mount.options.split(',').filter(|ours| kept.iter().all(|option| key(option) != key(ours)));
    let read_only = mount.is_read_only().then_some("ro");
    let is_moot = |option: &&str| option.is_empty() || read_only.is_some() && matches!(*option, "ro" | "rw");
    let others = ours.chain(kept.iter().copied()).filter(|option| !is_moot(option));
    // It is there already, and no device has its name.
    let no_auto = (mount.found_by == FsSpec::Booted).then_some("noauto");
    let all: Vec<_> = read_only.into_iter().chain(others).chain(no_auto).collect();
    if all.is_empty() { "defaults".to_owned() } else { all.join(",") }
}

fn is_replaced(line: &[u8], mounts: &[Mount]) -> bool {
    // What debootstrap writes is no longer true.
    line.starts_with(b"# UNCONFIGURED FSTAB")
        || fields(line).get(1).is_some_and(|field| mounts.iter().any(|mount| mount.is_at(field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Uuid;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    fn root() -> Mount {
        Mount {
            point: "/".into(),
            found_by: FsSpec::Id(VolumeId::Uuid(Uuid([0x11; 16]))),
            file_system: FileSystem::Ext4,
            options: "errors=remount-ro".into(),
            is_covered: false,
        }
    }

    fn esp() -> Mount {
        Mount {
            point: "/boot/efi".into(),
            found_by: FsSpec::Id(VolumeId::Serial(0x1234_00ab)),
            file_system: FileSystem::Vfat,
            options: "umask=0077,nofail".into(),
            is_covered: false,
        }
    }

    const OURS: &str = "UUID=11111111-1111-1111-1111-111111111111 / ext4 errors=remount-ro 0 1\n";

    #[test]
    fn lines_of_the_user_are_kept_but_those_for_our_partitions() {
        for (old, has_esp, kept) in [
            ("", false, ""),
            ("# UNCONFIGURED FSTAB FOR BASE SYSTEM\n", false, ""),
            (
                "# mine\n/dev/vdb1 /data xfs defaults 0 2\n",
                false,
                "# mine\n/dev/vdb1 /data xfs defaults 0 2\n",
            ),
            ("/dev/sda1 / ext3 defaults 0 1\nnone / x\n#/dev/sda1 / x\n", false, "#/dev/sda1 / x\n"),
            ("/dev/sda1 /boot/efi/ vfat defaults\n/swap none swap sw 0 0", true, "/swap none swap sw 0 0"),
            ("/dev/sda1 /boot/efi vfat x\n", false, "/dev/sda1 /boot/efi vfat x\n"),
        ] {
            let mut tree = tree(&[(PATH, old)]);
            let mounts: Vec<_> = [Some(root()), has_esp.then(esp)].into_iter().flatten().collect();
            write(&mut Editor::new(&mut tree, Time::default()), None, &mounts, &[]).unwrap();
            let efi = if has_esp { "UUID=1234-00AB /boot/efi vfat umask=0077,nofail 0 0\n" } else { "" };
            assert_eq!(text(&tree, PATH).unwrap(), format!("{OURS}{efi}{kept}"));
            assert_eq!(tree.lookup("/boot/efi").is_some(), has_esp);
        }
    }

    #[test]
    fn options_of_the_images_own_lines_are_kept() {
        for (old, root_options, esp_options) in [
            ("/dev/sda1 / ext4 noatime 0 1\n", "errors=remount-ro,noatime", "umask=0077,nofail"),
            (
                "LABEL=x / auto rw,errors=continue,commit=60 0 0\n",
                "rw,errors=continue,commit=60",
                "umask=0077,nofail",
            ),
            (
                "/dev/sda2 / xfs noatime,inode64,x-systemd.growfs 0 0\nx /boot/efi vfat umask=0022,shortname=winnt\n",
                "errors=remount-ro,noatime,x-systemd.growfs",
                "nofail,umask=0022,shortname=winnt",
            ),
            ("#/dev/sda1 / ext4 noatime 0 1\n", "errors=remount-ro", "umask=0077,nofail"),
            (
                "/dev/sda1 / ext4 noatime,, 0 1\n/dev/sdb1 / ext4 ro\n",
                "errors=remount-ro,noatime",
                "umask=0077,nofail",
            ),
        ] {
            let mut tree = tree(&[(PATH, old)]);
            let mut editor = Editor::new(&mut tree, Time::default());
            let notes = write(&mut editor, None, &[root(), esp()], &[]).unwrap();
            let text = text(&tree, PATH).unwrap();
            assert!(text.contains(&format!(" / ext4 {root_options} 0 1\n")), "{old}: {text}");
            assert!(text.contains(&format!(" /boot/efi vfat {esp_options} 0 0\n")), "{old}: {text}");
            let dropped = "/etc/fstab: / without inode64, which xfs alone has".to_owned();
            assert_eq!(notes.contains(&dropped), old.contains("inode64"), "{notes:?}");
        }
    }

    #[test]
    fn what_can_only_be_read_is_mounted_so() {
        let usr = |file_system, options: &str| {
            vec![Mount { point: "/usr".into(), file_system, options: options.into(), ..root() }]
        };
        let of_the_image = "/dev/sda1 /usr ext4 rw,noatime,commit=60 0 2\n";
        for (mounts, old, line) in [
            (usr(FileSystem::Erofs, "nodev"), "", "erofs ro,nodev 0 0"),
            (usr(FileSystem::Erofs, "nodev"), of_the_image, "erofs ro,nodev,noatime 0 0"),
            (usr(FileSystem::Ext4, "ro"), of_the_image, "ext4 ro,noatime,commit=60 0 2"),
        ] {
            let mut tree = tree(&[(PATH, old)]);
            write(&mut Editor::new(&mut tree, Time::default()), None, &mounts, &[]).unwrap();
            let line = format!("UUID=11111111-1111-1111-1111-111111111111 /usr {line}\n");
            assert_eq!(text(&tree, PATH).unwrap(), line);
        }
    }

    #[test]
    fn what_is_covered_has_no_line_nor_that_of_the_image() {
        let mut tree = tree(&[(PATH, "/dev/sda1 / ext4 rw 0 1\n/dev/vdb1 /data xfs defaults 0 2\n")]);
        let mut editor = Editor::new(&mut tree, Time::default());
        let notes = write(&mut editor, None, &[Mount { is_covered: true, ..root() }], &[]).unwrap();
        assert_eq!(text(&tree, PATH).unwrap(), "/dev/vdb1 /data xfs defaults 0 2\n");
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn a_root_in_a_slot_names_no_disk_and_no_init_makes_it_writable() {
        let slot = Mount { found_by: FsSpec::Booted, options: "ro,errors=remount-ro".into(), ..root() };
        let srv = Mount {
            point: "/srv".into(),
            found_by: FsSpec::Label("srv".into()),
            options: String::new(),
            ..root()
        };
        let persist = Mount { point: "/persist".into(), is_covered: true, ..srv.clone() };
        let esp = Mount { found_by: FsSpec::Label("ESP".into()), ..esp() };
        for (init, line) in [
            (Some(Init::Systemd), ""),
            (Some(Init::OpenRc), "/dev/root / ext4 ro,errors=remount-ro,noauto 0 0\n"),
            (None, "/dev/root / ext4 ro,errors=remount-ro,noauto 0 0\n"),
        ] {
            let mut tree = tree(&[(PATH, "/dev/sda1 / ext4 rw 0 1\n/dev/vdb1 /data xfs defaults 0 2\n")]);
            let mounts = [slot.clone(), esp.clone(), persist.clone(), srv.clone()];
            let swaps = [FsSpec::PartLabel("swap".into())];
            write(&mut Editor::new(&mut tree, Time::default()), init, &mounts, &swaps).unwrap();
            let rest = "LABEL=ESP /boot/efi vfat umask=0077,nofail 0 0\nLABEL=srv /srv ext4 defaults 0 2\n\
                        PARTLABEL=swap none swap sw 0 0\n/dev/vdb1 /data xfs defaults 0 2\n";
            assert_eq!(text(&tree, PATH).unwrap(), format!("{line}{rest}"));
            assert!(tree.lookup("/persist").is_some());
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let mut tree = tree(&[]);
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.write_file(PATH, *b"/dev/vdb1 /d\xff x\n", 0o600).unwrap();
        write(&mut editor, None, &[root()], &[]).unwrap();
        assert!(tree.read(PATH, 1000).unwrap().unwrap().ends_with(b"\n/dev/vdb1 /d\xff x\n"));
    }

    #[test]
    fn every_partition_has_its_line_and_its_folder() {
        let mut tree = tree(&[(PATH, "/dev/sdb1 /srv/ xfs noatime,inode64 0 2\n/dev/sdc1 /mnt ext4 ro\n")]);
        let srv = Mount {
            point: "/srv".into(),
            found_by: FsSpec::Id(VolumeId::Uuid(Uuid([0x22; 16]))),
            options: String::new(),
            ..root()
        };
        let opt = Mount { point: "/opt/data".into(), ..srv.clone() };
        let tmp = Mount { point: "/var/tmp".into(), ..srv.clone() };
        let id = Uuid([0x22; 16]);
        let notes = write(
            &mut Editor::new(&mut tree, Time::default()),
            None,
            &[root(), opt, srv, tmp],
            &[FsSpec::Id(VolumeId::Uuid(id))],
        )
        .unwrap();
        let lines = format!(
            "UUID={id} /opt/data ext4 defaults 0 2\nUUID={id} /srv ext4 noatime 0 2\n\
             UUID={id} /var/tmp ext4 defaults 0 2\nUUID={id} none swap sw 0 0\n/dev/sdc1 /mnt ext4 ro\n"
        );
        assert_eq!(text(&tree, PATH).unwrap(), format!("{OURS}{lines}"));
        assert!(notes.contains(&"/etc/fstab: /srv without inode64, which xfs alone has".to_owned()));
        let permissions = |path| tree.inode(tree.lookup(path).unwrap()).meta.permissions;
        assert_eq!((permissions("/opt/data"), permissions("/var/tmp")), (0o755, 0o1777));
    }
}
