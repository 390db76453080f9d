//! The words that name a fault: reading and printing, nothing else.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use portolan_core::Transport;
use portolan_core::units;

/// A fault: where it strikes and what it does, as `[WHERE:]ACTION[,ACTION…]`.
///
/// `WHERE` is made of words, each of which narrows the choice; without one the fault strikes
/// everywhere:
///
/// | word | picks |
/// | --- | --- |
/// | `smtp` | the server of that name |
/// | `conn=3`, `conn=2..5` | the third connection; the second to the fifth, both included |
/// | `10%`, `1/3` | that share of the connections, chosen by the plan's seed |
/// | `RCPT`, `RCPT=2` | each such event of the protocol; only the second on a connection |
/// | `GET /slow`, `GET=2 /slow` | the same, for that path alone |
///
/// The first colon ends `WHERE`, so a colon in a path is written `%3A`. The actions:
///
/// | action | effect |
/// | --- | --- |
/// | `latency=100ms` | delays what the server sends |
/// | `jitter=20ms` | makes the latency vary by up to that much either way |
/// | `bandwidth=64KiB/s` | paces what the server sends |
/// | `cut=10KiB` | closes the connection after the server has sent that much |
/// | `reset` | resets the connection (RST): at once, or where `cut` says |
/// | `stall` | falls silent for ever: at once, or where `cut` says |
/// | `refuse` | does not listen at all; a chosen connection is reset |
/// | `reply=421`, `reply=421 too busy` | answers the event with this, and does not act on it |
/// | `corrupt=1/1000` | flips a bit in that share of the bytes that the server sends |
/// | `loss=5%`, `duplicate=5%`, `reorder=5%` | does so to that share of the datagrams |
///
/// With an event, `latency`, `jitter`, `reset`, `stall` and `reply` act when it comes; the other
/// actions are for whole connections. The text of a `reply` may hold colons, and commas that no
/// action follows.
///
/// ```
/// use portolan_net::fault::Fault;
///
/// let fault: Fault = "smtp RCPT=2: reply=421,latency=3s".parse()?;
/// assert_eq!(fault.to_string(), "smtp RCPT=2: reply=421,latency=3s");
///
/// let error = "slow".parse::<Fault>().unwrap_err().to_string();
/// assert!(error.starts_with("'slow' is not an action; one of latency, jitter, "));
/// # Ok::<(), portolan_net::fault::FaultError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) place: Where,
    pub(super) actions: Vec<Action>,
}

/// What a fault strikes; whatever is not named, it strikes all of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Where {
    pub(super) server: Option<String>,
    pub(super) connections: Option<RangeInclusive<u64>>,
    pub(super) share: Option<Share>,
    pub(super) event: Option<Event>,
}

/// An event of a protocol: a verb, and for HTTP a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    verb: String,
    pub(super) nth: Option<u64>,
    path: Option<String>,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Latency(Duration),
    Jitter(Duration),
    Bandwidth(u64),
    Cut(u64),
    Reset,
    Stall,
    Refuse,
    Reply(Reply),
    Corrupt(Share),
    Loss(Share),
    Duplicate(Share),
    Reorder(Share),
}

/// The answer that a server gives to an event instead of acting on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The protocol's status code, from 100 to 999.
    pub code: u16,
    /// The words after it; the server's own words for the code where there are none.
    pub text: Option<String>,
}

/// So many out of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) count: u32,
    pub(super) of: u32,
}

/// Why a text is not a fault. Each is one sentence that says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// An action that there is not.
    #[error("'{0}' is not an action; one of {actions} is", actions = ACTIONS.join(", "))]
    Action(String),
    /// A word before the colon that picks nothing.
    #[error(
        "'{0}' picks nothing; before the colon stand a server's name, conn=3, conn=2..5, a share \
         such as 10%, or an event such as RCPT=2 or 'GET /slow'"
    )]
    Place(String),
    /// An action whose value is missing, or is not what the action takes.
    #[error("{action} takes {takes}, not '{value}'")]
    Value {
        /// The action.
        action: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What was given.
        value: String,
    },
    /// The same thing said twice in one fault.
    #[error("{0} is given twice; one fault says it once")]
    Twice(&'static str),
    /// Two parts that make no sense together.
    #[error("{0} and {1} do not go together; {2}")]
    Conflict(&'static str, &'static str, &'static str),
}

const ACTIONS: [&str; 12] = [
    "latency",
    "jitter",
    "bandwidth",
    "cut",
    "reset",
    "stall",
    "refuse",
    "reply",
    "corrupt",
    "loss",
    "duplicate",
    "reorder",
];

impl Fault {
    /// The name of the server that it strikes, where it names one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.place.server.as_deref()
    }

    /// Whether only a server that asks [`Faults::event`](super::Faults::event) can bring it about.
    #[must_use]
    pub fn needs_event(&self) -> bool {
        let replies = self.actions.iter().any(|action| matches!(action, Action::Reply(_)));
        self.place.event.is_some() || replies
    }

    /// Whether everything that it does can be done to this transport.
    #[must_use]
    pub fn fits(&self, transport: Transport) -> bool {
        let other = match transport {
            Transport::Udp | Transport::UnixDatagram => Medium::Stream,
            Transport::Tcp | Transport::Tls | Transport::Unix => Medium::Datagram,
        };
        self.actions.iter().all(|action| action.medium() != Some(other))
    }

    /// Refuses what makes no sense together.
    fn check(&self) -> Result<(), FaultError> {
        let names: Vec<_> = self.actions.iter().map(Action::name).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(FaultError::Twice(name));
            }
        }
        let conflict = |pair: Option<(&'static str, &'static str)>, rule| match pair {
            Some((one, other)) => Err(FaultError::Conflict(one, other, rule)),
            None => Ok(()),
        };
        let with = |one, is_wrong: &dyn Fn(&str) -> bool| {
            let other = names.iter().find(|name| **name != one && is_wrong(name));
            other.filter(|_| names.contains(&one)).map(|other| (one, *other))
        };
        let of = |medium| self.actions.iter().find(|action| action.medium() == Some(medium));
        let media = of(Medium::Stream).zip(of(Medium::Datagram));
        conflict(
            media.map(|(stream, datagram)| (stream.name(), datagram.name())),
            "the first is for streams, the second for datagrams",
        )?;
        conflict(with("refuse", &|_| true), "what is refused comes to nothing else")?;
        conflict(with("reset", &|name| name == "stall"), "a connection ends in one way")?;
        if self.needs_event() {
            let event = if self.place.event.is_some() { "an event" } else { "reply" };
            let misfit = names.iter().find(|name| !EVENT_ACTIONS.contains(name));
            let rule = "an event takes latency, jitter, reset, stall and reply";
            conflict(misfit.map(|name| (event, *name)), rule)?;
            let ends = |name: &str| matches!(name, "reset" | "stall");
            conflict(with("reply", &ends), "an event has one outcome")
        } else if names.contains(&"cut") {
            Ok(())
        } else {
            let rule = "it happens at once unless cut=SIZE says when";
            conflict(with("reset", &|_| true), rule)?;
            conflict(with("stall", &|_| true), rule)
        }
    }
}

/// The longest latency or jitter: more is a mistake.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The actions that can answer an event.
const EVENT_ACTIONS: [&str; 5] = ["latency", "jitter", "reset", "stall", "reply"];

/// What an action can only be done to.
#[derive(Clone, Copy, PartialEq)]
enum Medium {
    Stream,
    Datagram,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let text = text.trim();
        let (place, actions) = match text.split_once(':') {
            Some((place, actions)) if action_name(text).is_none() => (place.parse()?, actions),
            _ => (Where::default(), text),
        };
        let fault = Self { place, actions: parse_actions(actions)? };
        fault.check()?;
        Ok(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Where::default() {
            write!(f, "{}: ", self.place)?;
        }
        for (index, action) in self.actions.iter().enumerate() {
            write!(f, "{}{action}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Where {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut place = Self::default();
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Err(FaultError::Place(text.to_owned()));
        }
        while let Some(word) = words.next() {
            let unknown = || FaultError::Place(word.to_owned());
            let first = word.chars().next().unwrap_or_default();
            if let Some(numbers) = word.strip_prefix("conn=") {
                let numbers = parse_range(numbers).ok_or_else(unknown)?;
                set(&mut place.connections, numbers, "conn")?;
            } else if first.is_ascii_uppercase() {
                let path = words.next_if(|word| word.starts_with('/'));
                let event = Event::parse(word, path).ok_or_else(unknown)?;
                set(&mut place.event, event, "the event")?;
            } else if first.is_ascii_lowercase() && word.bytes().all(is_name_byte) {
                set(&mut place.server, word.to_owned(), "the server")?;
            } else {
                set(&mut place.share, Share::parse(word).ok_or_else(unknown)?, "the share")?;
            }
        }
        Ok(place)
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections.as_ref().map(|range| match range.clone().into_inner() {
            (first, last) if first == last => format!("conn={first}"),
            (first, last) => format!("conn={first}..{last}"),
        });
        let share = self.share.map(|share| share.to_string());
        let event = self.event.as_ref().map(Event::to_string);
        let words = [self.server.clone(), connections, share, event];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl Event {
    fn parse(word: &str, path: Option<&str>) -> Option<Self> {
        let (verb, nth) = match word.split_once('=') {
            Some((verb, nth)) => (verb, Some(parse_number(nth)?)),
            None => (word, None),
        };
        let is_verb = verb.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        is_verb.then(|| Self { verb: verb.to_owned(), nth, path: path.map(str::to_owned) })
    }

    /// Whether a server means this event when it says `name`: a verb, and for HTTP a space and
    /// the path.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (verb, path) = name.split_once(' ').unwrap_or((name, ""));
        self.verb == verb && self.path.as_deref().is_none_or(|wanted| wanted == path)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        if let Some(nth) = self.nth {
            write!(f, "={nth}")?;
        }
        match &self.path {
            Some(path) => write!(f, " {path}"),
            None => Ok(()),
        }
    }
}

/// Reads actions that stand between commas. A comma in the text of a reply ends it only where an
/// action's name follows.
fn parse_actions(text: &str) -> Result<Vec<Action>, FaultError> {
    let mut pieces: Vec<String> = Vec::new();
    for piece in text.split(',') {
        match pieces.last_mut() {
            Some(reply) if action_name(piece).is_none() && has_reply_text(reply) => {
                reply.push(',');
                reply.push_str(piece);
            }
            _ => pieces.push(piece.trim_start().to_owned()),
        }
    }
    pieces.iter().map(|piece| piece.trim_end().parse()).collect()
}

/// The action that a text begins with.
fn action_name(text: &str) -> Option<&'static str> {
    let word = text.split(['=', ',']).next().unwrap_or_default().trim();
    ACTIONS.into_iter().find(|name| *name == word)
}

fn has_reply_text(piece: &str) -> bool {
    piece.strip_prefix("reply=").is_some_and(|value| value.contains(' '))
}

impl Action {
    const fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Jitter(_) => "jitter",
            Self::Bandwidth(_) => "bandwidth",
            Self::Cut(_) => "cut",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::Refuse => "refuse",
            Self::Reply(_) => "reply",
            Self::Corrupt(_) => "corrupt",
            Self::Loss(_) => "loss",
            Self::Duplicate(_) => "duplicate",
            Self::Reorder(_) => "reorder",
        }
    }

    const fn medium(&self) -> Option<Medium> {
        match self {
            Self::Bandwidth(_) | Self::Cut(_) | Self::Reset => Some(Medium::Stream),
            Self::Loss(_) | Self::Duplicate(_) | Self::Reorder(_) => Some(Medium::Datagram),
            Self::Latency(_)
            | Self::Jitter(_)
            | Self::Stall
            | Self::Refuse
            | Self::Reply(_)
            | Self::Corrupt(_) => None,
        }
    }
}

impl FromStr for Action {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let Some(action) = action_name(text) else {
            return Err(FaultError::Action(text.to_owned()));
        };
        let given = text.split_once('=').map(|(_, value)| value.trim());
        let value = given.unwrap_or_default();
        let wrong = |takes| FaultError::Value { action, takes, value: value.to_owned() };
        let duration = || {
            let time = units::duration(value).ok().filter(|time| *time <= LONGEST);
            time.ok_or_else(|| wrong("a duration such as 250ms, at most 24h"))
        };
        let share = || Share::parse(value).ok_or_else(|| wrong("a share such as 5% or 1/1000"));
        let bare = |bare: Self| given.map_or(Ok(bare), |_| Err(wrong("no value")));
        match action {
            "latency" => duration().map(Self::Latency),
            "jitter" => duration().map(Self::Jitter),
            "bandwidth" => {
                let rate = units::byte_rate(value).map_err(|_| wrong("a rate such as 64KiB/s"));
                rate.map(Self::Bandwidth)
            }
            "cut" => units::size(value).map(Self::Cut).map_err(|_| wrong("a size such as 10KiB")),
            "reset" => bare(Self::Reset),
            "stall" => bare(Self::Stall),
            "refuse" => bare(Self::Refuse),
            "reply" => {
                let takes = "a code from 100 to 999 and perhaps a text, as in reply=421 too busy";
                Reply::parse(value).map(Self::Reply).ok_or_else(|| wrong(takes))
            }
            "corrupt" => share().map(Self::Corrupt),
            "loss" => share().map(Self::Loss),
            "duplicate" => share().map(Self::Duplicate),
            _ => share().map(Self::Reorder),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Latency(time) | Self::Jitter(time) => write!(f, "{name}={}", exact_time(*time)),
            Self::Bandwidth(rate) => write!(f, "{name}={}/s", exact_size(*rate)),
            Self::Cut(size) => write!(f, "{name}={}", exact_size(*size)),
            Self::Reset | Self::Stall | Self::Refuse => f.write_str(name),
            Self::Reply(Reply { code, text: None }) => write!(f, "{name}={code}"),
            Self::Reply(Reply { code, text: Some(text) }) => write!(f, "{name}={code} {text}"),
            Self::Corrupt(share)
            | Self::Loss(share)
            | Self::Duplicate(share)
            | Self::Reorder(share) => write!(f, "{name}={share}"),
        }
    }
}

impl Reply {
    fn parse(value: &str) -> Option<Self> {
        let (code, text) = value.split_once(' ').unwrap_or((value, ""));
        let code = parse_number(code).filter(|code| (100..1000).contains(code))?;
        let text = text.trim();
        // A line break would let the text forge lines of the protocol.
        let is_line = !text.chars().any(char::is_control);
        let text = (!text.is_empty()).then(|| text.to_owned());
        is_line.then_some(Self { code: u16::try_from(code).ok()?, text })
    }
}

impl Share {
    /// Reads `10%`, `0.25%` or `1/1000`: more than nothing, at most all.
    fn parse(text: &str) -> Option<Self> {
        let (count, of) = match text.strip_suffix('%') {
            Some(percent) => {
                let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
                let of =
                    10_u32.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(100)?;
                (parse_digits(&format!("{whole}{fraction}"))?, u64::from(of))
            }
            None => {
                let (count, of) = text.split_once('/')?;
                (parse_digits(count)?, parse_digits(of)?)
            }
        };
        let share = Self { count: u32::try_from(count).ok()?, of: u32::try_from(of).ok()? };
        (share.count > 0 && share.count <= share.of).then_some(share)
    }

    /// Throws dice of `of` sides.
    pub(super) fn strikes(self, dice: &mut fastrand::Rng) -> bool {
        dice.u32(..self.of) < self.count
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            100 => write!(f, "{}%", self.count),
            of => write!(f, "{}/{of}", self.count),
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), FaultError> {
    slot.replace(value).map_or(Ok(()), |_| Err(FaultError::Twice(name)))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Reads `3` or `2..5`.
fn parse_range(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let range = parse_number(first)?..=parse_number(last)?;
    (!range.is_empty()).then_some(range)
}

/// Reads a number that counts from 1.
fn parse_number(text: &str) -> Option<u64> {
    parse_digits(text).filter(|number| *number > 0)
}

/// Reads digits and nothing else: Rust's own parser takes a `+` too.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A duration in the largest unit that holds it whole.
fn exact_time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.into_iter().find(|(size, _)| nanos.is_multiple_of(*size));
    let (size, name) = unit.unwrap_or((1, "ns"));
    format!("{}{name}", nanos / size)
}

/// A size in the largest unit that holds it whole.
fn exact_size(size: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(bytes, _)| size > 0 && size.is_multiple_of(*bytes));
    let (bytes, name) = unit.unwrap_or((1, ""));
    format!("{}{name}", size / bytes)
}
