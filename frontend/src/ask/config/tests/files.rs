//! Files and folders of the build context, and of stages.

use std::collections::BTreeMap;

use super::*;

/// Every path, its line, and what is wrong with it.
#[test]
fn paths_that_are_not_in_the_context_are_told_where_they_are_named() {
    let text = "packages = \"debs\"\n\
                certificates = [\"a.crt\", \"b.crt\"]\n\
                hooks = [{ script = \"run.sh\" }]\n\
                [root]\n\
                authorized-keys = [{ file = \"id.pub\" }]\n\
                [[files]]\n\
                path = \"/srv\"\n\
                source = \"site\"\n\
                [[repositories]]\n\
                name = \"r\"\n\
                source = { file = \"r.list\" }\n\
                key = \"r.asc\"\n";
    let config = Config::parse("f", text).unwrap();
    let paths = config.texts().into_iter().map(str::to_owned).chain(config.mounts().concat());
    let paths: BTreeSet<_> = paths.collect();
    let told = |entries: &Entries| match Config::check_paths("f", text, entries) {
        Ok(()) => Vec::new(),
        Err(problems) => {
            let text = problems.to_string();
            text.lines().filter(|line| line.starts_with("f:")).map(str::to_owned).collect::<Vec<_>>()
        }
    };
    let all = |entry: Entry| paths.iter().map(|path| (path.clone(), entry)).collect::<Entries>();

    let missing = told(&Entries::new());
    assert_eq!(missing.len(), paths.len(), "{missing:?}");
    for expected in [
        "f:1:12: packages: debs is not in the build context",
        "f:2:26: certificates: b.crt is not in the build context",
        "f:3:21: hooks.script: run.sh is not in the build context",
        "f:5:29: root.authorized-keys.file: id.pub is not in the build context",
        "f:8:10: files.source: site is not in the build context",
        "f:11:19: repositories.source.file: r.list is not in the build context",
        "f:12:7: repositories.key: r.asc is not in the build context",
    ] {
        assert!(missing.iter().any(|line| line == expected), "{expected} is not in {missing:?}");
    }
    assert_eq!(told(&all(Entry::File)), ["f:1:12: packages: debs is a file, expected a folder"]);
    let folders = told(&all(Entry::Folder));
    assert_eq!(folders.len(), paths.len() - 2, "{folders:?}");
    assert_eq!(folders[0], "f:2:17: certificates: a.crt is a folder, expected a file");

    let mut right = all(Entry::File);
    right.insert("debs".to_owned(), Entry::Folder);
    right.insert("site".to_owned(), Entry::Folder);
    assert!(told(&right).is_empty(), "{:?}", told(&right));
}

#[test]
fn a_kernel_is_a_text_or_a_file_of_a_stage() {
    for (text, file) in [
        ("kernel = \"6.1\"", None),
        ("kernel = \"file:kernels/bzImage\"", Some("kernels/bzImage")),
        ("kernel = \"stage:kernel/bzImage\"", Some("kernel:/bzImage")),
        ("kernel = { from = \"kernel\", path = \"/bzImage\" }", Some("kernel:/bzImage")),
    ] {
        let mut asked = crate::ask::Asked::default();
        let config = Config::parse("vmimage.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let of_context = text.contains("file:").then(|| vec!["kernels/bzImage".to_owned()]);
        assert_eq!(config.mounts(), Vec::from_iter(of_context), "{text}");
        Configuration { config, ..Configuration::default() }.ask(&mut asked);
        assert_eq!(asked.spec.kernel_file.as_ref().map(ToString::to_string).as_deref(), file, "{text}");
        let is_stage = file.is_some_and(|file| file.contains(':'));
        assert_eq!(asked.refuse_stages().is_err(), is_stage, "{text}");
    }
    are_wrong(&[
        ("kernel = { from = \"kernel\" }", "1:10", "kernel: the key path is required"),
        ("kernel = { from = \"a b\", path = \"/a\" }", "1:19", "kernel.from is \"a b\": expected"),
        ("kernel = { from = \"a\", path = \"/a/../b\" }", "1:31", "kernel.path is \"/a/../b\": expected"),
        ("kernel = \"file:/bzImage\"", "1:10", "kernel is \"file:/bzImage\": distro, keep, "),
        ("kernel = 6", "1:10", "kernel is an integer, expected a string or { from = … }"),
    ]);
}

/// A folder is none, and what is not there is told here and not after the build.
#[test]
fn a_kernel_s_file_is_looked_up_in_the_context() {
    let text = "kernel = \"file:bzImage\"";
    for (entries, message) in [
        (BTreeMap::from([("bzImage".to_owned(), Entry::File)]), None),
        (
            BTreeMap::from([("bzImage".to_owned(), Entry::Folder)]),
            Some("kernel: bzImage is a folder, expected a file"),
        ),
        (BTreeMap::new(), Some("kernel: bzImage is not in the build context")),
    ] {
        let checked = Config::check_paths("f", text, &entries).map_err(|problems| problems.to_string());
        match message {
            None => assert!(checked.is_ok(), "{checked:?}"),
            Some(message) => assert!(checked.unwrap_err().starts_with(&format!("f:1:10: {message}"))),
        }
    }
}
