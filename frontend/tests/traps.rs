//! The traps that other builders of disks have fallen into, and the tests that keep this one out of them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A class of defects, and names of tests for it. The list is read beside the sources, so that no test goes
/// without its class being looked at again.
#[rustfmt::skip]
const TRAPS: &[(&str, &[&str])] = &[
    ("image references: ports, digests, short names, logins", &[
        "names_mean_what_docker_takes_them_for", "any_name_becomes_a_repository", "a_closed_registry_needs_trust_and_a_login",
    ]),
    ("/boot: links, two kernels, a kernel only beside its modules", &[
        "debian_keeps_links_to_the_newest", "alpine_names_kernels_by_flavour", "arch_says_the_package_beside_the_modules",
        "fedora_and_bootc_keep_kernels_beside_their_modules", "no_kernel_is_an_error_with_a_hint",
    ]),
    ("files that a build mounts: resolv.conf, hosts, hostname; links out of the root", &[
        "resolv_conf_leads_to_resolved_unless_it_says_something", "hosts_of_the_user_are_kept_and_completed",
        "a_link_to_a_file_is_replaced_and_its_target_left", "links_to_files_of_this_machine_lead_nowhere",
    ]),
    ("what is left of the container", &[
        "marks_and_contents_of_mount_points_go", "only_the_policy_that_forbids_everything_goes",
        "only_units_masked_for_a_container_are_unmasked", "the_machine_is_no_container", "logins_are_added_where_there_are_none",
    ]),
    ("one identity in every machine", &[
        "two_machines_of_one_disk_differ_in_id_keys_and_addresses", "leases_and_seeds_go_and_configuration_stays",
        "host_keys_go_only_where_new_ones_are_made", "the_machine_id_is_empty_for_systemd_and_gone_for_others",
    ]),
    ("metadata that gets lost", &[
        "the_disk_holds_what_the_container_held", "layers_are_applied_as_to_a_directory", "without_root_nothing_is_lost_either",
        "whiteouts_hide_lower_layers_and_nothing_of_their_own", "long_names_and_large_numbers_come_in_every_format",
        "capabilities_and_acls_are_what_their_tools_say", "every_client_makes_the_same_tree",
        "an_alpine_that_no_engine_has_seen_is_the_same_by_each", "the_journal_has_the_lists_that_systemd_gives_it_at_boot",
    ]),
    ("file systems that a kernel or a checker refuses", &[
        "checkers_accept_every_size", "the_kernel_writes_and_the_image_stays_clean", "fat32_never_has_too_few_clusters",
        "only_the_features_that_older_readers_know_are_set", "large_sectors_read_back", "forty_times_the_size_while_mounted",
    ]),
    ("packages that cannot be had: no network, no mirror, a release past its end", &[
        "every_failure_is_read_for_its_cause_and_told_in_the_last_line", "a_failed_package_step_is_told_by_every_engine",
        "an_image_with_a_package_manager_needs_no_package_with_vmimages_init", "what_is_past_its_end_comes_from_its_archive",
    ]),
    ("sizes: more than 4 GiB, no space, holes that fill up", &[
        "a_size_too_small_says_how_much_is_needed", "a_full_disk_on_the_client_is_one_clear_message", "no_room_for_the_layers_is_said",
        "zeros_become_holes_and_the_bytes_stay_the_same", "a_vhd_is_the_raw_disk_and_a_footer_with_a_checksum",
        "a_file_of_many_pieces_has_a_deep_extent_tree",
    ]),
    ("the host: what is touched, left behind, or done twice at once", &[
        "no_tree_makes_the_edits_panic", "an_engine_that_is_killed_leaves_nothing", "what_a_killed_client_leaves_goes_with_the_next",
        "leftovers_of_killed_runs_are_removed_and_running_ones_are_not",
    ]),
    ("places to boot: firmware, names of disks and cards, drivers", &[
        "debian_12", "alpine_3_23", "one_build_gives_a_disk_that_boots_in_each_format", "every_card_of_an_alpine_gets_an_address",
        "a_stand_in_for_openeuler",
    ]),
    ("secrets in layers, logs and arguments", &[
        "the_machine_is_what_the_file_says_and_no_secret_is_seen", "attestations_and_history_hold_no_secret",
        "a_login_is_not_sent_where_everybody_can_read_it", "a_login_does_not_follow_to_another_server",
    ]),
    ("versions and names that are compared as text", &[
        "versions_are_in_the_order_dpkg_has", "every_recorded_release_has_its_plan", "values_lose_their_shell_quotes",
        "formats_go_by_the_names_of_qemu",
    ]),
    ("bytes that differ from build to build", &[
        "the_same_input_gives_the_same_bytes", "every_format_is_the_same_bytes_wherever_it_is_made",
        "the_tree_does_not_depend_on_the_threads", "members_name_neither_time_nor_system",
    ]),
];

/// All Rust files below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}

#[test]
fn each_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text: String = ["exporter", "frontend", "llb"].map(|folder| sources(&root.join(folder))).concat();
    let is_there = |test: &str| text.contains(&format!("fn {test}("));
    for (trap, tests) in TRAPS {
        for test in *tests {
            assert!(is_there(test), "{trap}: there is no test {test}");
        }
    }
    assert!(!is_there("nobody_has_written_this_test"));
}

/// The texts of constants that are of vmimage's own making, or a `PATH`: each where it stands.
fn own_constants(source: &str) -> impl Iterator<Item = &str> {
    let texts = source.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": &str = \"")?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        rest.split('"').next().filter(|_| is_name)
    });
    texts.filter(|text| text.to_lowercase().starts_with("vmimage") || text.starts_with("/usr/local/sbin:"))
}

/// A word that two places must agree on is a constant of one of them.
#[test]
fn constants_stand_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = ["exporter/src", "frontend/src", "llb/src"].map(|folder| sources(&root.join(folder))).concat();
    let mut known = BTreeSet::new();
    let twice: Vec<_> = own_constants(&text).filter(|text| !known.insert(*text)).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(
        ["vmimage-packages", "vmimage-previous", "VMIMAGE_STAGE"].iter().all(|word| known.contains(word)),
        "{known:?}"
    );
}

/// What `make check` leaves out it names: what is there no more would be left out in vain.
#[test]
fn make_check_leaves_out_tests_and_modules_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text: String = ["exporter", "frontend"].map(|folder| sources(&root.join(folder))).concat();
    let is_there = |name: &str| {
        let is_one = |part| text.contains(&format!("fn {part}(")) || text.contains(&format!("mod {part}"));
        name.split("::").all(is_one)
    };
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap().replace("\\\n", "");
    let names = makefile.lines().find_map(|line| line.strip_prefix("LEFT_OUT := ")).unwrap();
    for name in names.split_whitespace() {
        assert!(is_there(name), "{name}");
    }
    assert!(!is_there("container::there_is_no_such_test"));
}

/// Whether a paragraph of a program or a page has BuildKit write the whole tree into a folder.
fn writes_a_tree(text: &str) -> bool {
    let into_folder = ["type=local", "-o .", "--output .", "\"-o\", \".\""];
    let is_tree = |paragraph: &&str| paragraph.contains("VMIMAGE_STAGE=rootfs");
    text.split("\n\n").filter(is_tree).any(|tree| into_folder.iter().any(|way| tree.contains(way)))
}

/// The local exporter can stop for ever with a tree of many files (moby/buildkit#2950).
#[test]
fn a_tree_is_handed_out_as_a_tar_or_an_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = pages().into_iter().chain([root.join("Makefile")]);
    let pages: Vec<_> = pages.map(|page| std::fs::read_to_string(page).unwrap()).collect();
    // Of a page what is to be typed counts: its prose warns.
    let examples = pages.iter().flat_map(|page| page.split("```").skip(1).step_by(2)).map(str::to_owned);
    for text in
        examples.chain([sources(&root.join("frontend/tests/e2e")), sources(&root.join("frontend/src"))])
    {
        assert!(!writes_a_tree(&text), "{text}");
    }
    let tree = "docker build --build-arg VMIMAGE_STAGE=rootfs";
    for (more, is_one) in [
        ("-o type=local,dest=tree", true),
        ("-o .", true),
        ("-o type=tar,dest=tree.tar", false),
        ("--load", false),
        ("--load\n\ndocker build -o .", false),
    ] {
        assert_eq!(writes_a_tree(&format!("{tree} {more}")), is_one, "{more}");
    }
}

/// The README and the pages of docs/.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.chain([root.join("README.md")]).collect()
}

/// The links of a page that lead to no file, from its folder.
fn dead_links(text: &str, folder: &Path) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files =
        targets.filter(|target| !target.contains("://")).filter_map(|target| target.split('#').next());
    files.filter(|file| !folder.join(file).exists()).map(str::to_owned).collect()
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    for page in pages() {
        let dead = dead_links(&std::fs::read_to_string(&page).unwrap(), page.parent().unwrap());
        assert!(dead.is_empty(), "{}: {dead:?}", page.display());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = "[a](Cargo.toml#top) [b](https://host/x) [c](no-such-page.md)";
    assert_eq!(dead_links(text, here), ["no-such-page.md"]);
}

/// The files and folders of the repository that a page names and that are not there. Some names stand for several:
/// `provision/{apt,apk}.rs`, `provision/*.rs`.
fn dead_paths(text: &str) -> Vec<&str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let is_ours = |word: &&str| {
        let folders = ["docs/", "exporter/", "frontend/", "fuzz/", "llb/", "testdata/", ".ci/"];
        folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['{', '*', ' '])
    };
    let words = text.split('`').skip(1).step_by(2).filter(is_ours);
    words.filter(|word| !root.join(word).exists()).collect()
}

#[test]
fn every_path_of_the_docs_is_there() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        assert_eq!(dead_paths(&text), [""; 0], "{}", page.display());
    }
    let text = "`docs/` `exporter/src/no-such.rs`, `llb/src/*.rs` `no/such` exporter/no-such";
    assert_eq!(dead_paths(text), ["exporter/src/no-such.rs"]);
}

/// The extensions of the table in docs/internals.md that touch more than half of the files that they did before.
fn widespread(page: &str) -> Vec<&str> {
    let table = page.split_once("| to add | before | files to touch |\n").unwrap().1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let wide = rows.filter(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let files = cells[3].split('`').skip(1).step_by(2).filter(|word| word.contains('/'));
        files.count() * 2 > cells[2].parse::<usize>().unwrap()
    });
    wide.collect()
}

#[test]
fn an_extension_touches_half_of_the_files_that_it_did() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/internals.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(widespread(&page), [""; 0]);
    let (few, many) = ("| x | 4 | `a/b` and `c/d` |\n", "| y | 3 | `a/b`, `c/d` |\n");
    let table = format!("| to add | before | files to touch |\n|---|---|---|\n{few}{many}\n{many}");
    assert_eq!(widespread(&table), [many.trim_end()]);
}

/// It sells; what it leads to serves.
#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    assert!(readme.lines().count() <= 120 && readme.split_whitespace().count() <= 1500);
    for page in pages() {
        let link = format!("(docs/{})", page.file_name().unwrap().to_str().unwrap());
        assert!(page.ends_with("README.md") || readme.contains(&link), "{link} is not in the README");
    }
}

/// One of each is used throughout, in messages, scripts and the sources.
const SPELLINGS: [(&str, &str); 4] = [
    ("can't", "cannot, as the documentation of the field has it"),
    ("VMIMAGE_GOLDEN", "UPDATE, which writes every kept page and golden file"),
    (" is no key", "unknown key"),
    (" was expected\"", "expected, as the parser of the command line has it"),
];

#[test]
fn one_thing_is_said_in_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = ["exporter/src", "exporter/guest/src", "frontend/src", "llb/src"]
        .map(|folder| sources(&root.join(folder)))
        .concat();
    let found = |text: &str| SPELLINGS.into_iter().find(|(wrong, _)| text.contains(wrong));
    assert_eq!(found(&text), None);
    assert!(found("it can't be").is_some());
}

/// Words of the field that are tempting names for whatever is at hand.
const NAMES: [&str; 8] = ["Image", "Source", "Plan", "Request", "Base", "Firmware", "Kind", "Failure"];

/// How many types of a crate have this name, or get it where they are used.
fn meanings(text: &str, name: &str) -> usize {
    let begins = ["struct ", "enum ", "trait ", "\ntype ", " as "].map(|what| format!("{what}{name}"));
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let found = |begin: &String| {
        text.match_indices(begin.as_str()).filter(|(at, _)| ends(&text[at + begin.len()..])).count()
    };
    begins.iter().map(found).sum()
}

/// Who reads a name knows which of the crate's types it is, without a look at the imports.
#[test]
fn each_name_has_one_meaning_in_a_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["exporter/src", "exporter/guest/src", "frontend/src"] {
        let text = sources(&root.join(folder));
        let many: Vec<_> = NAMES.into_iter().filter(|name| meanings(&text, name) > 1).collect();
        assert!(many.is_empty(), "{folder}: {many:?}");
    }
    let text =
        "struct Image<'a>; enum Images {} use a::{Layer as Image}; struct ImageConfig; impl Image for X";
    assert_eq!(meanings(text, "Image"), 2);
}
