//! Inputs that are small and would cost much: each is read with what it may cost, or is one error that says where.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Layout, Stored, digest, gzip, read, read_error, read_for, tar};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Indexes of `width` times the same, `depth` below each other.
fn indexes(width: usize, depth: usize) -> Layout {
    let mut layout = Layout::of(&[tar(&["a=a"])], Stored::Plain);
    let mut listed = layout.manifests[0].clone();
    listed["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    for _ in 0..depth {
        let index = json!({ "schemaVersion": 2, "manifests": vec![listed; width] }).to_string();
        listed = layout.put(INDEX, index.as_bytes());
    }
    layout.manifests = vec![listed];
    layout.write_index();
    layout
}

#[test]
fn indexes_of_equal_indexes_come_to_an_end() {
    for (width, depth) in [(1000, 4), (1000, 1), (200, 2)] {
        let error = read_error(&indexes(width, depth).input());
        assert!(
            error.ends_with(": more than 1000 descriptors in its indexes, which is the limit"),
            "{error}"
        );
    }
    for (width, depth) in [(999, 1), (5, 4)] {
        read(&indexes(width, depth).input()).unwrap();
    }
}

/// An image whose manifest names one layer so many times.
fn repeated(layer: &[u8], times: usize) -> Layout {
    let mut layout = Layout::new();
    let stored = layout.put("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(layer));
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": vec![digest(layer); times] } });
    let config = layout.put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": vec![stored; times] });
    layout.add_manifest("latest", &manifest);
    layout
}

#[test]
fn an_image_has_no_more_layers_than_an_engine_takes() {
    let layer = tar(&["d/", "d/a=a", "d/b==d/a"]);
    let error = read_error(&repeated(&layer, 20_000).input());
    assert!(error.ends_with(": the image has 20000 layers, no engine takes more than 500"), "{error}");
    assert!(read_error(&repeated(&layer, 501).input()).contains("the image has 501 layers"));
    let tree = read(&repeated(&layer, 500).input()).unwrap().tree;
    assert_eq!(tree.walk().count(), 3);
    // What the layers above have replaced is gone.
    assert_eq!(tree.next_id().0, 3);
}

/// What `docker save` writes: `images` of one configuration, which has `padding` bytes more than it needs.
fn saved(directory: &Path, images: usize, padding: usize) -> String {
    let layer = tar(&["a=a"]);
    let config = json!({ "architecture": "amd64", "os": "linux", "padding": "p".repeat(padding),
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] } });
    let (config, path) = (config.to_string(), directory.join("saved.tar"));
    let name = format!("{}.json", digest(config.as_bytes()).trim_start_matches("sha256:"));
    let image =
        |number| json!({ "Config": name, "RepoTags": [format!("app:{number}")], "Layers": ["l.tar"] });
    let manifest = Value::from((0..images).map(image).collect::<Vec<_>>()).to_string();
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in
        [("manifest.json", manifest.as_bytes()), (name.as_str(), config.as_bytes()), ("l.tar", &layer[..])]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    }
    builder.finish().unwrap();
    path.display().to_string()
}

#[test]
fn many_images_of_one_configuration_are_read_one_by_one() {
    let scratch = TempDir::new().unwrap();
    let error = read_error(&saved(scratch.path(), 20_000, 60_000));
    assert!(error.ends_with(": manifest.json: more than 1000 images, which is the limit"), "{error}");
    let error = read_error(&saved(scratch.path(), 900, 100_000));
    let limit = ".json: more than 67108864 bytes of manifests and configurations, which is the limit";
    assert!(error.ends_with(limit), "{error}");
    let path = saved(scratch.path(), 900, 1000);
    read(&format!("docker-archive:{path}:app:7")).unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().ends_with(": there are 900 of image for linux/amd64"), "{error}");
    assert!(error.hint().unwrap().to_string().ends_with("linux/amd64 (app:39); 860 more"), "{error:?}");
}

#[test]
fn an_archive_of_an_image_is_not_unpacked_without_a_limit() {
    let scratch = TempDir::new().unwrap();
    for name in ["zeros.tar.zst", "zeros.tar.gz"] {
        let path = scratch.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder: Box<dyn Write> = match name.ends_with(".gz") {
            true => Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::best())),
            false => Box::new(zstd::Encoder::new(file, 1).unwrap().auto_finish()),
        };
        let mut header = tar::Header::new_ustar();
        header.set_size(350 << 20);
        header.set_cksum();
        encoder.write_all(header.as_bytes()).unwrap();
        (0..350).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
        drop(encoder);
        let error = read(&format!("oci-archive:{}", path.display())).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(" bytes without its compression, which is the limit"), "{message}");
        assert_eq!(error.hint(), Some(&"decompress it first: gzip -d, zstd -d".into()));
    }
}

/// A tar of members that a closure appends.
fn built(members: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    members(&mut builder);
    builder.into_inner().unwrap()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
}

#[test]
fn what_is_replaced_is_dropped() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("root.tar.gz");
    let again = built(|builder| {
        for number in 0..600 {
            append(builder, "etc/motd", &[number as u8; 60_000]);
            append(builder, &format!("d{}/file", number % 2), b"x");
        }
    });
    std::fs::write(&path, gzip(&again)).unwrap();
    let tree = read(path.to_str().unwrap()).unwrap().tree;
    assert_eq!(tree.read("/etc/motd", 60_000).unwrap().unwrap(), vec![599_u32 as u8; 60_000]);
    // The root, three directories and three files.
    assert_eq!(tree.next_id().0, 7);
}

#[test]
fn the_way_along_links_is_limited_for_all_members_together() {
    let links = |members: usize| {
        built(|builder| {
            let mut link = |name: String, target: String| {
                let mut header = tar::Header::new_ustar();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            };
            // 39 links, and of each a way of some 800 names to the one before.
            link("l0".into(), ".".into());
            (1..39).for_each(|number| {
                link(format!("l{number}"), format!("{}l{}", "d/../".repeat(800), number - 1))
            });
            for number in 0..members {
                append(builder, &format!("d{}/x", number % 2), b"");
                append(builder, &format!("l38/d{}/x", number % 2), b"");
            }
        })
    };
    let input = |members| {
        let path = TempDir::new().unwrap().keep().join("links.tar.gz");
        std::fs::write(&path, gzip(&[tar(&["d/"])[..512].to_vec(), links(members)].concat())).unwrap();
        path
    };
    let small = input(10);
    assert_eq!(read(small.to_str().unwrap()).unwrap().tree.children("/d1").count(), 1);
    let large = input(1500);
    let error = read_error(large.to_str().unwrap());
    assert!(error.contains(" names looked up, which is the limit"), "{error}");
    for path in [small, large] {
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}

#[test]
fn no_directory_is_deeper_than_a_path_that_linux_takes() {
    let long = "n".repeat(250);
    let steps = |count: usize| vec![long.as_str(); count].join("/");
    let deep = built(|builder| {
        append(builder, &format!("{}/x", steps(15)), b"");
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "l", steps(15)).unwrap();
        append(builder, &format!("l/{}/x", steps(2)), b"");
    });
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("root.tar");
    std::fs::write(&path, deep).unwrap();
    let error = read_error(path.to_str().unwrap());
    assert!(error.ends_with(": cannot make the directory: its path is longer than Linux takes"), "{error}");
}

#[test]
fn large_layers_wait_for_each_other_at_every_number_of_threads() {
    // Each has more than may be read ahead.
    let many = |folder: &str| {
        let names = (0..160_000).map(|number| format!("{folder}{number}"));
        built(|builder| names.for_each(|name| append(builder, &name, b"")))
    };
    let layers = [tar(&["a=a"]), many("x"), many("y"), tar(&[".wh.x7=", "z=z"]), many("y")];
    let layout = Layout::of(&layers, Stored::Gzip);
    for threads in [1, 8] {
        let tree = read_for(&layout.input(), "amd64", threads).unwrap().tree;
        assert_eq!(tree.children("/").count(), 320_001, "{threads} threads");
        assert_eq!(tree.next_id().0, 320_002, "{threads} threads");
    }
}
