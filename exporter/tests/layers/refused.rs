//! What is damaged or cannot be read is one clear error, which names the file and the layer.

use std::path::Path;

use crate::support::{Layout, Stored, digest, gzip, read, read_error, sh, tar};

fn small() -> Vec<u8> {
    tar(&["etc/", "etc/hostname=vm", "bin/", "bin/sh=program"])
}

/// The layout of an image of one layer, which is then changed.
fn damaged(stored: Stored, damage: impl FnOnce(&mut Vec<u8>)) -> (String, String) {
    let layers = [tar(&["a=a"]), small()];
    let layout = Layout::of(&layers, stored);
    let stored = match stored {
        Stored::Plain => layers[1].clone(),
        Stored::Gzip => gzip(&layers[1]),
        Stored::Zstd => zstd::encode_all(&layers[1][..], 1).unwrap(),
    };
    let digest = digest(&stored);
    let mut bytes = stored;
    damage(&mut bytes);
    std::fs::write(layout.blob(&digest), bytes).unwrap();
    let place = format!("{}: layer 2 of 2 ({digest}): ", layout.path().display());
    (read_error(&layout.input()), place)
}

#[test]
fn a_flipped_byte_anywhere_is_a_wrong_digest() {
    for stored in [Stored::Plain, Stored::Gzip, Stored::Zstd] {
        for position in [0, 3, 20, 60, 110] {
            let (error, place) = damaged(stored, |bytes| bytes[position] ^= 0x10);
            let message = format!("{place}the content is damaged: its digest is sha256:");
            // Without its magic it is another form, of which the digest is the same.
            assert!(error.starts_with(&message), "{stored:?} {position}: {error}");
        }
    }
}

#[test]
fn a_truncated_layer_says_how_long_it_should_be() {
    for stored in [Stored::Plain, Stored::Gzip, Stored::Zstd] {
        let (error, _) = damaged(stored, |bytes| bytes.truncate(100));
        assert!(error.contains(" has 100 bytes, ") && error.contains("layer sha256:"), "{error}");
    }
}

#[test]
fn a_wrong_diff_id_is_refused() {
    let mut layout = Layout::new();
    let mut manifest = layout.add("good", "amd64", &[small()], Stored::Gzip);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest(b"something else")] },
    });
    manifest["config"] =
        layout.put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    layout.add_manifest("wrong", &manifest);
    read(&format!("{}:good", layout.input())).unwrap();
    let error = read_error(&format!("{}:wrong", layout.input()));
    assert!(error.contains("): the content is damaged: its diff_id is sha256:"), "{error}");
    assert!(error.contains(": layer 1 of 1 ("), "{error}");
}

#[test]
fn a_number_of_layers_that_is_not_that_of_the_configuration_is_refused() {
    let mut layout = Layout::new();
    let mut manifest = layout.add("good", "amd64", &[small(), tar(&["b"])], Stored::Plain);
    manifest["layers"].as_array_mut().unwrap().pop();
    layout.add_manifest("wrong", &manifest);
    let error = read_error(&format!("{}:wrong", layout.input()));
    assert!(error.ends_with(": the image has 1 layers, its configuration 2"), "{error}");
}

#[test]
fn foreign_types_are_named() {
    let mut layout = Layout::new();
    let mut manifest = layout.add("good", "amd64", &[small()], Stored::Plain);
    let media_type = "application/vnd.oci.image.layer.v1.tar+encrypted";
    manifest["layers"][0]["mediaType"] = media_type.into();
    layout.add_manifest("wrong", &manifest);
    let error = read_error(&format!("{}:wrong", layout.input()));
    assert!(error.contains(media_type) && error.ends_with("not a tar"), "{error}");

    let mut layout = Layout::new();
    let mut manifest = layout.add("good", "amd64", &[small()], Stored::Plain);
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
    layout.add_manifest("chart", &manifest);
    let error = read(&format!("{}:chart", layout.input())).unwrap_err();
    assert!(error.to_string().ends_with(": there is no image \"chart\" for linux/amd64"), "{error}");
    let hint = "an artifact of the type application/vnd.cncf.helm.config.v1+json (chart)";
    assert!(error.hint().is_some_and(|list| list.to_string().ends_with(hint)), "{error:?}");
}

#[test]
fn blobs_that_are_missing_or_damaged_are_named() {
    let layout = Layout::of(&[small()], Stored::Plain);
    let layer = layout.blob(&digest(&small()));
    std::fs::remove_file(&layer).unwrap();
    let error = read_error(&layout.input());
    assert!(error.contains(": there is no blobs/sha256/"), "{error}");

    let layout = Layout::of(&[small()], Stored::Plain);
    let index = std::fs::read_to_string(layout.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let manifest = layout.blob(index["manifests"][0]["digest"].as_str().unwrap());
    std::fs::write(manifest, "{}").unwrap();
    assert!(read_error(&layout.input()).contains("does not have the digest sha256:"));
}

#[test]
fn a_blob_that_is_a_link_to_this_machine_is_not_followed() {
    let layout = Layout::of(&[small()], Stored::Plain);
    let blob = layout.blob(&digest(&small()));
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(&blob, outside.path()).unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(outside.path(), &blob).unwrap();
    assert!(read_error(&layout.input()).contains(": cannot open blobs/sha256/"));
}

fn tar_error(directory: &Path, bytes: &[u8]) -> String {
    let path = directory.join("root.tar");
    std::fs::write(&path, bytes).unwrap();
    let error = read_error(&format!("tar:{}", path.display()));
    error.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn tars_of_trees_are_whole_or_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = small();
    let truncated = "the archive is truncated";
    let no_end = "the archive is truncated: it has no end-of-archive block";
    for (len, message) in [(700, truncated), (512, no_end), (1100, truncated), (0, no_end)] {
        assert_eq!(tar_error(scratch.path(), &whole[..len]), message, "{len}");
    }
    let packed = gzip(&whole);
    assert_eq!(tar_error(scratch.path(), &packed[..packed.len() - 9]), truncated);
    assert_eq!(tar_error(scratch.path(), &packed[..packed.len() / 2]), truncated);
    let packed = zstd::encode_all(&whole[..], 1).unwrap();
    assert!(tar_error(scratch.path(), &packed[..packed.len() / 2]).starts_with("the archive is "));
    let mut flipped = gzip(&whole);
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    assert!(tar_error(scratch.path(), &flipped).starts_with("the archive is corrupt: "));
    assert_eq!(tar_error(scratch.path(), &tar(&["a==b"])), "/a: a hard link to /b, which is not there");
    assert_eq!(
        tar_error(scratch.path(), &tar(&["d/", "a==d"])),
        "/a: a hard link to /d, which is a directory"
    );
    let below = "/a: cannot make the directory: not a directory";
    assert_eq!(tar_error(scratch.path(), &tar(&["a=", "a/b="])), below);
    sh(scratch.path(), "tar -cJf root.tar.xz -T /dev/null");
    let error = read_error(scratch.path().join("root.tar.xz").to_str().unwrap());
    assert!(error.contains("it is compressed with xz, only gzip and zstd can be read"), "{error}");
}

#[test]
fn an_image_that_is_not_there_is_answered_with_what_is() {
    let mut layout = Layout::new();
    layout.add("v1", "amd64", &[small()], Stored::Plain);
    layout.add("v1", "s390x", &[small()], Stored::Plain);
    let error = read(&format!("{}:v2", layout.input())).unwrap_err();
    assert!(error.to_string().ends_with(": there is no image \"v2\" for linux/amd64"), "{error}");
    assert_eq!(error.hint(), Some(&"it holds linux/amd64 (v1); linux/s390x (v1)".into()));
}
