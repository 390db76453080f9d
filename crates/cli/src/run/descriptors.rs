//! File descriptors: as many as the system allows, and no more sockets than these.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is left for all but the connections: files, look-ups, the runtime.
const RESERVE: u64 = 64;
/// How many sockets a connection may need at once, while addresses race (RFC 8305).
const SOCKETS: u64 = 2;

/// Raises the limit of open files as far as this process may, which many systems set low for the
/// sake of programs that use `select`.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, what there is must do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many connections can be dialled at once within the limit of open files; at least one.
pub(super) fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, within)
}

fn within(limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(RESERVE) / SOCKETS).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_in_the_limit() {
        assert_eq!(within(256), 96);
        assert_eq!(within(0), 1);
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
