//! The choice between two slots, each with a root of its own: what GRUB runs on the ESP in place of the stub, and the
//! environment blocks in which it counts.
//!
//! ```text
//! \EFI\<vendor>\grub.cfg ─▶ grubenv ─▶ a slot of ORDER with a try left ─▶ counts it ─▶ its own /boot/grub/grub.cfg
//!                          (2 copies)  └─ none: the last good one, for ever
//! ```
//!
//! The variables are those of RAUC (<https://rauc.readthedocs.io/en/latest/integration.html#grub>): `ORDER`; `A_OK`, 1 if
//! the slot may be started; `A_TRY`, 0 unless it was started and nobody has said yet that it is good. RAUC has one try
//! and any number but 0 for it, here it is how many were used up. `good` beside them is the last slot that was good.
//!
//! GRUB writes a block where it lies (`save_env`), and all variables are in its first sector: of a write that is cut short
//! there is all or nothing. Others write a new file (`grub-editenv`): a copy is believed if it has `ORDER`, which is the
//! last of its variables, and there are two.
//!
//! GRUB's scripts know no arithmetic, and its signed builds no `eval`: what is done with a number is written out.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::grub::SERIAL_TERMINAL;
use super::slots::{NAMES, Slots};

/// The folder of the environment blocks on the ESP, which every one has.
pub const FOLDER: &str = "/EFI/BOOT";
/// The two copies of the environment block.
pub const COPIES: [&str; 2] = ["grubenv", "grubenv.2"];
/// What the kernel is told if no slot has a try left, or one was chosen by hand: the guard restarts nothing.
pub const NO_GUARD: &str = "vmimage.guard=off";
/// What it is told beside that if somebody has chosen: nothing is said of the slot, whether the machine is healthy or not.
pub const BY_HAND: &str = "vmimage.by-hand";
/// What it is told if what the machine keeps is to be emptied.
pub const RESET: &str = "vmimage.reset";
/// How many starts of a slot may end in no good boot, unless it is asked.
pub const TRIES: u8 = 3;

/// The menu of a slot.
const MENU: &str = "/boot/grub/grub.cfg";
/// Bytes of an environment block: `DEFAULT_ENVBLK_SIZE` of grub-editenv.
pub const BLOCK_SIZE: usize = 1024;
/// Its first line, `GRUB_ENVBLK_SIGNATURE`.
const SIGNATURE: &str = "# GRUB Environment Block\n";
/// The last variable, which a block that was cut short does not have.
const ORDER: &str = "ORDER";
/// All variables, in the order of a block.
const VARIABLES: &str = "A_OK A_TRY B_OK B_TRY good ORDER";

/// The block of a new machine: slot A has a root, slot B has none.
pub fn environment() -> Vec<u8> {
    let mut block = format!("{SIGNATURE}A_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\ngood=A\nORDER=A B\n").into_bytes();
    block.resize(BLOCK_SIZE, b'#');
    block
}

/// What a block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// `None` of a block that is none, or was cut short.
    pub fn read(block: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(block.strip_prefix(SIGNATURE.as_bytes())?);
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let pairs = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let variables = Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        (!variables.get(ORDER).is_empty()).then_some(variables)
    }

    /// The value of one; empty if it has none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// `\EFI\<vendor>\grub.cfg` of a machine with two slots, of which each has so many `tries`.
pub fn script(slots: &Slots, tries: u8) -> String {
    [head(), functions(slots), choice(tries), fall_back(), menu()].concat()
}

/// Variables that nobody has set, and the first copy that can be believed.
///
/// GRUB begins with `root` where it was started from, such as `hd0,gpt2`: another disk may be a copy of this one.
fn head() -> String {
    let [first, second] = COPIES;
    let load = format!("load_env --file ($esp){FOLDER}/$copy {VARIABLES}");
    format!(
        "# Written by vmimage: which of the two roots of this machine is started, see docs/fleets.md.\n\
         {SERIAL_TERMINAL}\
         set timeout=1\n\
         set esp=$root\n\
         set disk=hd0\n\
         regexp --set=1:disk '^([^,]+),' \"$root\"\n\
         set slot_words=\n\
         \n\
         # A copy that was cut short has no ORDER.\n\
         set ORDER=\n\
         set copy={first}\n\
         set other={second}\n\
         {load}\n\
         if [ -z \"$ORDER\" ]; then\n\
         \tset copy={second}\n\
         \tset other={first}\n\
         \t{load}\n\
         fi\n\
         if [ -z \"$ORDER\" ]; then\n\
         \techo 'vmimage: both copies of grubenv are damaged, each slot counts as untried'\n\
         \tset A_OK=1\n\tset A_TRY=0\n\tset B_OK=1\n\tset B_TRY=0\n\tset good=A\n\tset ORDER='A B'\n\
         fi\n\
         set A_USED=$A_TRY\n\
         set B_USED=$B_TRY\n\n"
    )
}

/// `save` writes what is set to both copies, and it is `saved` if that with the last word has it; `take A` makes a slot the one that is started.
fn functions(slots: &Slots) -> String {
    let save = |copy: &str| format!("save_env --file ($esp){FOLDER}/{copy} {VARIABLES}");
    let places = || NAMES.into_iter().zip(places(slots));
    let take = places().zip(slots.partitions).map(|((name, (number, folder)), partition)| {
        format!(
            "\tif [ \"$slot\" = {name} ]; then\n\
             \t\tset root=$disk,gpt{number}\n\
             \t\tset slot_folder={folder}\n\
             \t\tset slot_partuuid={partition}\n\
             \tfi\n"
        )
    });
    let menus = places()
        .map(|(name, (number, folder))| format!("set {name}_MENU=($disk,gpt{number}){folder}{MENU}\n"));
    format!(
        "{}\
         function save {{\n\tset saved=\n\t{}\n\tif {}; then set saved=yes; fi\n}}\n\
         function take {{\n\tset slot=$1\n{}\tset slot_root=PARTUUID=$slot_partuuid\n\
         \tset prefix=($root)$slot_folder/boot/grub\n\
         \texport slot slot_folder slot_partuuid slot_root slot_words\n}}\n\
         function restart {{\n\techo \"vmimage: slot $slot is not started, the machine restarts\"\n\
         \tsleep 5\n\treboot\n}}\n\
         # By hand: no slot loses a try by it. Who leaves the menu of the slot has no other that is right.\n\
         function choose {{\n\tset A_TRY=$A_USED\n\tset B_TRY=$B_USED\n\tsave\n\
         \tset slot_words=\"{NO_GUARD} {BY_HAND} $2\"\n\ttake $1\n\tconfigfile $prefix/grub.cfg\n\trestart\n}}\n\n",
        menus.collect::<String>(),
        save("$other"),
        save("$copy"),
        take.collect::<String>(),
    )
}

/// The partition with the menu and the kernels of each slot, and the folder that they are in.
fn places(slots: &Slots) -> [(u32, &'static str); 2] {
    let [a, b] = slots.numbers;
    slots.kernels.map_or([(a, ""), (b, "")], |number| [(number, "/A"), (number, "/B")])
}

/// The first slot of `ORDER` that may be started, has a menu, and tries that are not used up: one more is.
fn choice(tries: u8) -> String {
    let mut text = "set slot=\nfor each in $ORDER; do\n".to_owned();
    for name in NAMES {
        let _ = writeln!(
            text,
            "\tif [ -z \"$slot\" -a \"$each\" = {name} -a \"${name}_OK\" = 1 -a -s \"${name}_MENU\" ]; then"
        );
        for used in 0..tries {
            let word = if used == 0 { "if" } else { "elif" };
            let next = used + 1;
            let _ = writeln!(
                text,
                "\t\t{word} [ \"${name}_TRY\" = {used} ]; then set slot={name}; set {name}_TRY={next}"
            );
        }
        text.push_str("\t\tfi\n\tfi\n");
    }
    text.push_str("done\nsave\n\n");
    text
}

/// Where there is nothing to choose, or it cannot be counted: the last slot that was good, if it still has a menu.
fn fall_back() -> String {
    format!(
        "set reason=\n\
         if [ -z \"$slot\" ]; then set reason='no slot has a try left'\n\
         elif [ -z \"$saved\" ]; then set reason='no try can be counted, grubenv is not written'\n\
         fi\n\
         if [ -n \"$reason\" ]; then\n\
         \tif [ \"$good\" = B -a -s \"$B_MENU\" ]; then set slot=B\n\
         \telif [ -s \"$A_MENU\" ]; then set slot=A\n\
         \telse set slot=B\n\
         \tfi\n\
         \tset slot_words={NO_GUARD}\n\
         \techo \"vmimage: $reason: slot $slot is started, the last that was good was $good\"\n\
         \techo \"vmimage: A_OK=$A_OK A_TRY=$A_TRY B_OK=$B_OK B_TRY=$B_TRY ORDER=$ORDER\"\n\
         \tsleep 5\n\
         fi\n\n"
    )
}

/// The entries of the slot, the one that is taken where these fail, and those to choose from by hand.
fn menu() -> String {
    let slots = NAMES.map(|name| {
        format!(
            "menuentry \"Slot {name} (OK=${name}_OK TRY=${name}_USED)\" --unrestricted {{\n\tchoose {name}\n}}\n"
        )
    });
    format!(
        "take $slot\n\
         source $prefix/grub.cfg\n\
         # If an entry fails: the slot's others, then the restart behind them.\n\
         set fallback='1 2 3 4 5 6 7 8 9'\n\
         menuentry 'Restart' --unrestricted {{\n\trestart\n}}\n\
         {}\
         menuentry 'Factory reset: empty what the machine keeps' {{\n\
         \tchoose $slot {RESET}\n}}\n",
        slots.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Uuid;

    fn slots() -> Slots {
        let partitions = [0xaa, 0xbb].map(|byte| Uuid([byte; 16]).into());
        Slots { numbers: [3, 4], partitions, kernels: None }
    }

    #[test]
    fn a_block_is_one_that_grub_takes_and_its_variables_are_in_one_sector() {
        let block = environment();
        assert_eq!(block.len(), 1024);
        assert!(block.starts_with(SIGNATURE.as_bytes()));
        let (text, fill) = block.split_at(block.iter().rposition(|&byte| byte == b'\n').unwrap() + 1);
        assert!(text.len() < 512 && fill.iter().all(|&byte| byte == b'#'));
        let text = std::str::from_utf8(text).unwrap();
        let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        // A block that is cut short has no ORDER.
        assert_eq!(names.collect::<Vec<_>>().join(" "), VARIABLES);
        assert!(text.ends_with("\nORDER=A B\n"));
        let read = |len: usize| Variables::read(&block[..len]);
        let variables = read(1024).unwrap();
        assert_eq!(["A_OK", "B_OK", "ORDER", "other"].map(|name| variables.get(name)), ["1", "0", "A B", ""]);
        assert_eq!((read(text.len() - 1), read(0)), (None, None));
    }

    #[test]
    fn each_slot_is_found_on_the_disk_that_was_started() {
        let script = script(&slots(), TRIES);
        for (name, number, id) in [("A", 3, "aaaaaaaa-aaaa"), ("B", 4, "bbbbbbbb-bbbb")] {
            let take = format!(
                "\tif [ \"$slot\" = {name} ]; then\n\t\tset root=$disk,gpt{number}\n\t\t\
                 set slot_folder=\n\t\tset slot_partuuid={id}-"
            );
            assert!(script.contains(&take), "{script}");
            assert!(script.contains(&format!("set {name}_MENU=($disk,gpt{number})/boot/grub/grub.cfg\n")));
        }
        assert!(script.contains("regexp --set=1:disk '^([^,]+),' \"$root\"\n"));
        assert!(!script.contains("search"), "another disk may be a copy of this one");
        let beside = super::script(&Slots { kernels: Some(2), ..slots() }, TRIES);
        assert!(beside.contains("\t\tset root=$disk,gpt2\n\t\tset slot_folder=/B\n"), "{beside}");
        assert!(beside.contains("set A_MENU=($disk,gpt2)/A/boot/grub/grub.cfg\n"), "{beside}");
    }

    #[test]
    fn a_slot_has_as_many_tries_as_were_asked() {
        for tries in [1, 3, 9] {
            let script = script(&slots(), tries);
            for name in NAMES {
                let counts = format!("set slot={name}; set {name}_TRY=");
                assert_eq!(script.matches(&counts).count(), usize::from(tries));
                assert!(script.contains(&format!("[ \"${name}_TRY\" = 0 ]; then {counts}1\n")));
                assert!(script.contains(&format!("= {} ]; then {counts}{tries}\n", tries - 1)));
            }
        }
    }

    #[test]
    fn a_slot_that_is_chosen_by_hand_loses_no_try_and_is_told_so() {
        let script = script(&slots(), TRIES);
        let (_, choose) = script.split_once("function choose {\n").unwrap();
        let choose = choose.split_once("\n}\n").unwrap().0;
        let steps = [
            "set A_TRY=$A_USED\n\tset B_TRY=$B_USED\n\tsave\n",
            "set slot_words=\"vmimage.guard=off vmimage.by-hand $2\"\n\ttake $1\n\tconfigfile $prefix/grub.cfg\n\trestart",
        ];
        let places = steps.map(|step| choose.find(step).unwrap());
        assert!(places.is_sorted() && !choose.contains("ORDER"), "{choose}");
        // What was used before this start, which has counted already.
        let used = script.find("set A_USED=$A_TRY\nset B_USED=$B_TRY\n").unwrap();
        assert!(used < script.find("set slot=A; set A_TRY=1").unwrap(), "{script}");
        for entry in ["choose A", "choose B", "choose $slot vmimage.reset"] {
            assert!(script.contains(&format!("{{\n\t{entry}\n}}\n")), "{entry}");
        }
        assert_eq!(script.matches(BY_HAND).count(), 1);
    }

    /// What Debian's signed GRUB has built in, and its own language: nothing can be loaded beside it.
    #[test]
    fn only_commands_of_signed_builds_are_used() {
        let words = ["if", "elif", "else", "then", "do"];
        let known = "fi for done function } set export source configfile menuentry load_env save_env regexp [ echo sleep \
                     reboot serial terminal_input terminal_output save take restart choose";
        let known: Vec<_> = known.split_whitespace().collect();
        let script = script(&slots(), TRIES);
        let code = script.lines().filter(|line| !line.starts_with('#'));
        for line in code.flat_map(|line| line.split("; ")) {
            let command = line.split_whitespace().find(|word| !words.contains(word));
            assert!(command.is_none_or(|command| known.contains(&command)), "{line}");
        }
    }
}
