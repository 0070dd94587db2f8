use super::super::disks;
use super::super::testing::{Answers, Machine};
use super::*;

const MIB: u64 = 1 << 20;

fn image() -> Image {
    Image {
        file: "disk.raw".to_owned(),
        index: "disk.index".to_owned(),
        bytes: 4 * MIB,
        is_packed: false,
        index_sha: None,
        sector: 512,
    }
}

/// A machine with an empty disk of 8 MiB, and one of 16 MiB with data.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.disk("sda", 8 * MIB).set("device/model", "QEMU HARDDISK");
    machine.disk("sdb", 16 * MIB).set("device/serial", "S2");
    machine.write("sdb", 510, &[0x55, 0xaa]);
    machine
}

fn choose(machine: &Machine, config: &str, answers: &[&str]) -> (Result<String, String>, Vec<String>) {
    let config =
        Config::of(vec![super::super::config::Layer::parse("t", config.as_bytes()).unwrap()]).unwrap();
    let person = Answers::new(answers);
    let choice = Choice { config: &config, image: &image(), medium: None, person: &person };
    let chosen = choice.choose(disks::list(&machine.places()));
    (chosen.map(|candidate| candidate.disk.name), person.said())
}

fn named(machine: &Machine, config: &str) -> Result<String, String> {
    choose(machine, config, &[]).0
}

#[test]
fn the_only_disk_without_data_is_taken() {
    assert_eq!(named(&machine(), ""), Ok("sda".to_owned()));
    assert_eq!(named(&machine(), "unattended = true"), Ok("sda".to_owned()));
    assert_eq!(named(&machine(), "overwrite = true"), Ok("sda".to_owned()));
}

#[test]
fn disks_are_found_by_what_they_are() {
    let machine = machine();
    let dev = machine.places().dev;
    let path = format!("disk = '{}'\noverwrite = true", dev.join("sdb").display());
    for (config, name) in [
        (&*path, "sdb"),
        ("overwrite = true\ndisk = { serial = 'S?' }", "sdb"),
        ("disk = { model = 'QEMU*' }", "sda"),
        ("overwrite = true\ndisk = { min-size = '9M' }", "sdb"),
        ("disk = { max-size = '8M' }", "sda"),
        ("overwrite = true\ndisk = 'largest'", "sdb"),
        ("disk = 'largest'", "sda"),
        ("overwrite = true\ndisk = 'smallest'", "sda"),
    ] {
        assert_eq!(named(&machine, &format!("unattended = true\n{config}")), Ok(name.to_owned()), "{config}");
    }
    let said = named(&machine, "disk = { transport = 'nvme' }").unwrap_err();
    assert!(said.contains("no disk is the one that is asked for\n") && said.contains("sdb"), "{said}");
    assert!(named(&Machine::new(), "").unwrap_err().contains("the machine has no disk"));
}

#[test]
fn data_is_refused_where_nobody_is_asked() {
    let said = named(&machine(), "unattended = true\ndisk = { serial = 'S2' }").unwrap_err();
    assert!(said.contains("has data, nothing was written") && said.contains("has a boot sector"), "{said}");
    assert!(said.contains("hint: overwrite = true"), "{said}");
    let said = named(&machine(), "unattended = true\ndisk = 'ask'").unwrap_err();
    assert!(said.contains("nobody is there to say which"), "{said}");
    let both = machine();
    both.write("sda", MIB - 1, &[1]);
    assert!(named(&both, "unattended = true").unwrap_err().contains("have data"));
    assert!(named(&both, "unattended = true\noverwrite = true").unwrap_err().contains("say which one goes"));
}

#[test]
fn a_person_types_a_number_and_the_name_of_a_disk_with_data() {
    let config = "disk = 'ask'";
    assert_eq!(choose(&machine(), config, &["1"]).0, Ok("sda".to_owned()));
    let (chosen, said) = choose(&machine(), config, &["2", "sdb"]);
    assert_eq!(chosen, Ok("sdb".to_owned()));
    assert!(said.iter().any(|line| line == "type sdb to overwrite it:"), "{said:?}");
    assert!(
        said.iter().any(|line| line.ends_with("sdb: has a boot sector, and all of it will be lost")),
        "{said:?}"
    );
    // The word is the name, and nothing else.
    for word in ["yes", "", "sda", "SDB"] {
        assert!(
            choose(&machine(), config, &["2", word, "q"]).0.unwrap_err().contains("no disk was chosen"),
            "{word}"
        );
    }
    for answers in [&["0", "3", "x", "-1", ""][..], &["q"], &["99999999999999999999", "q"]] {
        assert!(choose(&machine(), config, answers).0.is_err(), "{answers:?}");
    }
    // Nobody is there.
    assert!(choose(&machine(), config, &[]).0.unwrap_err().contains("no console"));
    // A disk with data that was named is asked for, too.
    assert_eq!(choose(&machine(), "disk = { serial = 'S2' }", &["1", "sdb"]).0, Ok("sdb".to_owned()));
}

#[test]
fn what_cannot_be_taken_is_named_with_its_reason() {
    type Change = fn(&Machine);
    let changes: [(Change, &str); 5] = [
        (
            |machine| drop(machine.disk("sda", 4 * MIB - 512)),
            "is too small: the system needs 4.0 MiB (4194304 bytes)",
        ),
        (
            |machine| {
                machine.disk("sda", 8 * MIB).set("queue/logical_block_size", "4096");
            },
            "has sectors of 4096 bytes, and the system is made for 512",
        ),
        (
            |machine| {
                machine.disk("sda", 8 * MIB).set("ro", "1");
            },
            "can only be read",
        ),
        (
            |machine| {
                machine.disk("sda", 8 * MIB).set("holders/md0", "");
            },
            "is used",
        ),
        (|machine| machine.remove_disk("sda"), "No such file"),
    ];
    for (change, said) in changes {
        let machine = Machine::new();
        machine.disk("sda", 8 * MIB);
        change(&machine);
        let error = named(&machine, "overwrite = true").unwrap_err();
        assert!(error.starts_with("no disk can be taken:") && error.contains(said), "{error}");
    }
    let machine = Machine::new();
    machine.disk("sda", 4 * MIB);
    assert_eq!(named(&machine, ""), Ok("sda".to_owned()));
    let config = Config::default();
    let medium = machine.places().dev.join("sda");
    let person = Answers::new(&[]);
    let choice = Choice { config: &config, image: &image(), medium: Some(&medium), person: &person };
    let said = choice.choose(disks::list(&machine.places())).unwrap_err();
    assert!(said.contains("is what this medium is on"), "{said}");
}
