//! The same input is the same disk as before, in every format. What changes a digest here changes everybody's disks:
//! it has a reason, which the commit says.

use std::fmt::Write;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use exporter::assemble::{Input, plan};
use exporter::container::{Format, write};
use exporter::engine::Run;
use exporter::spec::{Architecture, Container, Profile, Size, Spec};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::inputs::{self, MIB, hex, input};

/// A line for each artifact.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/disks/same_bytes.txt");

fn container(words: &[&str]) -> Option<Container> {
    let cmd = words.iter().map(|word| (*word).to_owned()).collect();
    Some(Container { cmd, ..Container::default() })
}

/// All formats of disks but the one whose are at least a gibibyte.
fn machine() -> Spec {
    let formats =
        Format::ALL.iter().copied().filter(|format| format.is_disk() && *format != Format::Gce).collect();
    Spec { formats, size: Some(Size(96 * MIB)), ..Spec::default() }
}

/// Every input, with what is asked for.
pub(crate) fn disks(scratch: &Path) -> Vec<(&'static str, Spec, Input)> {
    let debian = Spec {
        container: container(&["/usr/sbin/nginx"]),
        hostname: Some("web".into()),
        cmdline: "quiet net.ifnames=0".into(),
        size: Some(Size(128 * MIB)),
        ..machine()
    };
    let image = Spec { source_date_epoch: Some(1_600_000_000), ..machine() };
    let scratch_image = Spec { container: container(&["/app"]), ..machine() };
    let with_donor = Input { donor: Some(inputs::donor()), ..input(inputs::scratch_image()) };
    let arm64 = Spec { architecture: Architecture::Aarch64, formats: vec![Format::Raw], ..machine() };
    // As large as the content needs.
    let data = Spec { profile: Profile::Data, size: None, ..machine() };
    let cloud = Spec { formats: vec![Format::Gce], ..data.clone() };
    vec![
        ("debian", debian, input(inputs::debian(scratch))),
        ("debian-arm64", arm64, inputs::input_arm64(inputs::debian_arm64())),
        ("alpine", machine(), input(inputs::alpine())),
        ("scratch+donor", scratch_image, with_donor),
        ("oci-archive", image, input(inputs::image(scratch))),
        ("data", data, input(inputs::site())),
        ("data-gce", cloud, input(inputs::site())),
    ]
}

/// That of a file, or of the files of a folder by their names.
fn digest(artifact: &Path) -> String {
    let mut files = match fs::read_dir(artifact) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![artifact.to_owned()],
    };
    files.sort();
    let digest =
        files.iter().fold(Sha256::new(), |digest, file| digest.chain_update(fs::read(file).unwrap()));
    hex(&digest.finalize())
}

/// The digests of the artifacts of one disk.
fn digests(name: &str, spec: &Spec, input: Input, threads: usize) -> String {
    let run = Run::silent(NonZeroUsize::new(threads).unwrap());
    let planned = plan(spec, input, &run).unwrap();
    let output = TempDir::new().unwrap();
    let target = |&format: &Format| {
        planned.target(output.path().join(format.name()), format, format.default_compression())
    };
    let targets: Vec<_> = spec.formats.iter().map(target).collect();
    write(planned.image(), &targets, &run).unwrap();
    targets.iter().fold(String::new(), |mut lines, target| {
        let _ = writeln!(lines, "{name:<14} {:<14} {}", target.format, digest(&target.path));
        lines
    })
}

/// With `UPDATE=1` the digests are written anew.
#[test]
fn every_disk_is_the_same_bytes_as_before() {
    let scratch = TempDir::new().unwrap();
    let disks = disks(scratch.path());
    let now: String = disks.into_iter().map(|(name, spec, input)| digests(name, &spec, input, 3)).collect();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(GOLDEN, &now).unwrap();
    }
    let before = fs::read_to_string(GOLDEN).unwrap();
    let changed: Vec<_> = now.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    assert!(before == now, "other bytes than before:\n{}", changed.join("\n"));
}

/// The comparison above must be able to fail.
#[test]
fn another_word_for_the_kernel_is_other_bytes() {
    let spec = |word: &str| Spec { cmdline: word.into(), formats: vec![Format::Raw], ..machine() };
    let made = |word| digests("alpine", &spec(word), input(inputs::alpine()), 1);
    assert_eq!(made("quiet"), made("quiet"));
    assert_ne!(made("quiet"), made("silent"));
}
