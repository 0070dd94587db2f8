//! What there is to know of an attribute: a row of the [table](super::table).

use super::table::{ATTRIBUTES, NAME};
use super::wish::{Change, Wish};

/// One thing that can be asked of a disk.
pub(crate) struct Attribute {
    /// The word for it: `size`.
    pub(crate) name: &'static str,
    /// What its values look like.
    pub(crate) form: Form,
    /// What it says something about.
    pub(crate) topic: Topic,
    /// Where it counts, besides the build arguments and the attributes of `type=vmdisk`: all count there.
    pub(super) places: &'static [Place],
    /// What it is, in a line of `--help`.
    pub(crate) help: &'static str,
    /// What it is, on the pages and in the JSON schema.
    pub(crate) about: &'static str,
    /// The value that stands for nobody having asked, if there is one.
    pub(crate) default: Option<&'static str>,
    /// Values that it takes; the first is the example.
    pub(crate) right: &'static [&'static str],
    /// Values that it refuses, and how the refusal begins.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests ask for what is wrong"))]
    pub(crate) wrong: &'static [(&'static str, &'static str)],
    /// What a value changes, or what would have been right.
    pub(super) read: fn(&str) -> Result<Change, String>,
}

/// What values look like. In `--help` a value is called what stands with its form.
pub(crate) enum Form {
    /// One of these words.
    Choice(&'static str, fn() -> Vec<&'static str>),
    /// Some of these words, between commas or in a list.
    Choices(&'static str, fn() -> Vec<&'static str>),
    /// A text.
    Text(&'static str),
    /// A text, or in a table (`{ from = "kernel", path = "/bzImage" }`) a file of another stage.
    TextOrFile(&'static str),
    /// Arguments of another program, which may begin with a hyphen.
    Arguments(&'static str),
    /// Texts, between commas or in a list.
    Texts(&'static str),
    /// On, off, or a text.
    Switch(&'static str),
    /// One of these numbers.
    Number(&'static str, fn() -> Vec<&'static str>),
}

/// What an attribute says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The disk and its files, whatever they are for.
    Disk,
    /// The machine that boots from it.
    Machine,
    /// What is installed to make a machine.
    Install,
}

/// Where an attribute counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A flag of `vmimage build` and `vmimage convert`, of the same name.
    Flag,
    /// A key of `vmimage.toml`, and a label of the image.
    Key,
    /// A label of the image. The key is in a table, by another word.
    Label,
    /// An attribute of the exporters of images, for the disk in the image. They have words of their own, too.
    Image,
}

impl Topic {
    /// Every topic, in the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Disk, Self::Machine, Self::Install];

    /// What stands above its flags in `--help`.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Disk => "Disk options",
            Self::Machine => "Machine options",
            Self::Install => "Install options",
        }
    }
}

impl Attribute {
    /// By its word.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        ATTRIBUTES.iter().find(|known| known.name == name)
    }

    /// By its build argument.
    pub(crate) fn by_variable(name: &str) -> Option<&'static Self> {
        ATTRIBUTES.iter().find(|known| known.variable() == name)
    }

    /// All that count in a place.
    pub(crate) fn of(place: Place) -> impl Iterator<Item = &'static Self> {
        ATTRIBUTES.iter().filter(move |attribute| attribute.counts_in(place))
    }

    /// Whether it counts there.
    pub(crate) fn counts_in(&self, place: Place) -> bool {
        self.places.contains(&place)
    }

    /// Whether images ask for it by a label: by each word that is a key, and by those that are in the network's table.
    pub(crate) fn is_label(&self) -> bool {
        self.counts_in(Place::Key) || self.counts_in(Place::Label)
    }

    /// The flag for it: `--size`. Of a file, its own name tells the name.
    pub(crate) fn flag(&self) -> String {
        match self.name {
            NAME => "-o".to_owned(),
            name => flag_of(name),
        }
    }

    /// The build argument for it: `VMIMAGE_SIZE`.
    pub(crate) fn variable(&self) -> String {
        variable(self.name)
    }

    /// Asks for a value of it.
    ///
    /// # Errors
    /// What would have been right, such as "a package name, such as linux-image-amd64".
    pub(crate) fn wish(&'static self, text: &str) -> Result<Wish, String> {
        (self.read)(text).map(|change| Wish::new(self, text, change))
    }
}

/// The flag for an attribute of this name.
pub(super) fn flag_of(name: &str) -> String {
    format!("--{name}")
}

/// The build argument for an attribute of this name.
pub(crate) fn variable(name: &str) -> String {
    format!("VMIMAGE_{}", name.to_ascii_uppercase().replace('-', "_"))
}
