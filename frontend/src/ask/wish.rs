//! A value of an attribute, read once: from then on it is a change of what is [asked](Asked).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use exporter::spec::TextFormat;

use super::attribute::flag_of;
use super::{Asked, Attribute};

/// What somebody asks for: an attribute, and a value that it takes.
#[derive(Clone)]
pub(crate) struct Wish {
    attribute: &'static Attribute,
    text: String,
    change: Change,
}

/// What becomes of all that is asked.
pub(super) type Change = Arc<dyn Fn(&mut Asked) + Send + Sync>;

impl Wish {
    pub(super) fn new(attribute: &'static Attribute, text: &str, change: Change) -> Self {
        Self { attribute, text: text.to_owned(), change }
    }

    /// What is asked.
    pub(crate) fn attribute(&self) -> &'static Attribute {
        self.attribute
    }

    /// The value, as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The build argument that asks for the same: its name and its value.
    pub(crate) fn argument(&self) -> (String, String) {
        (self.attribute.variable(), self.text.clone())
    }

    /// The flag that asks for the same: `--size=10G`.
    pub(crate) fn flag(&self) -> String {
        format!("{}={}", flag_of(self.attribute.name), self.text)
    }

    /// The file of the build context that it names, if it names one.
    pub(crate) fn context_file(&self) -> Option<String> {
        let mut asked = Asked::default();
        self.change(&mut asked);
        asked.spec.context_files().first().map(|path| (*path).to_owned())
    }

    pub(super) fn change(&self, asked: &mut Asked) {
        (self.change)(asked);
    }
}

impl PartialEq for Wish {
    fn eq(&self, other: &Self) -> bool {
        (self.attribute.name, &self.text) == (other.attribute.name, &other.text)
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.attribute.name, self.text)
    }
}

/// A value that reads itself.
pub(super) fn value<T>(text: &str, set: fn(&mut Asked, T)) -> Result<Change, String>
where
    T: FromStr<Err: ToString> + Clone + Send + Sync + 'static,
{
    let value = text.parse::<T>().map_err(|expected| expected.to_string())?;
    Ok(change(value, set))
}

/// Such values between commas.
pub(super) fn values<T>(text: &str, set: fn(&mut Asked, Vec<T>)) -> Result<Change, String>
where
    T: FromStr<Err: ToString> + Clone + Send + Sync + 'static,
{
    let values = text.split(',').map(str::parse::<T>).collect::<Result<Vec<_>, _>>();
    Ok(change(values.map_err(|expected| expected.to_string())?, set))
}

/// A text of this form.
pub(super) fn word(text: &str, format: TextFormat, set: fn(&mut Asked, String)) -> Result<Change, String> {
    format.check(text)?;
    Ok(change(text.to_owned(), set))
}

/// Values between commas, each written in this form; none in an empty text.
pub(super) fn words<T>(text: &str, format: TextFormat, set: fn(&mut Asked, Vec<T>)) -> Result<Change, String>
where
    T: FromStr<Err: ToString> + Clone + Send + Sync + 'static,
{
    let words = text.split(',').map(str::trim).filter(|_| !text.is_empty());
    let read = |word: &str| {
        format.check(word).map_err(|expected| format!("{word:?} is not {expected}"))?;
        word.parse::<T>().map_err(|expected| expected.to_string())
    };
    Ok(change(words.map(read).collect::<Result<Vec<_>, _>>()?, set))
}

fn change<T: Clone + Send + Sync + 'static>(value: T, set: fn(&mut Asked, T)) -> Change {
    Arc::new(move |asked| set(asked, value.clone()))
}
