//! Indexes as today's registries hold them: beside an image there are artifacts, variants of the processor, other
//! compressions of the same layers, and images for systems with more features.

use serde_json::{Value, json};

use crate::support::{Layout, digest, read, read_for, tar};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const ZSTD: &str = "io.github.containers.compression.zstd";

/// An image whose file `name` has this text; its descriptor, which tells the platform.
fn image(layout: &Layout, name: &str, platform: &Value) -> Value {
    let layer = tar(&[&format!("name={name}")]);
    let config = json!({
        "architecture": platform["architecture"], "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": layout.put(CONFIG, config.to_string().as_bytes()),
        "layers": [layout.put("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    with(layout.put(MANIFEST, manifest.to_string().as_bytes()), &json!({ "platform": platform }))
}

fn for_amd64(layout: &Layout, name: &str) -> Value {
    image(layout, name, &json!({ "architecture": "amd64", "os": "linux" }))
}

/// What oras, cosign and regctl write: a manifest of no image.
fn artifact(layout: &Layout, kind: &str) -> Value {
    let empty = layout.put(EMPTY, b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty, "layers": [empty],
    });
    layout.put(MANIFEST, manifest.to_string().as_bytes())
}

/// A descriptor that says more.
fn with(mut descriptor: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        descriptor[key] = value.clone();
    }
    descriptor
}

fn named(descriptor: Value, name: &str) -> Value {
    with(descriptor, &json!({ "annotations": { "org.opencontainers.image.ref.name": name } }))
}

/// What is read where `index.json` lists these, and where an index that it lists does.
#[track_caller]
fn assert_read(make: impl Fn(&Layout) -> Vec<Value>, architecture: &str, expected: &str) {
    for nested in [false, true] {
        let mut layout = Layout::new();
        layout.manifests = make(&layout);
        layout.write_index();
        if nested {
            layout.nest();
        }
        let loaded = read_for(&layout.input(), architecture, 1)
            .unwrap_or_else(|error| panic!("nested {nested}: {error} ({:?})", error.hint()));
        let name = loaded.tree.read("/name", 100).unwrap().unwrap();
        assert_eq!(String::from_utf8(name).unwrap(), expected, "nested {nested}");
    }
}

#[test]
fn an_artifact_beside_an_image_is_none() {
    let kind = "application/vnd.example.sbom";
    let amd64 = json!({ "architecture": "amd64", "os": "linux" });
    for artifact in [
        // Only its manifest tells; the descriptor does; it is for a platform and does not tell.
        &(|layout: &Layout| artifact(layout, kind)) as &dyn Fn(&Layout) -> Value,
        &|layout| with(artifact(layout, kind), &json!({ "artifactType": kind })),
        &|layout| with(artifact(layout, kind), &json!({ "artifactType": kind, "platform": amd64 })),
        // It is not even here.
        &|_| json!({ "mediaType": MANIFEST, "digest": digest(b"gone"), "size": 4, "artifactType": kind }),
    ] {
        assert_read(|layout| vec![artifact(layout), for_amd64(layout, "image")], "amd64", "image");
        assert_read(|layout| vec![named(for_amd64(layout, "v1"), "v1"), artifact(layout)], "amd64", "v1");
    }
    // The type of an image's configuration makes no artifact of it.
    let image = |layout: &Layout| vec![with(for_amd64(layout, "image"), &json!({ "artifactType": CONFIG }))];
    assert_read(image, "amd64", "image");
}

#[test]
fn an_artifact_in_an_index_that_is_listed_as_an_image_is_passed_over() {
    let mut layout = Layout::new();
    let platform = json!({ "platform": { "architecture": "amd64", "os": "linux" } });
    let listed = with(artifact(&layout, "application/vnd.example.sbom"), &platform);
    layout.manifests = vec![listed, for_amd64(&layout, "image")];
    layout.nest();
    assert_eq!(read(&layout.input()).unwrap().tree.read("/name", 9).unwrap().unwrap(), b"image");
}

#[test]
fn an_artifact_alone_is_named() {
    let mut layout = Layout::new();
    layout.manifests = vec![named(artifact(&layout, "application/vnd.cncf.helm.chart"), "chart")];
    layout.write_index();
    let error = read(&layout.input()).unwrap_err();
    assert!(error.to_string().ends_with(": there is no image for linux/amd64"), "{error}");
    assert_eq!(
        error.hint(),
        Some(&"it holds an artifact of the type application/vnd.cncf.helm.chart (chart)".into())
    );
}

#[test]
fn one_image_in_two_compressions_is_no_choice() {
    let zstd = json!({ "annotations": { ZSTD: "true" } });
    for zstd_first in [false, true] {
        let instances = |layout: &Layout| {
            let mut both = vec![for_amd64(layout, "gzip"), with(for_amd64(layout, "zstd"), &zstd)];
            if zstd_first {
                both.reverse();
            }
            both
        };
        // As containerd takes them: in their order.
        assert_read(instances, "amd64", if zstd_first { "zstd" } else { "gzip" });
    }
    let other = |layout: &Layout| {
        vec![
            image(layout, "arm", &json!({ "architecture": "arm64", "os": "linux" })),
            for_amd64(layout, "amd"),
        ]
    };
    assert_read(other, "amd64", "amd");
}

#[test]
fn variants_of_a_processor_are_no_choice() {
    let variants = |architecture: &'static str, variants: &'static [&'static str]| {
        move |layout: &Layout| {
            let platform = |variant: &str| match variant {
                "" => json!({ "architecture": architecture, "os": "linux" }),
                _ => json!({ "architecture": architecture, "os": "linux", "variant": variant }),
            };
            variants.iter().map(|variant| image(layout, variant, &platform(variant))).collect::<Vec<_>>()
        }
    };
    assert_read(variants("amd64", &["v2", "v1", "v3"]), "amd64", "v1");
    assert_read(variants("arm64", &["v9", "v8"]), "arm64", "v8");
    assert_read(variants("amd64", &["v3", "v2"]), "amd64", "v2");
}

#[test]
fn an_image_that_wants_more_of_the_system_is_not_taken_for_a_plain_one() {
    let plain = json!({ "architecture": "amd64", "os": "linux" });
    for features in [json!(["erofs"]), json!(["sse4", "x"]), json!([""])] {
        let special = with(plain.clone(), &json!({ "os.features": features }));
        let both = |layout: &Layout| vec![image(layout, "special", &special), image(layout, "plain", &plain)];
        assert_read(both, "amd64", "plain");
    }
}
