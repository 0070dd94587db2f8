//! Files of sections with keys, as systemd and NetworkManager read them.

use std::fmt::Display;

/// A file, being written. A section without keys is left out.
#[derive(Default)]
pub(super) struct Ini {
    text: String,
    section: Option<&'static str>,
}

impl Ini {
    pub(super) fn section(&mut self, name: &'static str) -> &mut Self {
        self.section = Some(name);
        self
    }

    pub(super) fn set(&mut self, key: &str, value: impl Display) -> &mut Self {
        if let Some(section) = self.section.take() {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.text += &format!("{gap}[{section}]\n");
        }
        self.text += &format!("{key}={value}\n");
        self
    }

    /// The same key for each of them.
    pub(super) fn each<T: Display>(&mut self, key: &str, values: &[T]) -> &mut Self {
        for value in values {
            self.set(key, value);
        }
        self
    }

    /// One key for all of them, if there are any.
    pub(super) fn list<T: Display>(&mut self, key: &str, values: &[T], end: &str) -> &mut Self {
        if !values.is_empty() {
            let values: String = values.iter().map(|value| format!("{value}{end}")).collect();
            self.set(key, values.trim_end());
        }
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}
