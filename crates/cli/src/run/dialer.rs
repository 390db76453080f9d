//! From the flags of dialling to what the network floor wants.

use std::time::Duration;

use portolan::net::Retry;
use portolan::{Backoff, Timeouts};

use crate::args::dial::DialArgs;

impl DialArgs {
    /// The time limits; `operation` is what the verb allows where no `--timeout` is given. Zero
    /// means no limit.
    #[must_use]
    pub fn timeouts(&self, operation: Option<Duration>) -> Timeouts {
        let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
        Timeouts {
            connect: limit(self.connect_timeout),
            operation: self.timeout.map_or(operation, limit),
            idle: self.idle_timeout.and_then(limit),
        }
    }

    /// How often to try again. Processes that fail together do not try again together.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let backoff = Backoff::default();
        Retry {
            count: self.retry,
            backoff: Backoff {
                first: self.retry_backoff,
                max: backoff.max.max(self.retry_backoff),
                seed: u64::from(std::process::id()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};

    fn dial(line: &str) -> DialArgs {
        match Cli::parse_from(line.split(' ')).verb {
            Verb::Probe(args) => args.dial,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let verb = Some(Duration::from_secs(30));
        assert_eq!(
            dial("portolan probe").timeouts(verb),
            Timeouts { operation: verb, ..Timeouts::default() }
        );
        assert_eq!(
            dial("portolan probe --connect-timeout 0 --timeout 0 --idle-timeout 2s").timeouts(verb),
            Timeouts { connect: None, operation: None, idle: Some(Duration::from_secs(2)) }
        );
    }

    #[test]
    fn a_long_first_pause_is_not_cut_short() {
        let retry = dial("portolan probe --retry 2 --retry-backoff 1m").retry();
        assert_eq!((retry.count, retry.backoff.max), (2, Duration::from_secs(60)));
        assert_eq!(dial("portolan probe").retry().count, Retry::default().count);
    }
}
