use std::io::{Read, Write};

use super::*;
use crate::kernel::testing::{gzip, module};
use crate::tree::initramfs::read_names;
use crate::tree::testing::tree;
use crate::tree::{Editor, Meta};

const FOLDER: &str = "/lib/modules/6.1";
const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

/// A tree of these modules, with a list of what is built in.
fn modules(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::new(Meta { permissions: 0o755, ..Meta::default() });
    let mut editor = Editor::new(&mut tree, TIME);
    editor
        .write_file(format!("{FOLDER}/modules.builtin"), *b"kernel/drivers/virtio/virtio.ko\n", 0o644)
        .unwrap();
    for (path, bytes) in files {
        editor.write_file(format!("{FOLDER}/{path}"), bytes.clone(), 0o644).unwrap();
    }
    tree
}

/// Debian's, in small.
fn debian() -> Tree {
    modules(&[
        (
            "kernel/drivers/block/virtio_blk.ko",
            module("alias=virtio:d00000002v*\ndepends=virtio,virtio_ring"),
        ),
        ("kernel/drivers/virtio/virtio_ring.ko.gz", gzip(&module("depends="))),
        ("kernel/fs/ext4/ext4.ko", module("alias=fs-ext4\ndepends=jbd2,mbcache\nsoftdep=pre: crc32c")),
        ("kernel/fs/jbd2/jbd2.ko.zst", zstd::encode_all(&module("")[..], 1).unwrap()),
        ("kernel/fs/mbcache.ko", module("")),
        ("kernel/arch/x86/crypto/crc32c-intel.ko", module("alias=cpu:type:x86\nalias=crc32c")),
        ("kernel/crypto/crc32c_generic.ko", module("alias=crypto-crc32c\nalias=crc32c")),
        ("kernel/drivers/other.ko", b"no module, and not looked at".to_vec()),
    ])
}

struct Ask {
    required: Vec<(&'static str, &'static str)>,
    optional: Vec<&'static str>,
    verity: Option<Arc<[u8]>>,
    config: Config,
    packing: Packing,
    modules: Option<&'static str>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            required: vec![("virtio_blk", "the disk"), ("ext4", "the root")],
            optional: Vec::new(),
            verity: None,
            config: Config::unknown(),
            packing: Packing::Plain,
            modules: Some(FOLDER),
        }
    }
}

fn built(tree: &Tree, ask: &Ask) -> Result<Built> {
    let wanted = Wanted {
        kernel: "bzImage",
        release: "6.1",
        config: &ask.config,
        modules: ask.modules,
        required: &ask.required,
        optional: &ask.optional,
        program: (*b"the init").into(),
        verity: ask.verity.clone(),
        time: TIME,
        packing: ask.packing,
    };
    build(tree, &wanted)
}

fn bytes(built: &Built) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in &built.parts {
        part.reader().unwrap().read_to_end(&mut bytes).unwrap();
    }
    assert_eq!(bytes.len() as u64, built.len());
    bytes
}

/// A file of an archive.
struct File {
    name: String,
    mode: u32,
    time: u32,
    device: (u32, u32),
    bytes: Vec<u8>,
}

/// The files of archives that are not packed.
fn files(mut archive: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    let mut at = 0;
    while !archive.is_empty() {
        assert!(archive.starts_with(b"070701") && at % 4 == 0, "{at}");
        let number = |index: usize| {
            u32::from_str_radix(std::str::from_utf8(&archive[6 + 8 * index..][..8]).unwrap(), 16).unwrap()
        };
        let (size, name_len) = (number(6) as usize, number(11) as usize);
        let name = String::from_utf8(archive[110..110 + name_len - 1].to_vec()).unwrap();
        let start = (110 + name_len).next_multiple_of(4);
        let bytes = archive[start..start + size].to_vec();
        if name != "TRAILER!!!" {
            assert_eq!((number(2), number(3)), (0, 0), "all is root's");
            files.push(File {
                name,
                mode: number(1),
                time: number(5),
                device: (number(9), number(10)),
                bytes,
            });
        }
        let end = (start + size).next_multiple_of(4);
        at += end;
        archive = &archive[end..];
    }
    files
}

fn text(files: &[File], path: &str) -> String {
    let file = files.iter().find(|file| file.name == path).unwrap_or_else(|| panic!("{path}"));
    String::from_utf8(file.bytes.clone()).unwrap()
}

#[test]
fn it_has_the_modules_wanted_and_what_they_need() {
    let built = built(&debian(), &Ask::default()).unwrap();
    let order = ["virtio_ring", "virtio_blk", "crc32c_generic", "crc32c_intel", "jbd2", "mbcache", "ext4"];
    assert_eq!(built.modules, order);
    let files = files(&bytes(&built));
    assert_eq!(
        text(&files, "lib/modules/6.1/modules.dep"),
        "kernel/drivers/virtio/virtio_ring.ko:\n\
         kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko\n\
         kernel/crypto/crc32c_generic.ko:\n\
         kernel/arch/x86/crypto/crc32c-intel.ko:\n\
         kernel/fs/jbd2/jbd2.ko:\n\
         kernel/fs/mbcache.ko:\n\
         kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko \
         kernel/arch/x86/crypto/crc32c-intel.ko kernel/crypto/crc32c_generic.ko\n"
    );
    assert_eq!(
        text(&files, "lib/modules/6.1/modules.alias"),
        "alias virtio:d00000002v* virtio_blk\nalias crypto-crc32c crc32c_generic\n\
         alias crc32c crc32c_generic\nalias cpu:type:x86 crc32c_intel\nalias crc32c crc32c_intel\n\
         alias fs-ext4 ext4\n"
    );
    assert_eq!(text(&files, "etc/modules-load.d/vmimage.conf"), "ext4\n");
    // Packed or not in the tree, a module is plain here.
    assert_eq!(text(&files, "lib/modules/6.1/kernel/fs/jbd2/jbd2.ko").as_bytes(), module(""));
}

#[test]
fn the_rest_is_what_the_kernel_and_the_program_need() {
    let files = files(&bytes(&built(&debian(), &Ask::default()).unwrap()));
    let few = files.iter().filter(|file| !file.name.starts_with("lib"));
    let few: Vec<_> = few.map(|file| (file.name.as_str(), file.mode, file.device)).collect();
    assert_eq!(
        few,
        [
            ("dev", 0o040755, (0, 0)),
            ("dev/console", 0o020600, (5, 1)),
            ("etc", 0o040755, (0, 0)),
            ("etc/modules-load.d", 0o040755, (0, 0)),
            ("etc/modules-load.d/vmimage.conf", 0o100644, (0, 0)),
            ("init", 0o100755, (0, 0)),
            ("proc", 0o040755, (0, 0)),
            ("run", 0o040755, (0, 0)),
            ("sys", 0o040755, (0, 0)),
            ("sysroot", 0o040755, (0, 0)),
        ]
    );
    assert_eq!(text(&files, "init"), "the init");
    assert!(files.iter().all(|file| file.time == 1_700_000_000));
    // Directories come before what is in them.
    assert!(files.is_sorted_by_key(|file| &file.name));
}

#[test]
fn the_same_input_gives_the_same_bytes_however_it_is_packed() {
    let plain = bytes(&built(&debian(), &Ask::default()).unwrap());
    for packing in [Packing::Zstd, Packing::Gzip, Packing::Plain] {
        let ask = Ask { packing, ..Ask::default() };
        let [first, second] = [(); 2].map(|()| bytes(&built(&debian(), &ask).unwrap()));
        assert!(first == second);
        let unpacked = match packing {
            Packing::Zstd => zstd::decode_all(&first[..]).unwrap(),
            Packing::Gzip => {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut unpacked).unwrap();
                unpacked
            }
            Packing::Plain => first,
        };
        assert!(unpacked == plain);
    }
    for (config, packing) in [
        ("CONFIG_RD_ZSTD=y\nCONFIG_RD_GZIP=y", Packing::Zstd),
        ("CONFIG_RD_GZIP=y", Packing::Gzip),
        ("", Packing::Plain),
    ] {
        assert_eq!(Packing::of(&Config::parse(config.into())), packing);
    }
    assert_eq!(Packing::of(&Config::unknown()), Packing::Zstd);
}

#[test]
fn a_file_that_is_an_archive_by_itself_lies_in_front_of_a_packed_one() {
    let root = Content::Bytes((*b"EROFS").into());
    let [before, after] = around_file("root.erofs", root.len(), TIME).unwrap();
    let ask = Ask { packing: Packing::Zstd, ..Ask::default() };
    let mut built = built(&debian(), &ask).unwrap();
    let front = [before, root, after];
    let front_len = front.iter().map(Content::len).sum::<u64>() as usize;
    built.parts.splice(0..0, front);
    let bytes = bytes(&built);
    let files = files(&bytes[..front_len]);
    assert_eq!((files.len(), files[0].mode, text(&files, "root.erofs")), (1, 0o100644, "EROFS".into()));
    let mut names = Vec::new();
    let mut visit = |name: &[u8]| {
        names.push(String::from_utf8(name.to_vec()).unwrap());
        true
    };
    assert!(read_names(&Content::Bytes(bytes.into()), &mut visit));
    assert_eq!((names[0].as_str(), names.contains(&"init".to_owned())), ("root.erofs", true));
}

#[test]
fn a_file_that_a_header_has_no_digits_for_is_refused() {
    assert!(around_file("root.erofs", u32::MAX.into(), TIME).is_ok());
    let error = around_file("root.erofs", 1 << 32, TIME).unwrap_err();
    assert_eq!(error.to_string(), "root.erofs: has 4 GiB, an initramfs takes files of 4 GiB at most");
    assert!(error.hint().is_some());
}

#[test]
fn what_is_missing_is_named_with_its_option() {
    let error = |ask: &Ask, tree: &Tree| built(tree, ask).map(drop).unwrap_err().to_string();
    let ask = |config: &str| Ask {
        required: vec![("erofs", "the root")],
        config: Config::parse(config.into()),
        ..Ask::default()
    };
    let has_no = "bzImage: has no erofs (CONFIG_EROFS_FS";
    for (config, said) in [
        ("# CONFIG_EROFS_FS is not set", " is not set), which the root needs"),
        ("CONFIG_EROFS_FS=m", "=m, and there is no such module in /lib/modules/6.1), which the root needs"),
    ] {
        assert_eq!(error(&ask(config), &debian()), format!("{has_no}{said}"));
    }
    assert_eq!(
        error(&Ask { config: Config::unknown(), ..ask("") }, &debian()),
        format!("{has_no}), which the root needs")
    );
    let named = Ask { required: vec![("no-such", "[microvm] modules")], ..Ask::default() };
    assert_eq!(error(&named, &debian()), "bzImage: has no no_such, which [microvm] modules needs");
}

#[test]
fn a_kernel_with_all_built_in_needs_no_modules() {
    let none = tree(&[]);
    let config = Config::parse("CONFIG_VIRTIO_BLK=y\nCONFIG_EXT4_FS=y\n".into());
    let ask = Ask { modules: None, config, optional: vec!["9p"], ..Ask::default() };
    let with = built(&none, &ask).unwrap();
    assert!(with.modules.is_empty());
    assert_eq!(with.notes, ["the kernel does not have: 9p"]);
    // What does not tell may have all.
    let ask = Ask { config: Config::unknown(), ..ask };
    assert_eq!(
        built(&none, &ask).unwrap().notes,
        ["the kernel does not tell whether it has: virtio_blk, ext4"]
    );
    let one = Ask { required: vec![("virtio", "the disk")], ..Ask::default() };
    assert!(built(&debian(), &one).unwrap().modules.is_empty());
}

/// The kernel asks for the sum when the program of a root that is verified needs it, and takes the best.
#[test]
fn a_root_that_is_verified_has_its_program_and_every_module_of_its_sum() {
    let ask = Ask {
        required: vec![("dm_verity", "verity")],
        verity: Some((*b"the verity").into()),
        ..Ask::default()
    };
    let tree = modules(&[
        ("kernel/drivers/md/dm-verity.ko", module("depends=dm-bufio,dm-mod")),
        ("kernel/drivers/md/dm-bufio.ko", module("depends=dm-mod")),
        ("kernel/drivers/md/dm-mod.ko", module("alias=devname:mapper/control")),
        (
            "kernel/arch/x86/crypto/sha256-ssse3.ko",
            module("alias=sha256\nalias=crypto-sha256\ndepends=libsha256"),
        ),
        ("kernel/crypto/sha256_generic.ko", module("alias=crypto-sha256\ndepends=libsha256")),
        ("kernel/crypto/sha512_generic.ko", module("alias=crypto-sha512")),
        ("kernel/lib/crypto/libsha256.ko", module("")),
    ]);
    let built = built(&tree, &ask).unwrap();
    let order = ["dm_mod", "dm_bufio", "dm_verity", "libsha256", "sha256_generic", "sha256_ssse3"];
    assert_eq!(built.modules, order);
    let files = files(&bytes(&built));
    // No processor has to have what the fastest needs.
    assert_eq!(text(&files, "etc/modules-load.d/vmimage.conf"), "dm_verity\n");
    let program = files.iter().find(|file| file.name == "vmimage-verity").unwrap();
    assert_eq!((program.mode, &*program.bytes), (0o100755, &b"the verity"[..]));
    assert!(built.notes.is_empty(), "{:?}", built.notes);
}

#[test]
fn a_digest_that_is_built_in_is_no_module_and_one_that_nobody_needs_is_left() {
    let verified = Ask { verity: Some((*b"the verity").into()), ..Ask::default() };
    assert_eq!(
        built(&debian(), &verified).unwrap().modules,
        built(&debian(), &Ask::default()).unwrap().modules
    );
    let tree = modules(&[("kernel/crypto/sha256_generic.ko", module("alias=crypto-sha256"))]);
    let of = |verity| {
        let ask = Ask { required: vec![("virtio", "the disk")], verity, ..Ask::default() };
        built(&tree, &ask).unwrap()
    };
    assert_eq!(of(Some((*b"the verity").into())).modules, ["sha256_generic"]);
    let without = of(None);
    assert!(without.modules.is_empty());
    assert!(files(&bytes(&without)).iter().all(|file| file.name != "vmimage-verity"));
}

#[test]
fn a_broken_module_is_an_error_once_it_is_wanted() {
    let error = |files: &[(&str, Vec<u8>)]| {
        let ask = Ask { required: vec![("a", "the disk")], ..Ask::default() };
        built(&modules(files), &ask).map(drop).unwrap_err().to_string()
    };
    for (bytes, said) in [
        (
            b"text".to_vec(),
            "the module cannot be unpacked: it is packed by something that is not known, which is not read",
        ),
        (b"\x7fELF".to_vec(), "is no module of a kernel: it has no .modinfo"),
        (gzip(b"text"), "is no module of a kernel: it has no .modinfo"),
    ] {
        assert_eq!(error(&[("kernel/a.ko", bytes)]), format!("/lib/modules/6.1/kernel/a.ko: {said}"));
    }
    let needy = ("extra/a.ko", module("depends=b"));
    assert_eq!(error(&[needy]), "/lib/modules/6.1/extra/a.ko: needs the module b, which is not there");
}

#[test]
fn modules_that_need_each_other_end() {
    let ring = [("kernel/a.ko", module("softdep=pre: b")), ("kernel/b.ko", module("depends=a"))];
    let ask = |name| Ask { required: vec![(name, "the disk")], ..Ask::default() };
    assert_eq!(built(&modules(&ring), &ask("a")).unwrap().modules, ["b", "a"]);
    let chain: Vec<_> =
        (0..200).map(|at| (format!("kernel/m{at}.ko"), module(&format!("depends=m{}", at + 1)))).collect();
    let chain: Vec<_> = chain.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let error = built(&modules(&chain), &ask("m0")).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("more than 65 deep, which is the limit"), "{error}");
}

#[test]
fn an_update_counts_before_the_kernels_own_and_odd_names_do_not() {
    let tree = modules(&[
        ("kernel/net/a.ko", module("alias=old")),
        ("updates/a.ko.gz", gzip(&module("alias=new"))),
        ("kernel/b c.ko", module("")),
        ("kernel/d:.ko", module("")),
        ("kernel/.ko", module("")),
        ("kernel/e.ko.bak", module("")),
    ]);
    let ask =
        Ask { required: vec![("a", "the disk")], optional: vec!["b c", "d:", "", "e"], ..Ask::default() };
    let built = built(&tree, &ask).unwrap();
    let files = files(&bytes(&built));
    assert_eq!(text(&files, "lib/modules/6.1/modules.dep"), "updates/a.ko:\n");
    assert_eq!(text(&files, "lib/modules/6.1/modules.alias"), "alias new a\n");
    assert_eq!(built.notes, ["the kernel does not have: b c, d:, , e"]);
}

/// An initramfs takes what one of its headers can say.
#[test]
fn files_of_four_gib_are_refused() {
    assert!(cpio::check_size("root.erofs", u64::from(u32::MAX)).is_ok());
    let error = cpio::check_size("root.erofs", 1 << 32).unwrap_err();
    assert_eq!(error.to_string(), "root.erofs: has 4 GiB, an initramfs takes files of 4 GiB at most");
}

/// What a module packs by the thousand is not unpacked.
#[test]
fn a_module_that_is_too_large_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..=crate::limits::MODULE >> 20).for_each(|_| encoder.write_all(&zeros).unwrap());
    let tree = modules(&[("kernel/a.ko.gz", encoder.finish().unwrap())]);
    let ask = Ask { required: vec![("a", "the disk")], ..Ask::default() };
    let error = built(&tree, &ask).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("more than 67108864 bytes, which is the limit"), "{error}");
}
