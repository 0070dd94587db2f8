//! Folders that appear whole, in place of nothing that is somebody's.

use std::os::unix::fs::symlink;

use super::*;

/// Fill a folder for `web` with the files of a package that say `text`.
fn fill(scratch: &Scratch, text: &str) -> Folder {
    let folder = Folder::create(&scratch.file("web"), Format::Ovf).unwrap();
    for name in ["a.ovf", "a-disk1.vmdk", "a.mf"] {
        folder.file(name).unwrap().write_at(text.as_bytes(), 0).unwrap();
    }
    folder
}

/// What all files of the folder under the name say.
fn said(scratch: &Scratch) -> Vec<String> {
    let files = contents(&scratch.file("web"));
    files.into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn a_folder_appears_only_when_it_is_whole() {
    let scratch = Scratch::new();
    let first = fill(&scratch, "first");
    assert!(!scratch.file("web").exists());
    assert!(first.file("a.ovf").is_err(), "a file is there once");
    drop(first);
    assert_eq!(names(&scratch), <[&str; 0]>::default());
    fill(&scratch, "second").persist().unwrap();
    assert_eq!((names(&scratch), said(&scratch)), (vec!["web".to_owned()], vec!["second".to_owned(); 3]));
    let third = fill(&scratch, "third");
    assert_eq!(said(&scratch), ["second"; 3]);
    third.persist().unwrap();
    assert_eq!((names(&scratch), said(&scratch)), (vec!["web".to_owned()], vec!["third".to_owned(); 3]));
}

#[test]
fn an_empty_folder_is_filled_and_another_is_not() {
    let scratch = Scratch::new();
    let web = scratch.file("web");
    std::fs::create_dir(&web).unwrap();
    fill(&scratch, "new").persist().unwrap();
    assert_eq!(said(&scratch), ["new"; 3]);

    let refused = |prepare: &dyn Fn()| {
        prepare();
        let error = Folder::create(&web, Format::Ovf).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (&Kind::Input, true), "{error}");
        error.to_string().replace(web.to_str().unwrap(), "WEB")
    };
    let mine = web.join("mine");
    let holds = "WEB: the destination holds \"mine\", which is not of an earlier ovf";
    assert_eq!(refused(&|| std::fs::write(&mine, "").unwrap()), holds);
    std::fs::remove_file(&mine).unwrap();
    assert_eq!(refused(&|| std::fs::create_dir(&mine).unwrap()), holds);
    std::fs::remove_dir(&mine).unwrap();
    // One of the package's names, and no file of it.
    let link = || {
        std::fs::remove_file(web.join("a.mf")).unwrap();
        symlink("/etc/passwd", web.join("a.mf")).unwrap();
    };
    assert!(refused(&link).contains("holds \"a.mf\""));
    std::fs::remove_dir_all(&web).unwrap();
    assert_eq!(refused(&|| std::fs::write(&web, "").unwrap()), "WEB: the destination is not a directory");
    std::fs::remove_file(&web).unwrap();
    let dangling = || symlink("nowhere", &web).unwrap();
    assert_eq!(refused(&dangling), "WEB: the destination is a link that leads nowhere");
    assert_eq!(names(&scratch), ["web"]);
}

#[test]
fn a_link_stays_and_the_folder_that_it_leads_to_is_replaced() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.file("there")).unwrap();
    symlink("there", scratch.file("web")).unwrap();
    for text in ["old", "new"] {
        fill(&scratch, text).persist().unwrap();
        assert!(scratch.file("web").is_symlink());
        assert_eq!(
            (names(&scratch), said(&scratch)),
            (vec!["there".into(), "web".into()], vec![text.into(); 3])
        );
    }
}

#[test]
fn leftovers_of_killed_runs_go_and_what_is_not_of_them_stays() {
    let scratch = Scratch::new();
    let left = scratch.file(".web.vmimage-0123456789abcdef.tmp");
    let with_more = scratch.file(".web.vmimage-fedcba9876543210.tmp");
    let linked = scratch.file(".web.vmimage-0000000000000000.tmp");
    let elsewhere = scratch.file("elsewhere");
    for folder in [&left, &with_more, &elsewhere] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("a.ovf"), "left").unwrap();
    }
    std::fs::write(with_more.join("mine"), "").unwrap();
    symlink(&elsewhere, &linked).unwrap();
    let running = fill(&scratch, "running");
    let second = fill(&scratch, "second");
    assert!(!left.exists() && with_more.join("mine").exists() && elsewhere.join("a.ovf").exists());
    running.persist().unwrap();
    drop(second);
    assert_eq!(said(&scratch), ["running"; 3]);
}

#[test]
fn a_full_disk_leaves_no_folder() {
    let scratch = Scratch::new();
    let small = SmallDisk::mount(&scratch);
    let disk = Target { path: small.0.join("web"), ..any_target(&scratch, Format::Ovf) };
    let extents = [Extent::bytes(0, noise(2 * MIB))];
    let error = write(RawImage { size: 2 * MIB, extents: &extents }, &[disk], &run(2)).unwrap_err();
    assert!(error.to_string().contains("cannot write the file: No space left"), "{error}");
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
}
