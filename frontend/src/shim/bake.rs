//! `docker buildx bake`: targets with `output = ["type=vmdisk,dest=web.qcow2"]`.
//!
//! Which targets there are only the real bake can tell: its files may be HCL, JSON, compose files or on
//! another host. It is asked with `--print` and then told by `--set` what to change, so that everything else
//! a target has reaches the build as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;

use super::container_disk::ContainerDisk;
use super::csv;
use super::docker_buildx::{ATTESTATIONS, asks_only, quiet_progress};
use super::line::{Dockerfile, Line, SYNTAX};
use super::output::{Disks, Output};
use super::real::Real;
use super::run::{Act, DiskRun, Plan, TRANSPORT};
use super::stdin::Stdin;
use super::words::Item;
use crate::cli::{Error, Result, is_stdout, syntax};

/// What is done in place of a bake.
pub(super) fn bake(line: &Line, real: &Real, stdin: &mut Stdin) -> Result<Act> {
    if asks_only(line) {
        return Ok(Act::PassOn);
    }
    if line.values(&["file", "f"]).any(|file| file == "-") {
        stdin.keep().map_err(|error| Error::user("stdin: cannot be read").because(error))?;
    }
    let mut command = real.command();
    command.args(line.with(|_| true, ["--print".to_owned()]));
    command.stdin(stdin.for_run().map_err(|error| real.cannot_start(error))?).stderr(Stdio::null());
    let output = command.output().map_err(|error| real.cannot_start(error))?;
    // What can't be printed can't be built either, and the real bake says why.
    let printed = output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten();
    printed.map_or(Ok(Act::PassOn), |definition| plan(line, &definition))
}

/// What `bake --print` prints.
#[derive(Debug, Deserialize)]
struct Definition {
    #[serde(default)]
    group: BTreeMap<String, Group>,
    target: BTreeMap<String, Target>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Target {
    context: Option<String>,
    contexts: BTreeMap<String, String>,
    dockerfile: Option<String>,
    dockerfile_inline: Option<String>,
    args: BTreeMap<String, Option<String>>,
    output: Vec<Printed>,
    attest: Vec<serde_json::Value>,
}

/// An output; since buildx 0.20 as an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Printed {
    Text(String),
    Object(BTreeMap<String, String>),
}

impl Printed {
    fn output(&self) -> Option<Output> {
        match self {
            Self::Text(text) => Output::parse(text),
            Self::Object(pairs) => Some(Output::new(pairs.clone())),
        }
    }

    fn disk(&self) -> Option<Output> {
        self.output().filter(Output::is_disk)
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Object(pairs) => {
                let fields = pairs.iter().map(|(key, value)| csv::quote(&format!("{key}={value}")));
                fields.collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl Definition {
    /// The targets that were asked for, without those that others only build on.
    fn requested(&self) -> BTreeSet<&str> {
        let mut requested = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut names = vec!["default"];
        while let Some(name) = names.pop() {
            match self.group.get(name) {
                Some(group) if seen.insert(name) => names.extend(group.targets.iter().map(String::as_str)),
                _ => requested.extend(self.target.get_key_value(name).map(|(name, _)| name.as_str())),
            }
        }
        requested
    }
}

impl Target {
    fn disks(&self) -> Result<Option<Disks>> {
        let outputs: Vec<_> = self.output.iter().filter_map(Printed::disk).collect();
        if outputs.is_empty() { Ok(None) } else { Disks::new(&outputs).map(Some) }
    }

    fn others(&self) -> impl Iterator<Item = &Printed> {
        self.output.iter().filter(|output| output.disk().is_none())
    }

    fn container_disk(&self) -> Result<Option<ContainerDisk>> {
        ContainerDisk::read(&self.output.iter().filter_map(Printed::output).collect::<Vec<_>>())
    }

    fn frontend(&self) -> Option<(String, String)> {
        let inline = self.dockerfile_inline.as_deref();
        let is_named_inline = inline.is_some_and(|text| syntax::names_in(text, &crate::cli::frontend()));
        let context = self.context.as_deref().unwrap_or(".");
        let path = Path::new(context).join(self.dockerfile.as_deref().unwrap_or("Dockerfile"));
        let has_frontend = is_named_inline || self.args.contains_key(SYNTAX);
        Dockerfile { path, has_frontend }.frontend()
    }

    fn builds_on(&self, name: &str) -> bool {
        self.contexts.values().any(|context| context.strip_prefix("target:") == Some(name))
    }
}

fn plan(line: &Line, definition: &Definition) -> Result<Act> {
    let requested = definition.requested();
    let mut found = Vec::new();
    for name in &requested {
        let target = &definition.target[*name];
        if let Some(disks) = target.disks()? {
            found.push((*name, target, disks));
        }
    }
    let mut images = BTreeMap::new();
    for name in &requested {
        if let Some(image) = definition.target[*name].container_disk()? {
            images.insert(*name, image);
        }
    }
    if found.is_empty() && images.is_empty() {
        return Ok(Act::PassOn);
    }
    let all = found.iter().map(|(_, _, disks)| disks);
    check_files(&all.collect::<Vec<_>>())?;

    let is_only_disk = |name: &str| {
        let target = &definition.target[name];
        !target.output.is_empty() && target.others().next().is_none()
    };
    let others: Vec<&str> = requested.iter().copied().filter(|name| !is_only_disk(name)).collect();
    let bake = Bake { line, disks: found.len(), others: !others.is_empty() };
    let sets = others.iter().flat_map(|name| match images.get(name) {
        Some(image) => image_sets(name, &definition.target[*name], image),
        None => {
            let outputs = definition.target[*name].others();
            outputs.map(|output| set(name, &format!("output={}", output.text()))).collect()
        }
    });
    let others = bake.others.then(|| bake.run(Role::Others, sets, &others));
    if let (true, Some(others)) = (found.is_empty(), &others) {
        return Ok(Act::Instead(others.clone()));
    }
    let warm = bake.warm(&found);
    let disks = found.into_iter().map(|(name, target, disks)| {
        let sets = disk_sets(name, target, &disks).chain([set(name, &format!("output={TRANSPORT}"))]);
        DiskRun { args: bake.run(Role::Disk, sets, &[name]), disks }
    });
    Ok(Act::Run(Plan {
        warm,
        disks: disks.collect(),
        others,
        reads_stdin: false,
        quiet: quiet_progress(line),
    }))
}

/// The files of several builds must be several.
fn check_files(disks: &[&Disks]) -> Result<()> {
    let mut paths = BTreeSet::new();
    for path in disks.iter().flat_map(|disks| &disks.files).map(|(path, _)| path) {
        if is_stdout(path) && disks.len() > 1 {
            return Err(Error::user(
                "--output type=vmdisk: dest=- takes one disk, several targets make some",
            ));
        }
        if !paths.insert(path) {
            return Err(Error::user(format!("{}: is the disk of two targets", path.display())));
        }
    }
    Ok(())
}

/// `--set web.output=…`
fn set(target: &str, override_: &str) -> String {
    format!("--set={target}.{override_}")
}

/// What tells a target's build which disk it makes.
fn arguments(name: &str, target: &Target, variables: &[(String, String)]) -> impl Iterator<Item = String> {
    let variables = variables.iter().cloned().chain(target.frontend());
    variables
        .map(move |(key, value)| set(name, &format!("args.{key}={value}")))
        .collect::<Vec<_>>()
        .into_iter()
}

/// What makes a disk of a target, and switches off what the target asks to be attested of it.
fn disk_sets(name: &str, target: &Target, disks: &Disks) -> impl Iterator<Item = String> {
    let kinds: &[&str] = if target.attest.is_empty() { &[] } else { &["provenance", "sbom"] };
    let off = kinds.iter().map(|kind| set(name, &format!("attest=type={kind},disabled=true")));
    arguments(name, target, &disks.variables).chain(off.collect::<Vec<_>>())
}

/// What makes the image that a target's build makes one of its disk.
fn image_sets(name: &str, target: &Target, image: &ContainerDisk) -> Vec<String> {
    let outputs = image.outputs.iter().map(|output| set(name, &format!("output={output}")));
    arguments(name, target, &image.variables).chain(outputs).collect()
}

/// What a run of bake is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Warm,
    Disk,
    Others,
}

/// The bake that was typed, to be run in parts.
struct Bake<'a> {
    line: &'a Line,
    /// Targets with disks.
    disks: usize,
    /// Whether there is a run for what else is asked for.
    others: bool,
}

impl Bake<'_> {
    /// Bake fetches one stdout at a time, but builds side by side: before several disks are fetched one by
    /// one, all of them are built into the cache.
    fn warm(&self, found: &[(&str, &Target, Disks)]) -> Option<Vec<OsString>> {
        // A target would build on the disk of another instead of its files.
        let are_linked =
            found.iter().any(|(_, target, _)| found.iter().any(|(name, ..)| target.builds_on(name)));
        if self.disks < 2 || are_linked {
            return None;
        }
        let sets = found.iter().flat_map(|(name, target, disks)| {
            disk_sets(name, target, disks).chain([set(name, "output=type=cacheonly")])
        });
        let names: Vec<_> = found.iter().map(|(name, ..)| *name).collect();
        Some(self.run(Role::Warm, sets, &names))
    }

    /// The arguments for a run of some targets; of the outputs only those in `sets` are left.
    fn run(&self, role: Role, sets: impl Iterator<Item = String>, targets: &[&str]) -> Vec<OsString> {
        // One file can't hold what several runs tell: the images' has more to tell, then that of all disks.
        let tells = match role {
            Role::Others => true,
            Role::Warm => !self.others,
            Role::Disk => !self.others && self.disks == 1,
        };
        let keep = |item: &Item| match item {
            Item::Word(word) => is_remote(word),
            Item::End => false,
            item if item.is(&["push", "load"]) => false,
            item if item.is(&["metadata-file"]) => tells,
            item if item.is(ATTESTATIONS) => role == Role::Others,
            item => !item.value_of(&["set"]).is_some_and(sets_output),
        };
        let targets = targets.iter().map(|name| (*name).to_owned());
        self.line.with(keep, sets.chain(targets))
    }
}

/// Where bake's own files come from: a URL among the targets.
fn is_remote(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    word.contains("://") || word.starts_with("git@")
}

/// `web.output=…`, `*.output+=…`: what the printed targets have taken in already.
fn sets_output(value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    let key = text.split_once('=').map_or(&*text, |(key, _)| key);
    key.split_once('.').is_some_and(|(_, key)| key.trim_end_matches('+') == "output")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::docker_buildx::CLIENT;
    use super::*;

    fn act(typed: &str, definition: serde_json::Value) -> Result<Act> {
        let words: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        plan(&Line::read(&words, &CLIENT).unwrap(), &serde_json::from_value(definition).unwrap())
    }

    fn planned(typed: &str, definition: serde_json::Value) -> (Option<String>, Vec<String>, Option<String>) {
        let Act::Run(plan) = act(typed, definition).unwrap() else { panic!("{typed}: nothing planned") };
        let shown = |words: Vec<OsString>| {
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let disks = plan.disks.into_iter().map(|run| shown(run.args)).collect();
        (plan.warm.map(shown), disks, plan.others.map(shown))
    }

    const FRONTEND: &str = "args.BUILDKIT_SYNTAX=example/vmimage";

    #[test]
    fn one_target_is_one_build() {
        let definition = |output| {
            json!({
                "group": { "default": { "targets": ["web"] } },
                "target": { "web": { "context": ".", "dockerfile": "no-such-file", "output": [output] } }
            })
        };
        let text = json!("type=vmdisk,dest=web.qcow2,size=9G");
        let object = json!({ "type": "vmdisk", "dest": "web.qcow2", "size": "9G" });
        for output in [text, object] {
            let typed =
                "buildx bake --builder b -f x.hcl --metadata-file m --set *.platform=linux/amd64 --push web";
            let (warm, disks, others) = planned(typed, definition(output));
            assert_eq!(
                disks,
                [format!(
                    "buildx bake --builder b -f x.hcl --metadata-file m --set *.platform=linux/amd64 \
                     --set=web.args.VMIMAGE_TRANSPORT=sparse --set=web.args.VMIMAGE_FORMAT=qcow2 --set=web.args.VMIMAGE_SIZE=9G --set=web.{FRONTEND} \
                     --set=web.output=type=tar,dest=- web"
                )]
            );
            assert_eq!((warm, others), (None, None));
        }
    }

    #[test]
    fn several_disks_are_built_at_once_and_fetched_one_by_one() {
        let definition = json!({
            "group": { "default": { "targets": ["all", "img"] }, "all": { "targets": ["a", "b"] } },
            "target": {
                "a": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=a.raw"] },
                "b": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=b.raw", "type=image,push=true"] },
                "img": { "output": [{ "type": "image", "name": "a,b" }] },
                "linked": { "output": ["type=vmdisk,dest=linked.raw"] },
            }
        });
        let (warm, disks, others) = planned(
            "bake --metadata-file m --set b.output=type=vmdisk,dest=b.raw https://x/y.git all img",
            definition,
        );
        assert_eq!(
            warm.unwrap(),
            "bake https://x/y.git --set=a.args.VMIMAGE_TRANSPORT=sparse --set=a.args.VMIMAGE_FORMAT=raw --set=a.output=type=cacheonly \
             --set=b.args.VMIMAGE_TRANSPORT=sparse --set=b.args.VMIMAGE_FORMAT=raw --set=b.output=type=cacheonly a b"
        );
        assert_eq!(
            disks,
            ["a", "b"].map(|name| format!(
                "bake https://x/y.git --set={name}.args.VMIMAGE_TRANSPORT=sparse --set={name}.args.VMIMAGE_FORMAT=raw --set={name}.output=type=tar,dest=- {name}"
            ))
        );
        assert_eq!(
            others.unwrap(),
            "bake --metadata-file m https://x/y.git --set=b.output=type=image,push=true \
             --set=img.output=\"name=a,b\",type=image b img"
        );
    }

    #[test]
    fn nothing_is_attested_of_a_disk() {
        for attest in [json!(["type=sbom"]), json!([{ "type": "provenance", "mode": "max" }])] {
            let definition = json!({
                "target": { "default": {
                    "args": { "BUILDKIT_SYNTAX": "x" }, "attest": attest, "output": ["type=vmdisk,dest=a.raw"],
                } }
            });
            assert_eq!(
                planned("bake --sbom=true --provenance mode=max", definition).1,
                ["bake --set=default.args.VMIMAGE_TRANSPORT=sparse --set=default.args.VMIMAGE_FORMAT=raw \
                     --set=default.attest=type=provenance,disabled=true --set=default.attest=type=sbom,disabled=true \
                     --set=default.output=type=tar,dest=- default"]
            );
        }
        let definition = json!({
            "target": { "default": {
                "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=a.raw", "type=image,name=a"],
            } }
        });
        let (_, disks, others) = planned("bake --sbom=true", definition);
        assert!(!disks[0].contains("sbom"), "{disks:?}");
        assert!(others.unwrap().starts_with("bake --sbom=true "), "it is the image's");
    }

    #[test]
    fn an_image_of_a_disk_is_baked_with_the_other_images() {
        let image = "type=image,name=web,format=containerdisk,size=9G";
        let shown =
            |args: &[OsString]| args.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let definition = |other: &str| {
            json!({
                "group": { "default": { "targets": ["other", "web"] } },
                "target": {
                    "web": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": [image] },
                    "other": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": [other] },
                }
            })
        };
        let web = "--set=web.args.VMIMAGE_SIZE=9G --set=web.args.VMIMAGE_STAGE=containerdisk \
                   --set=web.output=type=image,name=web,compression=uncompressed,oci-mediatypes=true";
        let Act::Instead(args) = act("bake", definition("type=image,name=a")).unwrap() else { panic!() };
        assert_eq!(shown(&args), format!("bake --set=other.output=type=image,name=a {web} other web"));
        let (_, disks, others) = planned("bake", definition("type=vmdisk,dest=a.raw"));
        assert_eq!((disks.len(), others.unwrap()), (1, format!("bake {web} web")));
    }

    #[test]
    fn a_disk_that_another_one_builds_on_is_not_built_beside_it() {
        let definition = json!({
            "group": { "default": { "targets": ["a", "b"] } },
            "target": {
                "a": { "output": ["type=vmdisk,dest=a.raw"] },
                "b": { "contexts": { "base": "target:a" }, "output": ["type=vmdisk,dest=b.raw"] },
            }
        });
        let (warm, disks, _) = planned("bake", definition);
        assert_eq!((warm, disks.len()), (None, 2));
    }

    #[test]
    fn a_syntax_line_inside_the_definition_counts() {
        let definition = |inline: &str| {
            json!({ "target": { "default": {
                "dockerfile-inline": inline, "output": ["type=vmdisk,dest=a.raw"],
            } } })
        };
        let (_, disks, _) = planned("bake", definition("# syntax=example/vmimage:1\nFROM debian"));
        assert_eq!(
            disks,
            [
                "bake --set=default.args.VMIMAGE_TRANSPORT=sparse --set=default.args.VMIMAGE_FORMAT=raw --set=default.output=type=tar,dest=- default"
            ]
        );
        let (_, disks, _) = planned("bake", definition("FROM debian"));
        assert!(disks[0].contains(FRONTEND), "{disks:?}");
    }

    #[test]
    fn without_a_disk_nothing_is_changed() {
        let definition = json!({ "target": { "default": { "output": ["type=local,dest=out", "vmdisk"] } } });
        assert_eq!(act("bake", definition).unwrap(), Act::PassOn);
        assert_eq!(act("bake", json!({ "target": {} })).unwrap(), Act::PassOn);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let two = |a: &str, b: &str| {
            let definition = json!({
                "group": { "default": { "targets": ["a", "b"] } },
                "target": { "a": { "output": [a] }, "b": { "output": [b] } }
            });
            act("bake", definition).unwrap_err().to_string()
        };
        let disk = "type=vmdisk,dest=a.raw";
        assert_eq!(two(disk, disk), "a.raw: is the disk of two targets");
        assert!(two(disk, "type=vmdisk,dest=-,format=raw").contains("dest=- takes one disk"));
        assert!(two(disk, "type=vmdisk,dest=b.raw,sise=1").contains("sise is none of its attributes"));
    }
}
