//! The manual, judged by man-db and groff.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{commands, run, text, vmimage};

/// A page as a terminal of 100 columns shows it, or what is wrong with it.
fn render(page: &Path) -> Result<String, String> {
    let mut man = Command::new("man");
    man.args(["--warnings=w", "--encoding=UTF-8", "--local-file"]).arg(page);
    let output = man.envs([("MANWIDTH", "100"), ("LC_ALL", "C.UTF-8"), ("MANROFFSEQ", "")]).output().unwrap();
    match (output.status.success(), text(&output.stderr)) {
        (true, "") => Ok(String::from_utf8(output.stdout).unwrap()),
        (_, wrong) => Err(wrong.to_owned()),
    }
}

/// Word by word: the manual breaks and indents its lines otherwise than `--help`.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_command_has_a_page_with_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    run(vmimage(&["man"]).arg(&pages));

    let commands = commands();
    let mut expected: Vec<_> = commands.iter().map(|command| format!("vmimage-{command}.1")).collect();
    let nested = [
        "config-check",
        "config-reference",
        "config-schema",
        "keys-generate",
        "keys-vars",
        "serve-nbd",
        "serve-pxe",
    ];
    expected.extend(nested.map(|command| format!("vmimage-{command}.1")));
    expected.push("vmimage.1".to_owned());
    let mut found: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);

    let main = render(&pages.join("vmimage.1")).unwrap();
    for command in &commands {
        assert!(main.contains(&format!("vmimage-{command}(1)")), "{main}");
        let page = render(&pages.join(format!("vmimage-{command}.1"))).unwrap();
        assert!(page.contains("SYNOPSIS") && page.contains("DESCRIPTION") && page.contains("OPTIONS"));
        let help = run(&mut vmimage(&[command, "--help"]));
        if let Some((_, examples)) = text(&help.stdout).split_once("\nExamples:\n") {
            let (_, shown) = page.split_once("\nEXAMPLES\n").unwrap();
            assert!(words(shown).starts_with(&words(examples)), "{command}: {shown}");
        }
    }
}

#[test]
fn what_is_no_page_is_told() {
    let page = tempfile::Builder::new().suffix(".1").tempfile().unwrap();
    fs::write(&page, ".TH x 1\n.SH NAME\nx \\- y\n.nonsense z\n").unwrap();
    let wrong = render(page.path()).unwrap_err();
    assert!(wrong.contains("nonsense"), "{wrong}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let output = vmimage(&["man", "/proc/vmimage"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: /proc/vmimage: the pages cannot be written: "));
}
