//! The table by itself, and the page that is made from it.

use std::collections::BTreeSet;
use std::fmt::Write;

use exporter::container::Format;

use super::table::{ATTRIBUTES, CONFIG};
use super::*;
use crate::base::testing::is_kept;

fn asked(name: &str, text: &str) -> Asked {
    let mut asked = Asked::default();
    asked.ask(&[Attribute::by_name(name).unwrap().wish(text).unwrap()]);
    asked
}

/// Which texts have which form is tested where the forms are.
#[test]
fn every_attribute_takes_a_value_and_says_what_would_have_been_right() {
    for attribute in &ATTRIBUTES {
        assert!(!attribute.right.is_empty() && !attribute.wrong.is_empty(), "{}", attribute.name);
        for text in attribute.right {
            assert_ne!(asked(attribute.name, text), Asked::default(), "{} is {text}", attribute.name);
        }
        for (text, expected) in attribute.wrong {
            let said = attribute.wish(text).unwrap_err();
            assert!(said.starts_with(expected), "{}: {said}", attribute.name);
        }
    }
}

#[test]
fn a_choice_takes_each_of_its_words_and_a_default_is_a_value() {
    let mut choices = 0;
    for attribute in &ATTRIBUTES {
        if let Form::Choice(_, words) | Form::Choices(_, words) | Form::Number(_, words) = attribute.form {
            assert!(words().into_iter().all(|word| attribute.wish(word).is_ok()), "{}", attribute.name);
            choices += 1;
        }
        assert!(attribute.default.is_none_or(|value| attribute.wish(value).is_ok()), "{}", attribute.name);
    }
    assert_eq!(choices, 13);
}

#[test]
fn an_attribute_is_found_by_its_word_and_by_its_argument() {
    for attribute in &ATTRIBUTES {
        let found = [Attribute::by_name(attribute.name), Attribute::by_variable(&attribute.variable())];
        assert!(found.into_iter().all(|found| found.is_some_and(|found| std::ptr::eq(found, attribute))));
    }
    assert_eq!(Attribute::by_name("size").map(Attribute::variable).as_deref(), Some("VMIMAGE_SIZE"));
    assert!(Attribute::by_variable("VMIMAGE_SECTOR_SIZE").is_some());
    assert!(Attribute::by_name("sise").is_none() && Attribute::by_variable("VMIMAGE_SISE").is_none());
}

#[test]
fn of_one_attribute_the_last_wish_counts() {
    let wishes = [("size", "1G"), ("kernel", "image:debian:12"), ("size", "2G"), ("kernel", "keep")];
    let wishes = wishes.map(|(name, text)| Attribute::by_name(name).unwrap().wish(text).unwrap());
    let mut asked = Asked::default();
    asked.ask(&wishes);
    assert_eq!(asked.spec.size, Some(exporter::spec::Size(2 << 30)));
    assert_eq!((asked.install.donor, asked.install.kernel), (None, Some(Kernel::Keep)));
}

#[test]
fn a_wish_goes_on_as_it_came() {
    let wish = Attribute::by_name("cmdline").unwrap().wish("quiet a=b").unwrap();
    assert_eq!(wish.argument(), ("VMIMAGE_CMDLINE".to_owned(), "quiet a=b".to_owned()));
    assert_eq!(
        (wish.flag(), format!("{wish:?}")),
        ("--cmdline=quiet a=b".into(), "cmdline=\"quiet a=b\"".into())
    );
}

#[test]
fn a_mirror_has_no_slash_at_its_end() {
    assert_eq!(asked("mirror", "http://a/b//").install.mirror.as_deref(), Some("http://a/b"));
}

#[test]
fn the_help_names_the_formats_that_have_a_choice_of_compression() {
    let choice = Format::ALL.iter().filter(|format| format.compressions().len() > 1);
    let choice: Vec<_> = choice.map(|format| format.name()).collect();
    assert!(help_of("compression").contains(&format!("({})", choice.join(", "))));
}

/// What is in front of the table in `docs/flags.md`, and behind it.
const HEAD: &str = "\
# What you can ask for

Of the disk and its machine, as a flag of `vmimage build` and `vmimage convert`, as an attribute of `--output
type=vmdisk,size=10G`, or as a `--build-arg` of any client. All but `config` are labels of an image (`LABEL
vmimage.size=10G`) and keys of a [configuration](configuration.md) too, whose
[reference](../frontend/CONFIG.md) has the tables that are no flags: partitions, interfaces, users, files, services. A
flag of several values may be repeated: `--dns 1.1.1.1 --dns 9.9.9.9` is `--dns 1.1.1.1,9.9.9.9`.

| flag | build argument | value | meaning | default |
|---|---|---|---|---|
";
const NOTES: &str = "
Of the kernel: for a VDI the usual one is that for any machine, else that for virtual machines (`frontend/src/provision/*.rs`);
a kernel that the Dockerfile installs is the machine's, unless this says otherwise. Kernel arguments come after vmimage's and
the image's own, and `update-grub` keeps them. Files as kernels, `initramfs` and the kernels of microVMs: [kernels.md](kernels.md). What `init` does: [offline.md](offline.md).

## Besides

| flag | build argument | meaning | default |
|---|---|---|---|
| `-o FILE` | | the file, whose extension tells the format; `-o` again makes a further file in the same pass, `-o -` writes to stdout | `disk.qcow2` |
| `--base DISK` | | a qcow2 that has what differs from this disk alone ([disk.md](disk.md)) | |
| `--packages DIR` | `--build-context vmimage-packages=DIR` | a folder of packages, in place of any network | |
| `--previous PATH` | `--build-context vmimage-previous=DIR` | the placement of the last build, or the folder of its update: what is the same in an ext4 root stays where it was ([updates.md](updates.md#small-updates)) | |
| | `VMIMAGE_STAGE` | `rootfs`: the image with its kernel instead of a disk, to look into, by `-o type=tar,dest=FILE` or `--load` ([engines.md](engines.md)); `containerdisk`: an image of the disk; `update`: an image of the update ([updates.md](updates.md)); `kubeos`: an image with a tar of the root ([kubeos.md](kubeos.md)); `dockerfile`: what the Dockerfile describes | `disk` |
| | `VMIMAGE_TRANSPORT` | `sparse`: files without their zeroes, for vmimage as the client ([build-flags.md](build-flags.md)) | `file` |
| | `VMIMAGE_HINTS` | `flag`, `attribute`: hints in the words of vmimage as the client | `build-argument` |
| | `SOURCE_DATE_EPOCH` | clamp times; two builds of the same input are the same bytes | |
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for attribute in &ATTRIBUTES {
        let value = match attribute.form {
            Form::Choice(_, words) | Form::Choices(_, words) | Form::Number(_, words) => words(),
            _ => attribute.right[..1].to_vec(),
        };
        let value: Vec<_> = value.into_iter().map(|value| format!("`{value}`")).collect();
        let default = attribute.default.map(|default| format!("`{default}`")).unwrap_or_default();
        let (flag, variable) = (attribute.flag(), attribute.variable());
        let row =
            [&format!("`{flag}`"), &format!("`{variable}`"), &*value.join(", "), attribute.about, &default];
        writeln!(page, "| {} |", row.join(" | ")).unwrap();
    }
    page + NOTES
}

#[test]
fn the_published_flags_are_current() {
    is_kept("docs/flags.md", &page());
}

#[test]
fn only_the_configuration_can_not_be_said_in_itself() {
    let keys: BTreeSet<_> = Attribute::of(Place::Key).map(|attribute| attribute.name).collect();
    let others: Vec<_> = ATTRIBUTES.iter().filter(|attribute| !keys.contains(attribute.name)).collect();
    let names = |is_label: bool| {
        let some = others.iter().filter(|attribute| attribute.is_label() == is_label);
        some.map(|attribute| attribute.name).collect::<Vec<_>>()
    };
    assert_eq!(names(false), [CONFIG]);
    // Tables have those.
    let image = config::Config::parse("f", "[image]\nversion = \"1.4.0\"").unwrap().image;
    assert_eq!(image, asked("image-version", "1.4.0").spec.image);
    let of_network = names(true).into_iter().filter(|name| *name != "image-version");
    for (name, key) in of_network.zip(["manager", "dns", "search", "hosts"]) {
        let example = Attribute::by_name(name).unwrap().right[0];
        let value = if key == "manager" { format!("{example:?}") } else { format!("[{example:?}]") };
        let config = config::Config::parse("f", &format!("[network]\n{key} = {value}")).unwrap();
        assert_eq!(config.network, asked(name, example).spec.network, "{name}");
    }
    assert_eq!(names(true).len(), 5);
}
