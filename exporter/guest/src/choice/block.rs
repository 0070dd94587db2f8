//! GRUB's environment block, with the variables of RAUC: `exporter/src/boot/slots.rs` has the words and who reads them.
//!
//! ```text
//! # GRUB Environment Block
//! A_OK=1
//! …
//! ORDER=A B
//! ###…  to 1024 bytes
//! ```

use std::collections::BTreeMap;

use super::Slot;

const SIGNATURE: &str = "# GRUB Environment Block\n";
/// Its bytes: `DEFAULT_ENVBLK_SIZE` of grub-editenv.
pub(super) const SIZE: usize = 1024;

/// The last variable: a block that was cut short does not have it, and is not believed.
const ORDER: &str = "ORDER";
const GOOD: &str = "good";

/// What a block says. Variables of others are kept; none of ours needs GRUB's escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block(BTreeMap<String, String>);

impl Block {
    /// That of a machine of which no copy is left: `booted` is in order, who knows the other.
    pub(super) fn new(booted: Slot) -> Self {
        let mut block = Self(BTreeMap::new());
        block.set_state(booted, true, 0);
        block.set_state(booted.other(), false, 0);
        block.set_first(booted);
        block.set(GOOD, booted.name());
        block
    }

    /// What a copy says; `None` if it is not one, or was cut short.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_prefix(SIGNATURE.as_bytes())?;
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let variables = lines.filter_map(|line| {
            let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
            let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
            Some((name.to_owned(), value.to_owned()))
        });
        let block = Self(variables.collect());
        (!block.get(ORDER).is_empty()).then_some(block)
    }

    /// The bytes of a copy.
    ///
    /// # Errors
    /// If variables of others leave too little room.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let others = self.0.iter().filter(|(name, _)| *name != ORDER);
        let last = self.0.get_key_value(ORDER);
        let lines = others.chain(last).map(|(name, value)| format!("{name}={value}\n"));
        let mut bytes = std::iter::once(SIGNATURE.to_owned()).chain(lines).collect::<String>().into_bytes();
        if bytes.len() > SIZE {
            return Err(format!("{} bytes of variables, and a block has {SIZE}", bytes.len()));
        }
        bytes.resize(SIZE, b'#');
        Ok(bytes)
    }

    /// The slots in the order in which they are tried.
    pub(super) fn order(&self) -> Vec<Slot> {
        self.get(ORDER).split_whitespace().filter_map(Slot::named).collect()
    }

    /// The last slot that was good.
    pub(super) fn good(&self) -> Option<Slot> {
        Slot::named(self.get(GOOD))
    }

    /// Whether a slot may be started.
    pub(super) fn is_ok(&self, slot: Slot) -> bool {
        self.get(&format!("{}_OK", slot.name())) == "1"
    }

    /// How many starts of a slot were not followed by a good boot.
    pub(super) fn tries(&self, slot: Slot) -> u32 {
        self.get(&format!("{}_TRY", slot.name())).parse().unwrap_or_default()
    }

    /// A slot is good, and the one that is left when no other is.
    pub(super) fn set_good(&mut self, slot: Slot) {
        self.set_state(slot, true, 0);
        self.set(GOOD, slot.name());
    }

    /// A slot is not to be started any more.
    pub(super) fn set_bad(&mut self, slot: Slot) {
        self.set_state(slot, false, 0);
    }

    /// A slot is the first to be tried from now on, with all its tries.
    pub(super) fn set_next(&mut self, slot: Slot) {
        self.set_state(slot, true, 0);
        self.set_first(slot);
    }

    fn set_first(&mut self, slot: Slot) {
        self.set(ORDER, &format!("{} {}", slot.name(), slot.other().name()));
    }

    fn set_state(&mut self, slot: Slot, ok: bool, tries: u32) {
        self.set(&format!("{}_OK", slot.name()), if ok { "1" } else { "0" });
        self.set(&format!("{}_TRY", slot.name()), &tries.to_string());
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# GRUB Environment Block\nA_OK=1\nA_TRY=1\nB_OK=1\nB_TRY=3\ngood=A\nORDER=B A\n";

    fn block(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(SIZE, b'#');
        bytes
    }

    #[test]
    fn what_grub_writes_is_read_and_written_as_it_was() {
        let bytes = block(TEXT);
        let read = Block::read(&bytes).unwrap();
        assert_eq!((read.order(), read.good()), (vec![Slot::B, Slot::A], Some(Slot::A)));
        assert!(read.is_ok(Slot::A) && read.is_ok(Slot::B));
        assert_eq!((read.tries(Slot::A), read.tries(Slot::B)), (1, 3));
        assert_eq!(read.bytes().unwrap(), bytes);
    }

    /// Of each length, and of a sector that was not written.
    #[test]
    fn a_copy_that_was_cut_short_is_not_believed() {
        let bytes = block(TEXT);
        for len in 0..bytes.len() {
            let read = Block::read(&bytes[..len]);
            assert!(read.is_none() || len >= TEXT.len() && read == Block::read(&bytes), "{len}");
        }
        for damaged in [block(""), vec![0; SIZE], block("# GRUB Environment Block\nORDER=\n")] {
            assert_eq!(Block::read(&damaged), None);
        }
    }

    #[test]
    fn what_is_said_is_what_rauc_would_say() {
        let mut block = Block::read(&block(TEXT)).unwrap();
        let text = |block: &Block| {
            let bytes = block.bytes().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ")
        };
        block.set_good(Slot::A);
        assert_eq!(text(&block), "A_OK=1 A_TRY=0 B_OK=1 B_TRY=3 good=A ORDER=B A");
        block.set_bad(Slot::B);
        assert_eq!(text(&block), "A_OK=1 A_TRY=0 B_OK=0 B_TRY=0 good=A ORDER=B A");
        block.set_next(Slot::A);
        assert_eq!(text(&block), "A_OK=1 A_TRY=0 B_OK=0 B_TRY=0 good=A ORDER=A B");
        block.set_next(Slot::B);
        assert_eq!(text(&block), "A_OK=1 A_TRY=0 B_OK=1 B_TRY=0 good=A ORDER=B A");
        assert_eq!(text(&Block::new(Slot::B)), "A_OK=0 A_TRY=0 B_OK=1 B_TRY=0 good=B ORDER=B A");
    }

    #[test]
    fn variables_of_others_are_kept_as_far_as_there_is_room() {
        let with = |value: &str| block(&format!("{}saved_entry={value}\nORDER=A B\n", &TEXT[..40]));
        let kept = Block::read(&with("1>2")).unwrap().bytes().unwrap();
        assert!(String::from_utf8_lossy(&kept).contains("\nsaved_entry=1>2\nORDER=A B\n#"));
        let full = format!("{TEXT}x={}\n", "y".repeat(SIZE));
        assert!(Block::read(full.as_bytes()).unwrap().bytes().is_err());
    }
}
