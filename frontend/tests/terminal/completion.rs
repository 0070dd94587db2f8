//! Completions, asked of the shells themselves.

use std::process::Command;

use crate::{commands, run, text, vmimage};

/// The script of a shell, in a file.
fn script(shell: &str) -> tempfile::NamedTempFile {
    let output = run(&mut vmimage(&["completion", shell]));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), output.stdout).unwrap();
    file
}

/// What bash offers for the last of these words.
fn bash(script: &str, words: &[&str]) -> Vec<String> {
    // As readline does it: the function gets the command, the word and the one before it.
    let ask = r#"
        source "$1"; shift
        name=$(complete -p vmimage | sed -E 's/.* -F ([^ ]+).*/\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$name" "$1" "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = run(Command::new("bash").args(["--norc", "-uc", ask, "bash", script]).args(words));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// What fish offers at the end of this line.
fn fish(script: &str, line: &str) -> Vec<String> {
    let ask = "source $argv[1]; complete --do-complete $argv[2]";
    let output = run(Command::new("fish").args(["--no-config", "-c", ask, script, line]));
    let offered = text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap_or_default());
    offered.map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = script("bash");
    let path = script.path().to_str().unwrap();
    let offered = bash(path, &["vmimage", ""]);
    for command in commands() {
        assert!(offered.contains(&command), "{command}: {offered:?}");
    }
    assert_eq!(bash(path, &["vmimage", "convert", "--plat"]), ["--platform"]);
    assert_eq!(bash(path, &["vmimage", "convert", "--format", "qc"]), ["qcow2"]);
    assert_eq!(bash(path, &["vmimage", "convert", "--progress", "raw"]), ["rawjson"]);
    assert_eq!(bash(path, &["vmimage", "build", "--format", "nothing"]), [""]);
}

#[test]
fn fish_completes_commands_flags_and_values() {
    let script = script("fish");
    let path = script.path().to_str().unwrap();
    let offered = fish(path, "vmimage ");
    for command in commands() {
        assert!(offered.contains(&command), "{command}: {offered:?}");
    }
    assert_eq!(fish(path, "vmimage convert --plat"), ["--platform"]);
    assert_eq!(fish(path, "vmimage convert --format qc"), ["qcow2"]);
    assert!(fish(path, "vmimage convert --format nothing").is_empty());
}

#[test]
fn zsh_can_parse_its_script() {
    let parses =
        |path: &std::path::Path| Command::new("zsh").arg("-fn").arg(path).output().unwrap().status.success();
    let script = script("zsh");
    assert!(text(&std::fs::read(&script).unwrap()).starts_with("#compdef vmimage\n"));
    assert!(parses(script.path()));
    std::fs::write(&script, "_vmimage() { if [[ x ; }").unwrap();
    assert!(!parses(script.path()));
}

#[test]
fn an_unknown_shell_is_told_the_known_ones() {
    let output = vmimage(&["completion", "dash"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bash, elvish, fish, powershell, zsh"), "{output:?}");
}
