//! The attributes as flags of a command.

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use clap::error::{Error, ErrorKind, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{Attribute, Form, Place, Wish};

/// What was asked for by flags, in the order of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Vec<Wish>);

impl Flags {
    /// Every wish.
    pub(crate) fn wishes(&self) -> &[Wish] {
        &self.0
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(Attribute::of(Place::Flag).map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self> {
        Attribute::of(Place::Flag)
            .filter_map(|attribute| typed(attribute, matches))
            .collect::<Result<_>>()
            .map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<()> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What was typed of an attribute: of texts, those of all its flags together.
fn typed(attribute: &'static Attribute, matches: &ArgMatches) -> Option<Result<Wish>> {
    let wishes: Vec<_> = matches.get_many::<Wish>(attribute.name)?.collect();
    match &wishes[..] {
        [wish] => Some(Ok((*wish).clone())),
        several => {
            let texts: Vec<_> =
                several.iter().map(|wish| wish.text()).filter(|text| !text.is_empty()).collect();
            let together = attribute.wish(&texts.join(","));
            Some(together.map_err(|expected| Error::raw(ErrorKind::ValueValidation, expected)))
        }
    }
}

fn flag(attribute: &'static Attribute) -> Arg {
    let arg = Arg::new(attribute.name).long(attribute.name).help_heading(attribute.topic.heading());
    let arg = arg.help(help(attribute)).value_parser(parser(attribute));
    match attribute.form {
        Form::Arguments(name) => arg.value_name(name).allow_hyphen_values(true),
        Form::Choice(name, _) | Form::Choices(name, _) | Form::Number(name, _) => arg.value_name(name),
        Form::Texts(name) => arg.value_name(name).action(ArgAction::Append),
        Form::Text(name) | Form::TextOrFile(name) | Form::Switch(name) => arg.value_name(name),
    }
}

fn help(attribute: &Attribute) -> String {
    match attribute.default {
        Some(default) => format!("{} [default: {default}]", attribute.help),
        None => attribute.help.to_owned(),
    }
}

/// The help of a flag that commands have of their own.
pub(crate) fn help_of(name: &str) -> &'static str {
    Attribute::by_name(name).map(|attribute| attribute.help).unwrap_or_default()
}

fn parser(attribute: &'static Attribute) -> ValueParser {
    match attribute.form {
        Form::Choice(_, words) | Form::Number(_, words) => {
            PossibleValuesParser::new(words()).try_map(move |word| attribute.wish(&word)).into()
        }
        _ => (move |text: &str| attribute.wish(text)).into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        flags: Flags,
    }

    fn typed(words: &[&str]) -> std::result::Result<Vec<String>, String> {
        let typed = Typed::try_parse_from(["vmimage"].iter().chain(words));
        let flags = typed.map_err(|error| error.to_string())?.flags;
        Ok(flags.wishes().iter().map(Wish::flag).collect())
    }

    #[test]
    fn every_flag_takes_what_its_attribute_takes() {
        for attribute in Attribute::of(Place::Flag) {
            let flag = format!("--{}", attribute.name);
            for text in attribute.right {
                assert_eq!(typed(&[&flag, text]).unwrap(), [format!("{flag}={text}")]);
            }
            for (text, _) in attribute.wrong {
                let word = format!("{flag}={text}");
                let said = typed(&[&word]).unwrap_err();
                assert!(said.contains("invalid value") && said.contains(&flag), "{said}");
            }
        }
    }

    #[test]
    fn a_wrong_value_is_told_what_would_have_been_right() {
        let said = typed(&["--size", "big"]).unwrap_err();
        let expected = "error: invalid value 'big' for '--size <SIZE>': \"big\" is not a size: write a number with K, M, G or T";
        assert!(said.starts_with(expected), "{said}");
        let said = typed(&["--firmware", "coreboot"]).unwrap_err();
        assert!(
            said.contains("'--firmware <FIRMWARE>'") && said.contains("[possible values: any, bios, uefi]"),
            "{said}"
        );
    }

    #[test]
    fn texts_are_typed_at_once_or_one_by_one() {
        for words in [&["--dns", "1.1.1.1,9.9.9.9"][..], &["--dns", "1.1.1.1", "--dns=9.9.9.9"]] {
            assert_eq!(typed(words).unwrap(), ["--dns=1.1.1.1,9.9.9.9"]);
        }
        assert!(typed(&["--hostname", "a", "--hostname", "b"]).unwrap_err().contains("multiple times"));
    }

    #[test]
    fn only_arguments_of_others_begin_with_a_hyphen() {
        assert_eq!(typed(&["--cmdline", "-q a=b"]).unwrap(), ["--cmdline=-q a=b"]);
        assert!(typed(&["--hostname", "-q"]).is_err());
        assert_eq!(typed(&[]).unwrap(), Vec::<String>::new());
    }
}
