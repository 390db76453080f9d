//! What is agreed on (RFC 7692 sections 5 and 7.1).

use std::fmt;

use crate::wire::Role;

/// The extension's name.
pub(crate) const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
/// The smallest window that can be agreed on, the smallest that zlib can fill, and that of DEFLATE.
const BITS_MIN: u8 = 8;
const BITS_ZLIB: u8 = 9;
const BITS_MAX: u8 = 15;

/// How we would like to compress: what a client offers, and a server agrees to at most.
///
/// # Defaults
/// Level 6, every message, contexts are kept from message to message, windows of 12 bits (4 KiB). A
/// connection that compresses then holds some 200 KiB for that, 310 KiB with 15 bits, and some 20 to
/// 50 KiB to decompress; without contexts it holds none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// How hard to try, from 0 to 9.
    pub level: u32,
    /// Messages smaller than this are sent as they are.
    pub threshold: usize,
    /// Whether what the server sends never refers to earlier messages.
    pub server_no_context_takeover: bool,
    /// Whether what the client sends never refers to earlier messages.
    pub client_no_context_takeover: bool,
    /// How far back the server's messages refer, as a power of two, from 9 to 15.
    pub server_max_window_bits: u8,
    /// How far back the client's messages refer, as a power of two, from 9 to 15.
    pub client_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            level: 6,
            threshold: 0,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 12,
            client_max_window_bits: 12,
        }
    }
}

impl Deflate {
    /// The same with windows that can be.
    fn bounded(self) -> Self {
        let bounded = |bits: u8| bits.clamp(BITS_ZLIB, BITS_MAX);
        Self {
            server_max_window_bits: bounded(self.server_max_window_bits),
            client_max_window_bits: bounded(self.client_max_window_bits),
            ..self
        }
    }
}

/// What both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// See [`Deflate::level`].
    pub level: u32,
    /// See [`Deflate::threshold`].
    pub threshold: usize,
    /// See [`Deflate::server_no_context_takeover`].
    pub server_no_context_takeover: bool,
    /// See [`Deflate::client_no_context_takeover`].
    pub client_no_context_takeover: bool,
    /// See [`Deflate::server_max_window_bits`]; from 8 to 15.
    pub server_max_window_bits: u8,
    /// See [`Deflate::client_max_window_bits`]; from 8 to 15.
    pub client_max_window_bits: u8,
}

impl Parameters {
    /// The window of what `role` sends, and whether its contexts are dropped after each message.
    pub(crate) fn of_sender(&self, role: Role) -> (u8, bool) {
        let (bits, no_takeover) = match role {
            Role::Client => (self.client_max_window_bits, self.client_no_context_takeover),
            Role::Server => (self.server_max_window_bits, self.server_no_context_takeover),
        };
        (bits.clamp(BITS_MIN, BITS_MAX), no_takeover)
    }
}

/// One element of a `Sec-WebSocket-Extensions` header for this extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// Without a value, the parameter only says that it is understood.
    client_bits: Option<Option<u8>>,
}

impl Offer {
    /// What a client offers.
    pub(crate) fn of_client(deflate: &Deflate) -> Self {
        let deflate = deflate.bounded();
        let client_bits = deflate.client_max_window_bits;
        Self {
            server_no_takeover: deflate.server_no_context_takeover,
            client_no_takeover: deflate.client_no_context_takeover,
            server_bits: (deflate.server_max_window_bits < BITS_MAX)
                .then_some(deflate.server_max_window_bits),
            client_bits: Some((client_bits < BITS_MAX).then_some(client_bits)),
        }
    }

    /// Reads the parameters that follow the name; `None` where one is unknown, twice there, or
    /// malformed.
    pub(crate) fn parse<'a>(
        parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Option<Self> {
        let mut offer = Self::default();
        for (name, value) in parameters {
            let is_new = match (name, value) {
                (SERVER_NO_TAKEOVER, None) => {
                    !std::mem::replace(&mut offer.server_no_takeover, true)
                }
                (CLIENT_NO_TAKEOVER, None) => {
                    !std::mem::replace(&mut offer.client_no_takeover, true)
                }
                (SERVER_BITS, Some(bits)) => {
                    offer.server_bits.replace(window_bits(bits)?).is_none()
                }
                (CLIENT_BITS, None) => offer.client_bits.replace(None).is_none(),
                (CLIENT_BITS, Some(bits)) => {
                    offer.client_bits.replace(Some(window_bits(bits)?)).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }

    /// What a server that would like `deflate` agrees to, and its answer.
    pub(crate) fn accept(&self, deflate: &Deflate) -> (Parameters, Self) {
        let deflate = &deflate.bounded();
        let ours = deflate.server_max_window_bits;
        let server_bits = self.server_bits.map_or(ours, |bits| bits.min(ours));
        let ours = deflate.client_max_window_bits;
        // Who does not say that it understands the parameter may not be told it (section 7.1.2.2).
        let client_bits = self.client_bits.map(|bits| bits.map_or(ours, |bits| bits.min(ours)));
        let answer = Self {
            server_no_takeover: self.server_no_takeover || deflate.server_no_context_takeover,
            client_no_takeover: self.client_no_takeover || deflate.client_no_context_takeover,
            server_bits: (self.server_bits.is_some() || server_bits < BITS_MAX)
                .then_some(server_bits),
            client_bits: client_bits.filter(|bits| *bits < BITS_MAX).map(Some),
        };
        (answer.agreed(deflate), answer)
    }

    /// What a client that offered `self` makes of the server's `answer`; `None` where it is not an
    /// answer to this offer.
    pub(crate) fn agree(&self, answer: &Self, deflate: &Deflate) -> Option<Parameters> {
        let deflate = &deflate.bounded();
        let is_within = |bits: Option<u8>, offered: Option<u8>| match (bits, offered) {
            (Some(bits), Some(offered)) => bits <= offered,
            (Some(_) | None, None) => true,
            (None, Some(_)) => false,
        };
        let is_client_within = match (answer.client_bits, self.client_bits) {
            (None, _) => true,
            (Some(Some(bits)), Some(offered)) => offered.is_none_or(|offered| bits <= offered),
            (Some(_), _) => false,
        };
        let is_answer = is_within(answer.server_bits, self.server_bits)
            && is_client_within
            && (answer.server_no_takeover || !self.server_no_takeover);
        let mut agreed = answer.agreed(deflate);
        // We may keep to less than what the server allows.
        agreed.client_max_window_bits =
            agreed.client_max_window_bits.min(deflate.client_max_window_bits);
        agreed.client_no_context_takeover |= deflate.client_no_context_takeover;
        is_answer.then_some(agreed)
    }

    fn agreed(&self, deflate: &Deflate) -> Parameters {
        Parameters {
            level: deflate.level,
            threshold: deflate.threshold,
            server_no_context_takeover: self.server_no_takeover,
            client_no_context_takeover: self.client_no_takeover,
            server_max_window_bits: self.server_bits.unwrap_or(BITS_MAX),
            client_max_window_bits: self.client_bits.flatten().unwrap_or(BITS_MAX),
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_takeover {
            write!(f, "; {SERVER_NO_TAKEOVER}")?;
        }
        if self.client_no_takeover {
            write!(f, "; {CLIENT_NO_TAKEOVER}")?;
        }
        if let Some(bits) = self.server_bits {
            write!(f, "; {SERVER_BITS}={bits}")?;
        }
        match self.client_bits {
            None => Ok(()),
            Some(None) => write!(f, "; {CLIENT_BITS}"),
            Some(Some(bits)) => write!(f, "; {CLIENT_BITS}={bits}"),
        }
    }
}

/// From 8 to 15, without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok()?;
    ((BITS_MIN..=BITS_MAX).contains(&bits) && !text.starts_with(['0', '+'])).then_some(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_wanted_client_and_server_agree(
            client in deflate(), server in deflate(),
        ) {
            let offer = Offer::of_client(&client);
            let (of_server, answer) = offer.accept(&server);
            let of_client = offer.agree(&reread(&answer), &client);
            prop_assert_eq!(reread(&offer), offer);
            let of_client = of_client.expect("an answer to the offer");
            for role in [Role::Client, Role::Server] {
                let (bits, no_takeover) = of_server.of_sender(role);
                let (ours, ours_no_takeover) = of_client.of_sender(role);
                // A client may keep to less than what was agreed on.
                let is_client = role == Role::Client;
                prop_assert!(ours == bits || is_client && ours < bits);
                prop_assert!(ours_no_takeover == no_takeover || is_client && ours_no_takeover);
            }
        }
    }

    fn deflate() -> impl Strategy<Value = Deflate> {
        any::<([bool; 2], u8, u8)>().prop_map(|([server, client], server_bits, client_bits)| {
            Deflate {
                server_no_context_takeover: server,
                client_no_context_takeover: client,
                server_max_window_bits: server_bits % 20,
                client_max_window_bits: client_bits % 20,
                ..Deflate::default()
            }
        })
    }

    /// As it is read from the other end's header.
    fn reread(offer: &Offer) -> Offer {
        let text = offer.to_string();
        let parts = text.split("; ").skip(1);
        let parts = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        });
        Offer::parse(parts).expect("well-formed")
    }
}
