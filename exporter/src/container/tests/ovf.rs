//! OVF packages, unpacked and read by programs that are not ours.

use super::*;

/// The disk's size: no multiple of a grain or a chunk.
const SIZE: u64 = 12 * MIB + 512;

/// An OVA for a machine of that name.
fn ova(scratch: &Scratch, name: &str) -> Target {
    let appliance = Appliance { name: name.into(), ..Appliance::default() };
    let disk = Target { appliance, ..target(scratch, "disk.ova", Compression::Zlib) };
    write_one(RawImage { size: SIZE, extents: &extents(SIZE) }, &disk, 2);
    disk
}

/// The same as files in a folder.
fn folder(scratch: &Scratch, name: &str) -> Target {
    let appliance = Appliance { name: name.into(), ..Appliance::default() };
    let disk = Target { appliance, ..any_target(scratch, Format::Ovf) };
    write_one(RawImage { size: SIZE, extents: &extents(SIZE) }, &disk, 2);
    disk
}

/// Unpack an OVA into a directory of its own.
fn unpack(scratch: &Scratch, ova: &str) -> PathBuf {
    let into = scratch.file("unpacked");
    let _ = std::fs::remove_dir_all(&into);
    std::fs::create_dir(&into).unwrap();
    accepts("tar", &["-xf", ova, "-C", into.to_str().unwrap()]);
    into
}

/// Whether the digests in the manifest are those of the files.
fn manifest_holds(directory: &Path) -> bool {
    let manifest = std::fs::read_to_string(directory.join("web.mf")).unwrap();
    let files = ["web.ovf", "web-disk1.vmdk"];
    assert_eq!(manifest.lines().count(), files.len());
    manifest.lines().zip(files).all(|(line, name)| {
        let said = accepts("sha256sum", &[directory.join(name).to_str().unwrap()]);
        line == format!("SHA256({name})= {}", &said[..64])
    })
}

#[test]
fn tar_lists_the_descriptor_first() {
    let scratch = Scratch::new();
    let disk = ova(&scratch, "web");
    let listed = accepts("tar", &["-tvf", shown(&disk)]);
    let names: Vec<_> = listed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["web.ovf", "web-disk1.vmdk", "web.mf"], "{listed}");
    assert!(listed.lines().all(|line| line.starts_with("-rw-r--r-- 0/0")), "{listed}");
    let mut bytes = std::fs::read(&disk.path).unwrap();
    bytes[124] ^= 1;
    assert!(!tool("tar", &["-tf", &scratch.write("broken.ova", &bytes)]).0);
}

#[test]
fn a_folder_has_the_files_of_the_archive() {
    let scratch = Scratch::new();
    for name in ["web", "../\"<&>'\n\0 web", ""] {
        let folder = contents(&folder(&scratch, name).path);
        assert_eq!(folder.len(), 3, "{name:?}");
        assert!(folder == contents(&unpack(&scratch, shown(&ova(&scratch, name)))), "{name:?}");
    }
}

#[test]
fn our_reader_reads_the_disk_in_a_folder() {
    let scratch = Scratch::new();
    let disk = folder(&scratch, "web");
    assert_eq!(identify(&disk.path).unwrap(), (Format::Ovf, Some(SIZE)));
    let mut bytes = vec![1; SIZE as usize];
    open(&disk.path).unwrap().1.read_at(0, &mut bytes).unwrap();
    assert!(bytes == flatten(SIZE, &extents(SIZE)));
    assert!(check(&disk.path).unwrap().is_empty());
    assert_eq!(disk_file(&disk.path).unwrap(), disk.path.join("web-disk1.vmdk"));

    let refused = || open(&disk.path).map(drop).unwrap_err().to_string();
    let vmdk = disk.path.join("web-disk1.vmdk");
    let whole = std::fs::read(&vmdk).unwrap();
    std::fs::write(&vmdk, vec![1; 4096]).unwrap();
    assert!(refused().starts_with("vmdk"), "{}", refused());
    // A link may lead to any file of the user's.
    std::fs::remove_file(&vmdk).unwrap();
    let elsewhere = scratch.write("elsewhere.vmdk", &whole);
    std::os::unix::fs::symlink(elsewhere, &vmdk).unwrap();
    assert!(refused().ends_with("there is no .vmdk beside the .ovf in it"), "{}", refused());
    std::fs::remove_file(disk.path.join("web.ovf")).unwrap();
    assert!(refused().ends_with("is a directory, and no .ovf is in it"), "{}", refused());
}

#[test]
fn the_manifest_is_of_the_files() {
    let scratch = Scratch::new();
    let directory = unpack(&scratch, shown(&ova(&scratch, "web")));
    assert!(manifest_holds(&directory));
    for name in ["web.ovf", "web-disk1.vmdk"] {
        let path = directory.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!manifest_holds(&directory), "{name}");
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn qemu_and_our_reader_read_the_disk_in_it() {
    let scratch = Scratch::new();
    let disk = ova(&scratch, "web");
    let expected = flatten(SIZE, &extents(SIZE));
    let raw = scratch.write("expected.raw", &expected);
    let vmdk = unpack(&scratch, shown(&disk)).join("web-disk1.vmdk");
    let vmdk = vmdk.to_str().unwrap();
    accepts("qemu-img", &["compare", "-f", "raw", "-F", "vmdk", &raw, vmdk]);
    accepts("qemu-img", &["check", "-f", "vmdk", vmdk]);
    let alone = target(&scratch, "alone.vmdk", Compression::Zlib);
    write_one(RawImage { size: SIZE, extents: &extents(SIZE) }, &alone, 1);
    assert!(std::fs::read(vmdk).unwrap() == std::fs::read(&alone.path).unwrap());
    assert_eq!(identify(&disk.path).unwrap(), (Format::Ova, Some(SIZE)));
    let mut bytes = vec![1; SIZE as usize];
    open(&disk.path).unwrap().1.read_at(0, &mut bytes).unwrap();
    assert!(bytes == expected);
}

/// Values from a descriptor, by Python's XML parser: names, sizes and what is asked of the machine.
const VALUES: &str = r#"
import sys, xml.etree.ElementTree as tree
spaces = {"o": "http://schemas.dmtf.org/ovf/envelope/1", "v": "http://www.vmware.com/schema/ovf"}
ovf, vmw = ("{%s}" % spaces[prefix] for prefix in "ov")
root = tree.parse(sys.argv[1]).getroot()
file, disk = root.find("o:References/o:File", spaces), root.find("o:DiskSection/o:Disk", spaces)
system = root.find("o:VirtualSystem", spaces)
print(file.get(ovf + "href"), file.get(ovf + "size"))
print(disk.get(ovf + "capacity"), disk.get(ovf + "populatedSize"), disk.get(ovf + "format"))
print(ascii(system.get(ovf + "id")), system.get(ovf + "id") == system.find("o:Name", spaces).text)
for config in system.iter(vmw + "Config"):
    print(config.get(vmw + "key"), config.get(vmw + "value"))
"#;

fn values(directory: &Path, name: &str) -> Vec<String> {
    let descriptor = directory.join(name);
    let said = accepts("python3", &["-c", VALUES, descriptor.to_str().unwrap()]);
    said.lines().map(str::to_owned).collect()
}

#[test]
fn the_descriptor_tells_of_the_disk_and_the_machine() {
    let scratch = Scratch::new();
    let directory = unpack(&scratch, shown(&ova(&scratch, "web")));
    let size = std::fs::metadata(directory.join("web-disk1.vmdk")).unwrap().len();
    let grains = flatten(SIZE, &extents(SIZE)).chunks(64 << 10).filter(|g| g.iter().any(|&b| b != 0)).count();
    let format = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
    let expected = [
        format!("web-disk1.vmdk {size}"),
        format!("{SIZE} {} {format}", grains as u64 * (64 << 10)),
        "'web' True".into(),
        "firmware efi".into(),
        "bootOptions.efiSecureBootEnabled false".into(),
    ];
    assert_eq!(values(&directory, "web.ovf"), expected);
    let broken = std::fs::read_to_string(directory.join("web.ovf")).unwrap().replacen("</Info>", "</Inf>", 1);
    let path = scratch.write("broken.ovf", broken.as_bytes());
    assert!(!tool("python3", &["-c", VALUES, &path]).0);
}

#[test]
fn a_hostile_name_stays_a_name() {
    let scratch = Scratch::new();
    let cases = [
        ("../\"<&>'\n\0 web", "\"<&>'\\n\\ufffd web", "web"),
        ("", "", "disk"),
        ("ä", "\\xe4", "disk"),
        (&"n".repeat(300), &"n".repeat(300), &"n".repeat(80)),
    ];
    for (name, shown_name, file_name) in cases {
        let directory = unpack(&scratch, shown(&ova(&scratch, name)));
        let mut files: Vec<_> =
            std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        let descriptor =
            files.iter().find_map(|file| file.to_str()?.strip_suffix(".ovf")).unwrap().to_owned();
        assert!(descriptor.ends_with(file_name) && files.len() == 3, "{files:?}");
        let told = &values(&directory, &format!("{descriptor}.ovf"))[2];
        assert!(told.replace("\\'", "'").contains(shown_name), "{told}");
    }
}

#[test]
fn damage_to_an_ova_is_found() {
    let scratch = Scratch::new();
    let whole = std::fs::read(&ova(&scratch, "web").path).unwrap();
    let read = |bytes: &[u8]| open(Path::new(&scratch.write("any.ova", bytes))).map(|(format, _)| format);
    let mut blocks = (0..whole.len()).step_by(512);
    let header = blocks.find(|&at| whole[at..].starts_with(b"web-disk1.vmdk")).unwrap();
    assert_eq!(read(&whole).unwrap(), Format::Ova);
    for at in [header, header + 124, header + 512] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(*read(&bytes).unwrap_err().kind(), Kind::Corrupt, "byte {at}");
    }
    assert_eq!(*read(&whole[..header + 5000]).unwrap_err().kind(), Kind::Corrupt);
    let descriptor_alone = [&whole[..header], &[0; 1024]].concat();
    assert_eq!(*read(&descriptor_alone).unwrap_err().kind(), Kind::NotFound);
}
