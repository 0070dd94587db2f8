//! The kernel step by every engine, on a base that none has seen and in a store that has nothing else: the same tree.
//!
//! What a step leaves is the engine's doing too, such as the places it mounts at and the access control lists it keeps;
//! layers of an earlier run would hide it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::boot::bare_alpine;
use super::distributions;
use super::fidelity::{differences, walk};
use super::lab::{Mount, VMIMAGE, beside_the_store, nonce, partitions, raw, run, scratch, static_binary};

/// A base that is new, and a context of the least that differs where an engine has its own ways.
struct Fresh {
    folder: TempDir,
    /// The program of the frontend image, so that the machine has the same files of ours by every engine.
    program: PathBuf,
    base: String,
    /// When the base was made: what is newer gets this time.
    epoch: String,
}

impl Fresh {
    fn new(base: &str) -> Self {
        let folder = scratch();
        let path = |name: &str| folder.path().join(name);
        let name = format!("vmimage-test/fresh-{}", nonce());
        for (context, dockerfile) in [
            ("base", format!("FROM {base}\nCOPY nonce /srv/\n")),
            ("context", format!("FROM {name}\nRUN echo hi >/hi && chmod 4755 /hi\n")),
        ] {
            fs::create_dir(path(context)).unwrap();
            fs::write(path(context).join("Dockerfile"), dockerfile).unwrap();
        }
        fs::write(path("base/nonce"), nonce()).unwrap();
        run(Command::new("docker").args(["build", "--quiet", "--tag", &name]).arg(path("base")));
        // As an archive has it: docker's own store knows times below a second, and its archives don't.
        let flatten = "container=$(docker create \"$1\" sh) && docker export $container | docker import - \"$1\" && docker rm $container";
        run(Command::new("sh").args(["-euc", flatten, "sh", &name]));
        run(Command::new("docker").args(["save", &name, "-o"]).arg(path("base.tar")));
        let mut created = Command::new("docker");
        let created = run(created.args(["image", "inspect", "--format", "{{.Created}}", &name]));
        let epoch = run(Command::new("date").args(["+%s", "--date", created.trim()])).trim().to_owned();
        Self { program: static_binary(folder.path()), base: name, epoch, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The disk that an engine makes, and what is told of it.
    fn disk(&self, engine: &str) -> (PathBuf, Value) {
        let disk = self.path(&format!("{engine}.qcow2"));
        let mut build = Command::new(&self.program);
        build.args(["build", "--engine", engine, "--network", "host", "--hostname", "web", "--json", "-o"]);
        build.arg(&disk).arg(self.path("context")).env("SOURCE_DATE_EPOCH", &self.epoch);
        if engine != "docker" {
            let store = self.store(engine);
            let mut pull = Command::new(engine);
            pull.args(["pull", "--quiet"]).arg(format!("docker-archive:{}", self.path("base.tar").display()));
            run(pull.env("CONTAINERS_STORAGE_CONF", &store));
            build.env("CONTAINERS_STORAGE_CONF", &store);
        }
        let told = serde_json::from_str(&run(&mut build)).unwrap();
        (disk, told)
    }

    /// The configuration of an empty store.
    fn store(&self, name: &str) -> PathBuf {
        let file = self.path(&format!("{name}.conf"));
        let root = self.path(name);
        let [graph, run] = ["graph", "run"].map(|folder| root.join(folder).display().to_string());
        let text = format!("[storage]\ndriver = \"overlay\"\ngraphroot = {graph:?}\nrunroot = {run:?}\n");
        fs::write(&file, text).unwrap();
        file
    }

    /// The paths in which the roots of two disks differ.
    fn differences(&self, disks: [&Path; 2]) -> BTreeSet<PathBuf> {
        let folders = [scratch(), scratch()];
        let roots = [0, 1].map(|n| {
            let raw = raw(disks[n], folders[n].path());
            Mount::new(&raw, &partitions(&raw)[2], folders[n].path().join("root"))
        });
        let [one, other] = roots.each_ref().map(|root| walk(&root.0));
        differences(&one, &other).into_iter().map(Path::to_owned).collect()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.base]).output();
    }
}

fn digests(disk: &Path) -> Vec<String> {
    let json: Value =
        serde_json::from_str(&run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(disk))).unwrap();
    let partitions = json["partitions"].as_array().unwrap().iter();
    let digests = partitions.filter_map(|partition| partition["file_system"]["tree_digest"].as_str());
    digests.map(str::to_owned).collect()
}

/// The engines make the same tree of a base, and those without a log of BuildKit's tell what they have edited.
fn same_by(base: &str, engines: &[&str]) -> (Fresh, Vec<String>) {
    let fresh = Fresh::new(base);
    let (first, _) = fresh.disk(engines[0]);
    let expected = digests(&first);
    assert_eq!(expected.len(), 2, "the boot loader's and the root");
    for engine in &engines[1..] {
        let (disk, told) = fresh.disk(engine);
        let edits = told["disks"][0]["system"]["edits"].as_array();
        assert!(edits.is_some_and(|edits| edits.len() > 5), "{engine}: {told}");
        let found = digests(&disk);
        assert!(found == expected, "{engine} on {base}: {:#?}", fresh.differences([&first, &disk]));
    }
    (fresh, expected)
}

#[test]
fn an_alpine_that_no_engine_has_seen_is_the_same_by_each() {
    let _lock = beside_the_store();
    let (fresh, expected) = same_by(&bare_alpine(), &["docker", "podman"]);
    // The comparison can say no.
    fs::write(fresh.path("context/Dockerfile"), format!("FROM {}\nRUN echo ho >/hi\n", fresh.base)).unwrap();
    assert_ne!(digests(&fresh.disk("docker").0), expected);
}

#[test]
#[ignore = "minutes for each distribution: make matrix"]
fn every_distribution_is_the_same_by_every_engine() {
    let _lock = beside_the_store();
    for image in distributions::images() {
        same_by(&image, &["docker", "buildah", "podman"]);
    }
}
