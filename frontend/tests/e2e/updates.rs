//! The next root as a folder, out of the same build as the disk.

use std::process::Command;

use super::lab::{build, context, extract, partitions, run, scratch};

const CONFIG: &str = "layout = \"ab\"\n[image]\nid = \"kiosk\"\nversion = \"1.4.0\"\n";

#[test]
fn an_update_is_the_root_of_the_first_slot() {
    let folder = scratch();
    let context = context(folder.path(), "FROM vmimage-test/alpine:3.23\nRUN echo one >/etc/app\n");
    std::fs::write(context.join("vmimage.toml"), CONFIG).unwrap();
    let [disk, update, root] = ["kiosk.raw", "update", "root"].map(|name| folder.path().join(name));
    let outputs = format!("--output={}", update.display());
    build(&context, &disk, &["--format=raw", &outputs, "--format=update"]);

    let sums = run(Command::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(&update));
    assert_eq!(sums.matches(": OK").count(), 4, "{sums}");
    let manifest = std::fs::read_to_string(update.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!((&manifest["id"], &manifest["version"]), (&"kiosk".into(), &"1.4.0".into()), "{manifest}");

    run(Command::new("zstd").arg("-dq").arg(update.join("kiosk_1.4.0.root.zst")).arg("-o").arg(&root));
    run(Command::new("e2fsck").arg("-fn").arg(&root));
    let slot = folder.path().join("slot");
    extract(&disk, &partitions(&disk)[2], &slot);
    let len = root.metadata().unwrap().len();
    run(Command::new("cmp").args(["-n", &len.to_string()]).args([&root, &slot]));
    assert_eq!(manifest["parts"][0]["plain_bytes"], len, "{manifest}");
}
