//! What is asked, answered and told, as JSON. Members that are not known are errors: a question that is half understood
//! is not answered.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a channel is for: the payload of an `open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A program in the machine: its input, output and errors are the streams of the channel.
    Exec(Exec),
    /// An archive of files is the input.
    CopyIn {
        /// The folder it is unpacked in, which is there.
        to: Text,
    },
    /// An archive of a file, or of a folder with all that is in it, is the output.
    CopyOut {
        /// Where it is. If it is a link, it comes as one.
        from: Text,
        /// The name it has in the archive; without one, its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Text>,
    },
    /// The last that the service has printed, on the output.
    Logs {
        /// And what it will.
        #[serde(default)]
        follow: bool,
    },
    /// How the service is: one [`Status`] in a line of the output.
    Status {
        /// And every change of it, in a line of its own.
        #[serde(default)]
        follow: bool,
    },
    /// Stop the service as the power button does, and the machine.
    Stop {},
}

/// A program to run. What is not said is as the service has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exec {
    /// The program, by its path or its name in `PATH`, and its arguments; none, for the service's own.
    pub argv: Vec<String>,
    /// Further variables, `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `USER` or `USER:GROUP`, by name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// A terminal of this size instead of pipes: errors come on the output, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<Size>,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Its lines.
    pub rows: u16,
    /// Characters of each.
    pub columns: u16,
}

/// What a host does to a program that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// Its terminal has another size.
    Resize(Size),
    /// Send it a signal, by number.
    Signal(i32),
}

/// What came of a channel: docker's numbers, 125 where nothing could be begun, 126 if it cannot be run, 127 if there is
/// none, 128 and the signal's number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Done {
    /// Of a program, its exit code; of all else 0, or 1 if it failed.
    pub status: i32,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of logs, the bytes that were gone before they could be told.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Done {
    /// That it failed.
    pub fn failed(status: i32, error: impl Into<String>) -> Self {
        Self { status, error: Some(error.into()), ..Self::default() }
    }
}

/// How the service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// Where it is in its life.
    pub state: State,
    /// How often it was started.
    pub starts: u64,
    /// How it ended, or ended the last time: as in [`Done`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// As in [`Done`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it was not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the image has a health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Before its first start.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It has ended. Whether it is started again, what the machine was told says.
    Ended,
}

/// What the health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing yet.
    Starting,
    /// That all is well.
    Healthy,
    /// That it is not.
    Unhealthy,
}

/// Words of any bytes but zero: in JSON a string, or an array of its bytes if they are no UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub OsString);

impl<T: AsRef<OsStr> + ?Sized> From<&T> for Text {
    fn from(text: &T) -> Self {
        Self(text.as_ref().to_owned())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_seq(self.0.as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of bytes, without zeros")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        checked(text.into()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Text, A::Error> {
        let mut all = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            all.push(byte);
        }
        checked(all).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Seq, &self))
    }
}

fn checked(bytes: Vec<u8>) -> Option<Text> {
    (!bytes.contains(&0)).then(|| Text(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back(request: &Request, json: &str) {
        assert_eq!(serde_json::to_string(request).unwrap(), json);
        assert_eq!(&serde_json::from_str::<Request>(json).unwrap(), request);
    }

    #[test]
    fn requests_are_what_the_page_says() {
        let odd = Text(OsString::from_vec(b"/\xff".to_vec()));
        comes_back(&Request::CopyOut { from: odd, name: None }, r#"{"copy_out":{"from":[47,255]}}"#);
        comes_back(&Request::CopyIn { to: "/srv".into() }, r#"{"copy_in":{"to":"/srv"}}"#);
        comes_back(&Request::Logs { follow: true }, r#"{"logs":{"follow":true}}"#);
        comes_back(&Request::Stop {}, r#"{"stop":{}}"#);
        let tty = Some(Size { rows: 24, columns: 80 });
        let exec = Exec {
            argv: ["ls", "-l"].map(str::to_owned).to_vec(),
            user: Some("app".into()),
            tty,
            ..Exec::default()
        };
        let json = r#"{"exec":{"argv":["ls","-l"],"user":"app","tty":{"rows":24,"columns":80}}}"#;
        comes_back(&Request::Exec(exec), json);
        let bare: Request = serde_json::from_str(r#"{"status":{}}"#).unwrap();
        assert_eq!(bare, Request::Status { follow: false });
        assert_eq!(serde_json::to_string(&Control::Signal(15)).unwrap(), r#"{"signal":15}"#);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for json in [
            r#"{"exec":{"argv":["a"],"chroot":"/"}}"#,
            r#"{"copy_in":{"to":"a\u0000b"}}"#,
            r#"{"copy_in":{"to":[47,256]}}"#,
            r#"{"copy_in":{"to":[0]}}"#,
            r#"{"copy_in":{}}"#,
            r#"{"reboot":{}}"#,
            r#"{"stop":{},"status":{}}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn answers_are_short() {
        let of = |done: &Done| serde_json::to_string(done).unwrap();
        assert_eq!(of(&Done { status: 7, ..Done::default() }), r#"{"status":7}"#);
        assert_eq!(of(&Done::failed(125, "no")), r#"{"status":125,"error":"no"}"#);
        let status = Status { state: State::Running, health: Some(Health::Healthy), ..Status::default() };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"state":"running","starts":0,"health":"healthy"}"#
        );
    }
}
