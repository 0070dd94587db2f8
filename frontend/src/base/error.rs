//! The only error a user meets: what went wrong, and the thing to type next.

use std::fmt;
use std::process::ExitCode;

use super::terminal::tell_line;

/// Shorthand for results of the command line.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something was asked for that cannot be done here: a wrong path, a missing program.
    User,
    /// The build itself failed, or gave something that is not a disk.
    Build,
    /// The build failed, and the engine has said why as its last words.
    Told,
    /// This program broke one of its own promises.
    Internal,
}

/// A message, where it came from and, where one is known, a hint.
#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    message: String,
    /// What stands below it.
    further: Vec<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Something the user can change; `message` is lower case without a full stop, subject first.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// The build went wrong.
    pub(crate) fn build(message: impl Into<String>) -> Self {
        Self::new(Kind::Build, message)
    }

    /// The same error where the engine has just said it: only a hint is added.
    #[must_use]
    pub(crate) fn told(self) -> Self {
        Self { kind: Kind::Told, ..self }
    }

    /// A broken promise of this program.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Something the user can change, in several lines.
    pub(crate) fn of_lines(lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut lines = lines.into_iter().map(Into::into);
        let first = Self::user(lines.next().unwrap_or_default());
        Self { further: lines.collect(), ..first }
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), further: Vec::new(), hint: None, source: None }
    }

    /// The same error with its cause, printed after the message.
    #[must_use]
    pub(crate) fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same error with the thing to type next.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The thing to type next, if one is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// 70 is `EX_SOFTWARE` of sysexits(3): report it, there is nothing to correct.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::User | Kind::Build | Kind::Told => 1,
            Kind::Internal => 70,
        })
    }

    /// Prints the error and its hint to stderr.
    pub(crate) fn print(&self) {
        if self.kind != Kind::Told {
            tell_line(format_args!("error: {}", self.first_line()));
            self.further.iter().for_each(tell_line);
        }
        if let Some(hint) = self.hint() {
            tell_line(format_args!("hint: {hint}"));
        }
    }

    /// The message with its causes, and what stands below it.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::iter::once(self.first_line()).chain(self.further.iter().cloned()).collect()
    }

    /// The message with its causes.
    fn first_line(&self) -> String {
        let mut text = self.message.clone();
        let mut source = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first_line())?;
        self.further.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl From<exporter::Error> for Error {
    fn from(error: exporter::Error) -> Self {
        // Its Display already ends with its cause, so only the text is taken.
        let user = Self::user(error.to_string());
        match error.hint() {
            Some(hint) => user.with_hint(hint),
            None => user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_message() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::user("web.qcow2: cannot be read").because(cause).with_hint("call someone");
        assert_eq!(error.to_string(), "web.qcow2: cannot be read: disk on fire");
        assert_eq!(error.hint.as_deref(), Some("call someone"));
    }

    #[test]
    fn only_broken_promises_exit_with_70() {
        assert_eq!(Error::user("x").exit_code(), ExitCode::from(1));
        assert_eq!(Error::build("x").exit_code(), ExitCode::from(1));
        assert_eq!(Error::build("x").told().exit_code(), ExitCode::from(1));
        assert_eq!(Error::internal("x").exit_code(), ExitCode::from(70));
    }
}
