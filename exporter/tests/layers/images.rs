//! Forms of images, and which image is meant.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Layout, Stored, digest, dump, gzip, read, read_error, read_for, run, sh, tar};

fn named(name: &str) -> Vec<u8> {
    tar(&[&format!("name={name}")])
}

fn name(loaded: &exporter::input::Loaded) -> String {
    String::from_utf8(loaded.tree.read("/name", 100).unwrap().unwrap()).unwrap()
}

#[test]
fn images_are_chosen_by_reference_and_platform() {
    let mut layout = Layout::new();
    layout.add("v1", "amd64", &[named("v1 amd64")], Stored::Plain);
    layout.add("v1", "arm64", &[named("v1 arm64")], Stored::Gzip);
    layout.nest();
    layout.add("v2", "amd64", &[named("v2 amd64")], Stored::Zstd);
    let input = layout.input();
    assert_eq!(name(&read(&format!("{input}:v2")).unwrap()), "v2 amd64");
    assert_eq!(name(&read_for(&format!("{input}:v1"), "arm64", 1).unwrap()), "v1 arm64");
    assert_eq!(name(&read_for(layout.path().to_str().unwrap(), "arm64", 1).unwrap()), "v1 arm64");
    assert!(read_error(&input).ends_with(": there are 2 of image for linux/amd64"));
    let config = read(&format!("{input}:v2")).unwrap().config.unwrap();
    assert_eq!(config.config().as_ref().unwrap().entrypoint().as_deref().unwrap(), ["/init"]);
}

#[test]
fn an_image_of_a_tar_of_a_root_is_that_root() {
    let os = tar(&["etc/", "etc/os-release=ID=openEuler", "bin->usr/bin"]);
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_size(os.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "os.tar", &os[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    let expected = {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("root.tar");
        std::fs::write(&path, &os).unwrap();
        dump(&read(path.to_str().unwrap()).unwrap().tree)
    };
    for stored in [Stored::Plain, Stored::Gzip, Stored::Zstd] {
        let loaded = read(&Layout::of(std::slice::from_ref(&layer), stored).input()).unwrap();
        assert_eq!(dump(&loaded.tree), expected, "{stored:?}");
        assert!(loaded.config.is_some());
    }
    // With other files it is a file among them; a tar that is damaged is told.
    let beside = read(&Layout::of(&[layer.clone(), tar(&["more=1"])], Stored::Plain).input()).unwrap();
    assert!(dump(&beside.tree).contains("/os.tar"));
    let damaged = tar(&["os.tar=no tar at all"]);
    let error = read_error(&Layout::of(&[damaged], Stored::Gzip).input());
    assert!(error.contains("/os.tar"), "{error}");
}

#[test]
fn one_image_of_several_names_is_one_and_what_is_no_image_is_none() {
    let mut layout = Layout::new();
    let manifest = layout.add("v1", "amd64", &[named("both")], Stored::Plain);
    layout.add_manifest("v2", &manifest);
    let index = layout.path().join("index.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let mut attestation = json["manifests"][0].clone();
    attestation["digest"] = digest(b"not here").into();
    attestation["annotations"] = serde_json::json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let mut signature = attestation.clone();
    signature["mediaType"] = "application/vnd.example.signature".into();
    signature["annotations"] = serde_json::json!({});
    json["manifests"].as_array_mut().unwrap().extend([attestation, signature]);
    std::fs::write(&index, json.to_string()).unwrap();
    assert_eq!(name(&read(&layout.input()).unwrap()), "both");
    assert_eq!(name(&read(&format!("{}:v2", layout.input())).unwrap()), "both");
}

#[test]
fn an_archive_of_a_layout_is_read_as_the_layout_compressed_or_not() {
    let layers = [tar(&["a/", "a/b=lower", "c=kept"]), tar(&["a/.wh.b=", "a/d=upper"])];
    let layout = Layout::of(&layers, Stored::Gzip);
    let scratch = TempDir::new().unwrap();
    let expected = dump(&read(&layout.input()).unwrap().tree);
    assert!(expected.contains("/a/d") && !expected.contains("/a/b"));
    for options in [&["-cf"][..], &["-czf"], &["--zstd", "-cf"]] {
        let path = scratch.path().join("image.tar");
        run(Command::new("tar").args(options).arg(&path).arg("-C").arg(layout.path()).arg("."));
        let path = path.display();
        for input in [path.to_string(), format!("oci-archive:{path}"), format!("oci-archive:{path}:latest")] {
            assert_eq!(dump(&read(&input).unwrap().tree), expected, "{input}");
        }
        assert!(read_error(&format!("docker-archive:{path}")).ends_with(": there is no manifest.json"));
    }
}

/// What `docker save` wrote before it wrote OCI layouts: a directory for each layer, equal layers once.
fn old_docker_archive(scratch: &Path) -> String {
    let (low, top) = (named("low"), tar(&["top=1"]));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"], "Entrypoint": null },
        "rootfs": { "type": "layers", "diff_ids": [digest(&low), digest(&top), digest(&low)] },
    });
    let config = config.to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()).trim_start_matches("sha256:"));
    let id = |n: u8| format!("{n:064x}");
    let layers: Vec<_> = (1..4).map(|n| format!("{}/layer.tar", id(n))).collect();
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": ["old:1"], "Layers": layers }]);
    for n in 1..4 {
        std::fs::create_dir(scratch.join(id(n))).unwrap();
    }
    std::fs::write(scratch.join(&layers[0]), &low).unwrap();
    std::fs::write(scratch.join(&layers[1]), &top).unwrap();
    std::os::unix::fs::symlink(format!("../{}", layers[0]), scratch.join(&layers[2])).unwrap();
    std::fs::write(scratch.join(&config_name), config).unwrap();
    std::fs::write(scratch.join("manifest.json"), manifest.to_string()).unwrap();
    sh(scratch, "tar --sort=name -cf saved.tar *");
    scratch.join("saved.tar").display().to_string()
}

#[test]
fn old_docker_archives_are_read_too() {
    let scratch = TempDir::new().unwrap();
    let path = old_docker_archive(scratch.path());
    for input in [path.clone(), format!("docker-archive:{path}"), format!("docker-archive:{path}:old:1")] {
        let loaded = read(&input).unwrap();
        assert_eq!(name(&loaded), "low");
        assert_eq!(loaded.tree.children("/").count(), 2);
        assert_eq!(loaded.config.unwrap().config().as_ref().unwrap().cmd().as_deref().unwrap(), ["sh"]);
    }
    let error = read(&format!("docker-archive:{path}:new")).unwrap_err();
    assert_eq!(error.hint(), Some(&"it holds linux/amd64 (old:1)".into()));

    // Damage in the middle of the file is damage in one of its layers.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|window| window == b"low").unwrap();
    bytes[at] = b'L';
    std::fs::write(&path, &bytes).unwrap();
    let error = read_error(&path);
    assert!(error.starts_with(&format!("{path}: layer 1 of 3 (")), "{error}");
    assert!(error.contains(": the content is damaged: its diff_id is sha256:"), "{error}");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(read_error(&format!("docker-archive:{path}")).starts_with(&format!("{path}: ")));
}

#[test]
fn whiteouts_hide_lower_layers_and_nothing_of_their_own() {
    let lower = ["d/", "d/a=lower", "d/b=lower", "d/sub/", "d/sub/x=lower", "e=lower", "gone=lower", "l->d"];
    // Each whiteout comes after what the layer has under the same name.
    let upper = [
        "d/a=upper",
        "d/.wh.a=",
        "d/sub/",
        "d/sub/y=upper",
        "d/sub/.wh..wh..opq=",
        "f==e",
        ".wh..wh.plnk=",
        ".wh.gone=",
        "e/",
        "e/x=upper",
        "l/",
        "l/z=upper",
        "l/.wh..wh..opq=",
    ];
    let layout = Layout::of(&[tar(&lower), tar(&upper), tar(&[".wh.e="])], Stored::Gzip);
    let tree = read(&layout.input()).unwrap().tree;
    let read = |path: &str| tree.read(path, 100).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    let upper = Some("upper".to_owned());
    let lower = Some("lower".to_owned());
    for (path, expected) in [
        ("d/a", &upper),
        ("d/b", &lower),
        ("d/sub/y", &upper),
        ("d/sub/x", &None),
        ("f", &lower),
        ("gone", &None),
        ("e/x", &None),
        ("l/z", &upper),
        ("l/b", &None),
        ("d/z", &None),
    ] {
        assert_eq!(&read(path), expected, "{path}");
    }
    assert_eq!(tree.children("/").map(|(name, _)| name.to_vec()).collect::<Vec<_>>(), [b"d", b"f", b"l"]);
}

#[test]
fn members_that_gzip_has_in_pieces_are_one_stream() {
    let scratch = TempDir::new().unwrap();
    let whole = named("pieces");
    let pieces = [gzip(&whole[..700]), gzip(&whole[700..])].concat();
    let path = scratch.path().join("root.tar.gz");
    std::fs::write(&path, pieces).unwrap();
    assert_eq!(name(&read(path.to_str().unwrap()).unwrap()), "pieces");
}
