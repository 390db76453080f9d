//! Faults on demand.

use crate::Stream;

/// A plan.
#[derive(Clone, Debug, Default)]
pub struct Plan;

impl Plan {
    /// Every connection is refused.
    #[must_use]
    pub fn refuses_all(&self) -> bool {
        false
    }

    /// Connection `number`, from 1.
    #[must_use]
    pub fn connection(&self, _number: u64) -> Faults {
        Faults
    }
}

/// What befalls one connection.
#[derive(Clone, Debug)]
pub struct Faults;

/// What befalls a connection when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Serve,
    /// It is reset at once.
    Reset,
    /// It is held and nothing is said.
    Stall,
}

impl Faults {
    /// What befalls it when it is accepted.
    #[must_use]
    pub fn opening(&self) -> Opening {
        Opening::Serve
    }

    /// The stream with the faults of its bytes.
    #[must_use]
    pub fn wrap(&self, stream: Stream) -> Stream {
        stream
    }
}
