//! Container images with a disk in them: docker must load them, and the disk must come out whole.

use sha2::{Digest, Sha256};

use super::*;

/// An image that docker has loaded, removed when dropped.
struct Loaded(String);

impl Drop for Loaded {
    fn drop(&mut self) {
        tool("docker", &["image", "rm", "-f", &self.0]);
    }
}

fn disk(scratch: &Scratch, name: &str) -> Target {
    let disk = any_target(scratch, Format::ContainerDisk);
    let (name, version) = (name.into(), Some("1.4.0".into()));
    let disk = Target { appliance: Appliance { name, version, ..disk.appliance.clone() }, ..disk };
    write_one(RawImage { size: 12 * MIB, extents: &extents(12 * MIB) }, &disk, 2);
    disk
}

/// The archive unpacked into a directory, and the paths of its blobs.
fn unpacked(scratch: &Scratch, archive: &str) -> (PathBuf, Vec<PathBuf>) {
    let directory = scratch.file("unpacked");
    std::fs::create_dir(&directory).unwrap();
    accepts("tar", &["-C", directory.to_str().unwrap(), "-xf", archive]);
    let blobs = std::fs::read_dir(directory.join("blobs/sha256")).unwrap();
    let blobs = blobs.map(|blob| blob.unwrap().path()).collect();
    (directory, blobs)
}

fn is_named_by_its_digest(blob: &Path) -> bool {
    let digest = format!("{:x}", Sha256::digest(std::fs::read(blob).unwrap()));
    blob.file_name().unwrap() == digest.as_str()
}

#[test]
fn docker_loads_it_and_the_disk_comes_out_whole() {
    let scratch = Scratch::new();
    let name = format!("vmimage-test-{}", std::process::id());
    let disk = disk(&scratch, &name);
    let image = Loaded(format!("{name}:latest"));
    let said = accepts("docker", &["load", "-i", shown(&disk)]);
    assert!(said.contains(&image.0), "{said}");
    let asked = "{{.Os}} {{.Architecture}} {{json .Config.Labels}}";
    let said = accepts("docker", &["image", "inspect", "-f", asked, &image.0]);
    let expected = format!(
        "linux amd64 {{\"org.opencontainers.image.title\":\"{name}\",\"org.opencontainers.image.version\":\"1.4.0\"}}"
    );
    assert_eq!(said.trim_end(), expected);
    let container = accepts("docker", &["create", &image.0, "none"]);
    let container = container.trim_end();
    let qcow2 = scratch.file("disk.qcow2");
    let copied =
        tool("docker", &["cp", "-a", &format!("{container}:/disk/disk.qcow2"), qcow2.to_str().unwrap()]);
    tool("docker", &["rm", container]);
    assert!(copied.0, "{}", copied.1);
    let raw = scratch.write("expected.raw", &flatten(12 * MIB, &extents(12 * MIB)));
    let qcow2 = qcow2.to_str().unwrap();
    assert!(accepts("qemu-img", &["check", qcow2]).contains("No errors were found"));
    accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, qcow2]);
}

#[test]
fn docker_refuses_a_flipped_byte() {
    let scratch = Scratch::new();
    // Another disk than that of the other tests: docker does not look at a layer it already has.
    let disk = any_target(&scratch, Format::ContainerDisk);
    write_one(RawImage { size: 3 * MIB, extents: &extents(3 * MIB) }, &disk, 2);
    let mut bytes = std::fs::read(&disk.path).unwrap();
    bytes[400 << 10] ^= 1;
    let path = scratch.write("broken.tar", &bytes);
    let _image = Loaded("test-disk:latest".into());
    assert!(!tool("docker", &["load", "-i", &path]).0);
    let (_, blobs) = unpacked(&scratch, &path);
    assert_eq!(blobs.iter().filter(|blob| !is_named_by_its_digest(blob)).count(), 1);
}

#[test]
fn it_is_an_oci_layout_whose_layer_is_qemus() {
    let scratch = Scratch::new();
    let disk = disk(&scratch, "Web server");
    let (directory, blobs) = unpacked(&scratch, shown(&disk));
    assert_eq!(blobs.len(), 3);
    assert!(blobs.iter().all(|blob| is_named_by_its_digest(blob)));
    let json =
        |path: &Path| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &serde_json::Value| {
        let path = directory.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), descriptor["size"]);
        path
    };
    assert_eq!(json(&directory.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(&directory.join("index.json"));
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "docker.io/library/web-server:latest");
    let manifest = json(&blob(&index["manifests"][0]));
    let config = json(&blob(&manifest["config"]));
    let layer = blob(&manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "Web server");
    let listed = accepts("tar", &["--numeric-owner", "--utc", "-tvf", layer.to_str().unwrap()]);
    let lines: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["dr-xr-xr-x", "107/107", "0", "1970-01-01", "00:00", "disk/"]);
    assert_eq!((&lines[1][..2], lines[1][5]), (&["-r--r-----", "107/107"][..], "disk/disk.qcow2"));
    assert_eq!(lines.len(), 2);
}

#[test]
fn the_disk_in_it_is_read() {
    let scratch = Scratch::new();
    let disk = disk(&scratch, "web");
    assert_eq!(identify(&disk.path).unwrap(), (Format::ContainerDisk, Some(12 * MIB)));
    let (_, image) = open(&disk.path).unwrap();
    let mut bytes = vec![1; 12 * MIB as usize];
    image.read_at(0, &mut bytes).unwrap();
    assert!(bytes == flatten(12 * MIB, &extents(12 * MIB)));
    let whole = std::fs::read(&disk.path).unwrap();
    for at in (0..4096).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        // Some of these bytes mean nothing for reading; none may cause a panic.
        let _ = open(Path::new(&scratch.write("any.tar", &bytes)));
    }
    for cut in [300, 512, 2560, 3584, 4000] {
        assert_eq!(open(Path::new(&scratch.write("cut.tar", &whole[..cut]))).unwrap().0, Format::Raw);
    }
}
