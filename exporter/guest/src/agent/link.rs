//! What process 1 and the agent say to each other: whole messages of a socket between them, whose first byte says what they
//! are.

use agent::message::Status;

/// The longest message in bytes. What is wrong with a service has 4096, which JSON may make longer.
pub(super) const MESSAGE_MAX: usize = 32 << 10;
/// The most of the service's output in one.
pub(super) const OUTPUT_MAX: usize = 4096;

/// What process 1 says.
pub(super) enum Told<'a> {
    /// How the service is.
    Status(Status),
    /// What it has printed, and how many bytes are gone in front of that.
    Output(u64, &'a [u8]),
    /// All that was kept has been said.
    CaughtUp,
}

impl Told<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Status(status) => [b"s".to_vec(), serde_json::to_vec(status).unwrap_or_default()].concat(),
            Self::Output(lost, bytes) => [&b"o"[..], &lost.to_le_bytes(), bytes].concat(),
            Self::CaughtUp => b"c".to_vec(),
        }
    }

    pub(super) fn decode(message: &[u8]) -> Option<Told<'_>> {
        match message.split_first()? {
            (b's', status) => serde_json::from_slice(status).ok().map(Told::Status),
            (b'o', output) => {
                let (lost, bytes) = output.split_first_chunk()?;
                Some(Told::Output(u64::from_le_bytes(*lost), bytes))
            }
            (b'c', []) => Some(Told::CaughtUp),
            _ => None,
        }
    }
}

/// What the agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The service's output, from now on.
    Output,
    /// The end of the machine.
    Stop,
}

impl Ask {
    pub(super) fn encode(self) -> &'static [u8] {
        match self {
            Self::Output => b"o",
            Self::Stop => b"x",
        }
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        [Self::Output, Self::Stop].into_iter().find(|ask| ask.encode() == message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let status = Status { starts: 3, ..Status::default() };
        assert!(
            matches!(Told::decode(&Told::Status(status.clone()).encode()), Some(Told::Status(it)) if it == status)
        );
        assert!(matches!(Told::decode(&Told::Output(5, b"a\0").encode()), Some(Told::Output(5, b"a\0"))));
        assert!(matches!(Told::decode(&Told::CaughtUp.encode()), Some(Told::CaughtUp)));
        for message in [&b""[..], b"s", b"s{", b"o1234567", b"c1", b"y"] {
            assert!(Told::decode(message).is_none(), "{}", message.escape_ascii());
        }
        assert_eq!(
            (Ask::decode(b"o"), Ask::decode(b"x"), Ask::decode(b"")),
            (Some(Ask::Output), Some(Ask::Stop), None)
        );
    }
}
