//! What the real clients protect their users from, with the shim in front of them.
//!
//! | protection | of | here |
//! | --- | --- | --- |
//! | a definition writes to the working directory only, until somebody allows more | bake | asked by the shim, for all outputs that it hands on |
//! | a definition gets the host's network, devices, secrets or more rights only if that is allowed | bake, build, buildctl | asked by the real client: flags and variables reach it as typed |
//! | the command that a question shows is the one that was typed | bake | no other one is shown |
//! | the name of a target is no flag | bake | nor is it in any run |
//! | an archive does not go to a terminal | all | nor does a disk |
//! | one output goes to stdout | all | also beside a disk |
//! | a folder, a device or a file that is not the user's to write is no destination | all | said before anything runs |

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;
use tempfile::TempDir;

use super::{Lab, SEND_DISKS, VMIMAGE, bake, succeeds, text};

/// A bake in front of these outputs of its target `web`, and a folder that nobody has allowed.
struct Bake {
    lab: Lab,
    elsewhere: TempDir,
}

impl Bake {
    /// `ELSEWHERE` stands for the folder.
    fn new(outputs: &str) -> Self {
        Self::of(outputs, "")
    }

    /// The real bake runs `script` first.
    fn of(outputs: &str, script: &str) -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        let outputs = outputs.replace("ELSEWHERE", elsewhere.path().to_str().unwrap());
        let definition = format!(
            r#"{{ "group": {{ "default": {{ "targets": ["web"] }} }}, "target": {{ "web": {{ "output": [{outputs}] }} }} }}"#
        );
        Self { lab: Lab::docker(&format!("{script}\n{}", bake(&definition))), elsewhere }
    }

    fn command(&self, words: &str) -> Command {
        self.lab.shim(&words.replace("ELSEWHERE", self.elsewhere.path().to_str().unwrap()))
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What lies in the folder that nobody has allowed.
    fn written(&self) -> Vec<PathBuf> {
        fs::read_dir(self.elsewhere.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[track_caller]
    fn is_refused(&self, output: &Output) {
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(": additional privileges requested\nhint: "), "{told}");
        assert_eq!(self.written(), Vec::<PathBuf>::new());
        let runs = self.lab.runs();
        assert!(runs.iter().all(|run| run.ends_with("--print")), "nothing was built: {runs:?}");
    }
}

/// Issue 14, line 2: a bake file of anybody overwrote any file of the user.
#[test]
fn a_definition_writes_to_no_file_that_nobody_has_allowed() {
    for outputs in [
        r#""type=vmdisk,dest=ELSEWHERE/x.qcow2""#,
        r#"{ "type": "vmdisk", "dest": "ELSEWHERE/x.qcow2" }"#,
        r#""type=vmdisk,dest=out/../../x.qcow2""#,
        r#""type=vmdisk,dest=linked/x.qcow2""#,
        r#""type=vmdisk,dest=linked.qcow2""#,
        r#""type=vmdisk,dest=web.qcow2", "type=vmdisk,dest=ELSEWHERE/x.vhdx""#,
        // What goes on to buildx by --set is no longer the definition's there, so buildx does not ask.
        r#""type=vmdisk,dest=web.qcow2", "type=tar,dest=ELSEWHERE/x.tar""#,
        r#""type=vmdisk,dest=web.qcow2", { "type": "local", "dest": "ELSEWHERE" }"#,
        r#""type=oci,format=containerdisk,dest=ELSEWHERE/x.tar""#,
    ] {
        let bake = Bake::new(outputs);
        symlink(bake.elsewhere.path(), bake.lab.path("linked")).unwrap();
        symlink(bake.elsewhere.path().join("x.qcow2"), bake.lab.path("linked.qcow2")).unwrap();
        for words in ["buildx bake", "buildx bake https://example.com/x.git web", "bake --progress rawjson"] {
            bake.is_refused(&bake.run(words));
        }
        let mut asked = bake.command("buildx bake");
        bake.is_refused(&asked.env("BUILDX_BAKE_ENTITLEMENTS_FS", "1").output().unwrap());
        let mut local = bake.command("buildx bake --allow=fs.read=* --allow=fs.write=out");
        bake.is_refused(&local.env("BAKE_ALLOW_REMOTE_FS_ACCESS", "1").output().unwrap());
    }
}

#[test]
fn a_definition_writes_where_it_is_allowed() {
    let outputs = r#""type=vmdisk,dest=ELSEWHERE/x.qcow2""#;
    for (words, variable) in [
        ("buildx bake --allow=fs.write=ELSEWHERE", None),
        ("buildx bake --allow fs=ELSEWHERE/x.qcow2", None),
        ("buildx bake --allow fs.write=*", None),
        ("buildx bake", Some("BUILDX_BAKE_ENTITLEMENTS_FS=0")),
        ("buildx bake https://example.com/x.git", Some("BAKE_ALLOW_REMOTE_FS_ACCESS=1")),
        // The stand-in prints what it would have made of this.
        ("buildx bake --set *.output=type=vmdisk,dest=ELSEWHERE/x.qcow2", None),
    ] {
        let bake = Bake::new(outputs);
        let mut command = bake.command(words);
        command.envs(variable.and_then(|variable| variable.split_once('=')));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        assert_eq!(bake.written(), [bake.elsewhere.path().join("x.qcow2")]);
        let allowed = words.replace("ELSEWHERE", bake.elsewhere.path().to_str().unwrap());
        let allowed: Vec<_> =
            allowed.split(' ').filter(|word| word.trim_start_matches("--allow=").starts_with("fs")).collect();
        assert!(bake.lab.runs().iter().all(|run| allowed.iter().all(|word| run.contains(word))), "{words}");
    }
    for inside in ["web.qcow2", "./out/web.qcow2", "out/../web.qcow2"] {
        let bake = Bake::new(&format!(r#""type=vmdisk,dest={inside}""#));
        let output = bake.run("buildx bake https://example.com/x.git");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(bake.lab.path(inside).exists());
    }
}

#[test]
fn a_buildx_without_grants_has_them_here() {
    let outputs = r#""type=vmdisk,dest=ELSEWHERE/x.qcow2""#;
    let older = "if [[ $* == *--allow* ]]; then echo unknown flag: --allow >&2; exit 125; fi";
    let bake = Bake::of(outputs, older);
    bake.is_refused(&bake.run("buildx bake"));
    let output = bake.run("buildx bake --allow=fs.write=ELSEWHERE web");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(bake.written().len(), 1);
    assert!(!bake.lab.runs().last().unwrap().contains("--allow"));
    // What it cannot be asked for it refuses itself.
    let output = bake.run("buildx bake --allow=fs.write=ELSEWHERE --allow=network.host");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(125), "unknown flag: --allow\n"));
}

#[test]
fn the_command_that_is_shown_is_the_one_that_was_typed() {
    let bake = Bake::new(r#""type=vmdisk,dest=ELSEWHERE/x.qcow2", "type=local,dest=out""#);
    let mut command = bake.command("buildx bake -f x.hcl --set *.pull=true web");
    let output = command.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker").output().unwrap();
    let file = fs::canonicalize(bake.elsewhere.path()).unwrap().join("x.qcow2");
    let file = file.display();
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: target web writes to {file}, outside the working directory: additional privileges requested\n\
             hint: if you trust the definition: docker buildx bake -f x.hcl --set '*.pull=true' web --allow=fs.write={file}\n"
        )
    );

    // buildx puts its own words into its question, around the first that is `bake`: there is none.
    let bake = Bake::new(r#""type=vmdisk,dest=a.qcow2", "type=local,dest=out""#);
    assert!(bake.run("buildx bake --allow=network.host web").status.success());
    let runs = bake.lab.runs();
    assert_eq!(runs.len(), 3);
    for run in runs {
        assert!(run.starts_with("buildx f --allow=network.host ") && !run.contains("bake"), "{run}");
    }
}

/// Runs a command line of the shim's at a terminal where `answer` is typed; what it shows, and its exit code.
fn at_a_terminal(lab: &Lab, words: &str, answer: &str) -> (Option<i32>, String) {
    let plugin = lab.path("config/cli-plugins/docker-buildx");
    let mut script = lab.in_lab(Path::new("script"));
    script.args(["-qec", &format!("{} {words}", plugin.display()), "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn who_is_at_a_terminal_is_asked() {
    let question = "Do you want to grant requested privileges and continue? [y/N] ";
    for (answer, words, is_asked, is_made) in [
        ("y\n", "buildx bake", true, true),
        ("Y\n", "buildx bake https://example.com/x.git", true, true),
        ("n\n", "buildx bake", true, false),
        ("\n", "buildx bake", true, false),
        ("yes\n", "buildx bake", true, false),
        ("y\n", "buildx bake --progress=rawjson", false, false),
        ("y\n", "buildx bake --allow=fs.write=*", false, true),
    ] {
        let bake = Bake::new(r#""type=vmdisk,dest=ELSEWHERE/x.qcow2""#);
        let (code, shown) = at_a_terminal(&bake.lab, words, answer);
        assert_eq!((shown.contains(question), code), (is_asked, Some(i32::from(!is_made))), "{shown}");
        assert_eq!(bake.written().len(), usize::from(is_made), "{shown}");
        assert_eq!(shown.contains("docker buildx bake"), is_asked || !is_made, "{shown}");
    }
}

#[test]
fn no_disk_goes_to_a_terminal() {
    let lab = Lab::docker(SEND_DISKS);
    let disk = "buildx build -o type=vmdisk,dest=-,format=raw src";
    let (code, shown) = at_a_terminal(&lab, disk, "");
    assert_eq!(code, Some(1));
    assert!(shown.contains("error: dest=-: stdout is a terminal\r\nhint: "), "{shown}");
    assert_eq!(lab.runs(), Vec::<String>::new());
    assert!(lab.run(disk).status.success(), "it goes to a pipe");

    let bake = Bake::new(r#""type=vmdisk,dest=-,format=raw""#);
    let (code, shown) = at_a_terminal(&bake.lab, "buildx bake", "");
    assert_eq!(code, Some(1));
    assert!(shown.contains("error: dest=-: stdout is a terminal\r\n"), "{shown}");
}

#[test]
fn grants_and_policies_are_the_real_clients_to_judge() {
    let flags = "--allow network.host --allow=security.insecure --ssh default --secret id=a,src=/etc/hostname --policy p";
    let environment = "printf '%s %s %s\\n' $BUILDX_BUILDER $BUILDX_BAKE_GIT_AUTH_TOKEN $EXPERIMENTAL_BUILDKIT_SOURCE_POLICY >>env";
    let variables = [
        ("BUILDX_BUILDER", "remote"),
        ("BUILDX_BAKE_GIT_AUTH_TOKEN", "token"),
        ("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "policy.json"),
    ];
    let check = |lab: &Lab, words: &str, flags: &str, count: usize| {
        let output = lab.shim(words).envs(variables).output().unwrap();
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        let runs = lab.runs();
        assert_eq!(runs.len(), count, "{words}: {runs:?}");
        assert!(runs.iter().all(|run| run.contains(flags)), "{runs:?}");
        let seen = fs::read_to_string(lab.path("env")).unwrap();
        assert_eq!(seen, "remote token policy.json\n".repeat(count), "{words}");
    };
    let lab = Lab::docker(&format!("{environment}\n{SEND_DISKS}"));
    check(&lab, &format!("buildx build {flags} -o type=vmdisk,dest=out/a.raw --load src"), flags, 2);

    let baked = "--allow network.host --allow=security.insecure --allow ssh --policy p --builder b";
    let bake = Bake::of(r#""type=vmdisk,dest=out/a.raw", "type=image""#, environment);
    check(&bake.lab, &format!("buildx bake {baked} https://example.com/x.git web"), baked, 3);

    let lab = Lab::buildctl(&format!("{environment}\n{SEND_DISKS}"));
    let allowed = "--allow network.host --allow=security.insecure --ssh default --source-policy-file p";
    let build = "build --frontend dockerfile.v0 --local context=src --local dockerfile=src";
    check(&lab, &format!("{build} {allowed} -o type=vmdisk,dest=out/a.raw -o type=image,name=a"), allowed, 2);
}

#[test]
fn composes_bake_is_told_as_compose_tells_it() {
    let words = "bake --file - --progress rawjson --metadata-file m --allow fs.read=/etc";
    for script in ["", "if [[ $* == *--allow* ]]; then exit 125; fi"] {
        let bake = Bake::of(r#""type=docker""#, script);
        bake.run(words);
        assert_eq!(bake.lab.runs().last().unwrap(), words);
    }
}

#[test]
fn a_refusal_of_the_real_client_is_the_end() {
    let refuses =
        "if [[ $* != *--print* ]]; then echo ERROR: additional privileges requested >&2; exit 1; fi";
    let bake = Bake::of(r#""type=vmdisk,dest=out/a.raw", "type=image""#, refuses);
    let output = bake.run("buildx bake");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(1), "ERROR: additional privileges requested\n")
    );
    assert_eq!((bake.lab.runs().len(), bake.lab.left()), (2, vec![]));
}

#[test]
fn what_is_no_file_is_no_destination() {
    let lab = Lab::docker(SEND_DISKS);
    fs::create_dir(lab.path("folder")).unwrap();
    symlink("folder", lab.path("linked")).unwrap();
    succeeds(Command::new("mkfifo").arg(lab.path("pipe")));
    for (dest, part) in [
        ("folder", "folder: the destination is a directory"),
        ("linked", "linked: the destination is a directory"),
        ("pipe", "pipe: the destination is not a regular file"),
        ("/dev/null", "/dev/null: the destination is not a regular file"),
        ("src/disk.raw/x", "src/disk.raw/x: cannot create the file"),
    ] {
        let output = lab.run(&format!("buildx build -o type=vmdisk,format=raw,dest={dest} src"));
        assert_eq!(output.status.code(), Some(1), "{dest}");
        assert!(text(&output.stderr).starts_with(&format!("error: {part}")), "{}", text(&output.stderr));
    }
    assert_eq!(lab.runs(), Vec::<String>::new());

    // A link is the user's own way to a file, as it is for a tar.
    fs::write(lab.path("out/far.raw"), "").unwrap();
    symlink("out/far.raw", lab.path("near.raw")).unwrap();
    succeeds(&mut lab.shim("buildx build -o type=vmdisk,dest=near.raw src"));
    assert!(lab.path("near.raw").is_symlink());
    assert_eq!(fs::metadata(lab.path("out/far.raw")).unwrap().len(), 64 << 20);
}

#[test]
fn a_file_that_may_not_be_written_to_is_kept() {
    let lab = Lab::docker(SEND_DISKS);
    let golden = lab.path("out/web.qcow2");
    fs::write(&golden, "golden").unwrap();
    fs::set_permissions(&golden, PermissionsExt::from_mode(0o444)).unwrap();
    // Anybody but root, who may write to all files, with the program in a folder that anybody can reach.
    let plugin = lab.path("config/cli-plugins/docker-buildx");
    fs::remove_file(&plugin).unwrap();
    fs::hard_link(VMIMAGE, &plugin).or_else(|_| fs::copy(VMIMAGE, &plugin).map(drop)).unwrap();
    let mut build = lab.shim("buildx build -o type=vmdisk,dest=out/web.qcow2 src");
    if geteuid().is_root() {
        const NOBODY: u32 = 65534;
        for path in [lab.path(""), lab.path("out"), golden.clone()] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        build.uid(NOBODY).gid(NOBODY);
    }
    let output = build.output().unwrap();
    let told = "error: out/web.qcow2: the destination is a file that you may not write to\nhint: ";
    assert!(text(&output.stderr).starts_with(told), "{}", text(&output.stderr));
    assert_eq!(fs::read(&golden).unwrap(), b"golden");
    assert_eq!(lab.runs(), Vec::<String>::new());

    fs::set_permissions(&golden, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(build.output().unwrap().status.success(), "its owner may write to it again");
}
