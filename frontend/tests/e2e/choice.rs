//! What GRUB's script makes of an environment: on the machine's own loaders, a case after the other in one boot.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::fall_back::machine;
use super::lab::{Partition, VMIMAGE, accel, partitions, raw, run, run_until, scratch};

/// What GRUB's script is given, and what the slot that it takes is told: its name, further words, and the tries of both. A
/// copy of `None` is not there.
struct Case {
    copies: [Option<Vec<u8>>; 2],
    expected: &'static str,
}

fn block(a: &str, b: &str, good: &str, order: &str) -> Option<Vec<u8>> {
    let [(a_ok, a_try), (b_ok, b_try)] = [a, b].map(|slot| slot.split_once('/').unwrap());
    Some(padded(&format!(
        "A_OK={a_ok}\nA_TRY={a_try}\nB_OK={b_ok}\nB_TRY={b_try}\ngood={good}\nORDER={order}\n"
    )))
}

fn padded(variables: &str) -> Vec<u8> {
    let mut bytes = format!("# GRUB Environment Block\n{variables}").into_bytes();
    bytes.resize(1024, b'#');
    bytes
}

fn cases() -> Vec<Case> {
    let case = |first, second, expected| Case { copies: [first, second], expected };
    let fresh = || block("1/0", "0/0", "A", "A B");
    let next = || block("1/0", "1/0", "A", "B A");
    let cut = |len| next().map(|bytes| bytes[..len].to_vec());
    vec![
        case(fresh(), fresh(), "A 1 0 ."),
        case(block("1/1", "0/0", "A", "A B"), fresh(), "A 2 0 ."),
        case(next(), fresh(), "B 0 1 ."),
        case(block("1/0", "1/2", "A", "B A"), fresh(), "A 1 2 ."),
        case(block("1/0", "0/0", "A", "B A"), fresh(), "A 1 0 ."),
        case(block("1/2", "1/2", "B", "B A"), fresh(), "B 2 2 vmimage.guard=off."),
        case(block("0/0", "0/0", "A", "B A"), fresh(), "A 0 0 vmimage.guard=off."),
        case(Some(Vec::new()), next(), "B 0 1 ."),
        case(cut(60), next(), "B 0 1 ."),
        case(Some(vec![0; 1024]), next(), "B 0 1 ."),
        case(None, next(), "B 0 1 ."),
        case(next(), None, "B 0 1 ."),
        case(None, cut(70), "A 1 0 vmimage.guard=off."),
    ]
}

/// Slot B by hand where slot A would be started, which has one try left.
fn by_hand() -> Case {
    let block = || block("1/1", "0/0", "A", "A B");
    Case { copies: [block(), block()], expected: "B   vmimage.guard=off vmimage.by-hand ." }
}

/// A menu in place of a slot's, which tells what it was given. Its entry fails as one does whose kernel is not there; by hand it
/// has none, and so it is left at once.
const MENU: &str = "\
set default=0
set timeout=0
echo \"told:$number:$slot $A_TRY $B_TRY $slot_words.\"
if [ -z \"$slot_words\" ]; then
\tmenuentry 'fails' {
\t\tlinux /nothing
\t}
fi
";

/// In place of the machine's script, which is in the folders of the cases. The entry of the first is started, and since it fails
/// the machine restarts; so it does after a slot was chosen by hand.
fn driver(cases: usize) -> String {
    let numbers: Vec<_> = (0..cases).map(|number| number.to_string()).collect();
    format!(
        "\
set home=$root
set own=$prefix
set boots=0
load_env --file ($home)/EFI/BOOT/boots boots
if [ \"$boots\" = 0 ]; then
\tset boots=1
\tsave_env --file ($home)/EFI/BOOT/boots boots
\tfor number in {}; do
\t\tset root=$home
\t\tset prefix=$own
\t\tsource ($home)/CASE$number/grub.cfg
\tdone
elif [ \"$boots\" = 1 ]; then
\tset boots=2
\tsave_env --file ($home)/EFI/BOOT/boots boots
\tset number=hand
\tsource ($home)/CASEhand/grub.cfg
\tchoose B
else
\tif [ \"$grub_platform\" = pc ]; then
\t\tserial --unit=0 --speed=115200
\t\tterminal_output console serial
\tfi
\techo told:end
\tsleep 600
fi
",
        numbers.join(" ")
    )
}

#[test]
#[ignore = "long: make matrix"]
fn grub_chooses_as_its_environment_says() {
    let folder = scratch();
    let disk = raw(&machine(folder.path()), folder.path());
    let parts = partitions(&disk);
    let of_type = |kind| parts.iter().filter(move |part: &&Partition| part.kind.starts_with(kind));
    of_type("4f68bce3").for_each(|slot| fill(&disk, slot, folder.path()));
    let esp = Esp { disk: &disk, at: of_type("c12a7328").next().unwrap().start, folder: folder.path() };
    let (script, cases, by_hand) = (esp.read("/EFI/debian/grub.cfg"), cases(), by_hand());
    let numbered = || cases.iter().enumerate().map(|(number, case)| (number.to_string(), case));
    let all = || numbered().chain([("hand".to_owned(), &by_hand)]);
    all().for_each(|(name, _)| esp.add(&name, &script));
    esp.write("/EFI/debian/grub.cfg", driver(cases.len()).as_bytes());
    for firmware in ["--bios", "--uefi"] {
        all().for_each(|(name, case)| esp.fill(&name, case));
        esp.write("/EFI/BOOT/boots", &padded("boots=0\n"));
        let mut command = Command::new(VMIMAGE);
        command.env("VMIMAGE_ACCEL", accel()).arg("run").arg(&disk).args([firmware, "--cpus", "1"]);
        let console = run_until(&mut command, "told:end", Duration::from_secs(300));
        let told = numbered().map(|(name, case)| format!("told:{name}:{}", case.expected));
        // In the menu of a slot are the words alone that it is given.
        let by_hand = format!("told::{}", by_hand.expected);
        for line in told.chain([by_hand]).chain(SAID.map(str::to_owned)) {
            assert!(console.contains(&line), "{firmware}: {line}:\n{console}");
        }
        // Counted where it was read, and in the other copy, if that was one; by hand it is not.
        for (folder, copy, words) in [
            ("CASE2", "grubenv", "\nB_TRY=1\n"),
            ("CASE2", "grubenv.2", "\nB_TRY=1\n"),
            ("CASE7", "grubenv.2", "\nB_TRY=1\n"),
            ("CASEhand", "grubenv", "\nA_TRY=1\nB_OK=0\nB_TRY=0\n"),
            ("CASEhand", "grubenv.2", "\nA_TRY=1\nB_OK=0\nB_TRY=0\n"),
        ] {
            let block = esp.read(&format!("/{folder}/{copy}"));
            assert!(block.contains(words), "{firmware}: {folder}/{copy}: {block}");
        }
    }
}

/// By the script itself: why it falls back, and where the entry of slot A has failed and the menu of slot B was left.
const SAID: [&str; 4] = [
    "vmimage: no slot has a try left: slot ",
    "vmimage: no try can be counted, grubenv is not written: slot ",
    "vmimage: slot A is not started, the machine restarts",
    "vmimage: slot B is not started, the machine restarts",
];

/// A slot with the menu of the test.
fn fill(disk: &Path, slot: &Partition, folder: &Path) {
    let (tree, volume) = (folder.join("slot"), folder.join("slot.raw"));
    std::fs::create_dir_all(tree.join("boot/grub")).unwrap();
    std::fs::write(tree.join("boot/grub/grub.cfg"), MENU).unwrap();
    let _ = std::fs::remove_file(&volume);
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(tree).arg(&volume).arg("16M"));
    run(Command::new("dd")
        .args(["bs=1M", "conv=notrunc", "oflag=seek_bytes", "status=none"])
        .arg(format!("if={}", volume.display()))
        .arg(format!("of={}", disk.display()))
        .arg(format!("seek={}", slot.start)));
}

/// The ESP of a raw disk, by mtools.
struct Esp<'a> {
    disk: &'a Path,
    at: u64,
    folder: &'a Path,
}

impl Esp<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-i").arg(format!("{}@@{}", self.disk.display(), self.at));
        command
    }

    fn read(&self, path: &str) -> String {
        run(self.command("mtype").arg(format!("::{path}")))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.folder.join("file");
        std::fs::write(&file, bytes).unwrap();
        run(self.command("mcopy").arg("-o").arg(file).arg(format!("::{path}")));
    }

    /// A folder with the script for the environment in it.
    fn add(&self, name: &str, script: &str) {
        run(self.command("mmd").arg(format!("::/CASE{name}")));
        let script = script.replace("/EFI/BOOT/$", &format!("/CASE{name}/$"));
        self.write(&format!("/CASE{name}/grub.cfg"), script.as_bytes());
    }

    fn fill(&self, name: &str, case: &Case) {
        for (file, copy) in ["grubenv", "grubenv.2"].into_iter().zip(&case.copies) {
            if let Some(bytes) = copy {
                self.write(&format!("/CASE{name}/{file}"), bytes);
            }
        }
    }
}
