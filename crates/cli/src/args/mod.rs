//! What may be typed: one definition, from which parsing, help, completions, manual pages and the
//! reference come. Nothing here does anything.

pub mod applies;
pub mod completions;
pub mod connect;
pub mod dial;
pub mod fault;
pub mod get;
pub mod http;
pub mod items;
pub mod lab;
pub mod listen;
pub mod login;
pub mod man;
pub mod output;
pub mod pcap;
pub mod probe;
pub mod relay;
pub mod serve;
pub mod serving;
pub mod stdio;
pub mod tls;
pub mod values;
pub mod websocket;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Parser, Subcommand};

use self::completions::CompletionsArgs;
use self::connect::ConnectArgs;
use self::get::GetArgs;
use self::http::HttpArgs;
use self::lab::LabArgs;
use self::listen::ListenArgs;
use self::man::ManArgs;
use self::output::OutputArgs;
use self::probe::ProbeArgs;
use self::relay::RelayArgs;
use self::serve::ServeArgs;
use crate::exit;

/// Every network protocol, from either end.
#[derive(Debug, Parser)]
#[command(
    name = "portolan",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "Examples:
  portolan probe                        # start every server on loopback and probe them all
  portolan probe https://example.org    # is it up, how fast is each layer, what is broken
  portolan lab                          # the servers alone, to try other programs on",
    after_long_help = long_help()
)]
pub struct Cli {
    /// Output and configuration.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Is it up, how fast is each layer, and if not, which layer is broken and what to do
    Probe(Box<ProbeArgs>),
    /// Join stdin and stdout to a stream, a datagram socket or a WebSocket
    Connect(Box<ConnectArgs>),
    /// Accept connections, and do one thing with each
    Listen(Box<ListenArgs>),
    /// Join any two: listen on one URL, dial the other, for each connection
    Relay(Box<RelayArgs>),
    /// Send one request, and print the answer
    Http(Box<HttpArgs>),
    /// Fetch files: many at once, whole or not there, from where an earlier run has stopped
    Get(Box<GetArgs>),
    /// Start one real server
    Serve(ServeArgs),
    /// Start every server on loopback, with faults on demand
    Lab(LabArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// The definition of the whole command line.
#[must_use]
pub fn command() -> Command {
    // As with curl, the last of a flag that is given twice counts. Who names two places to listen at
    // means both, and is told that it cannot be.
    let again = |flag: Arg| match flag.get_action() {
        _ if flag.is_positional() || flag.get_id() == "listen" => flag,
        ArgAction::Set | ArgAction::SetTrue => flag.clone().overrides_with(flag.get_id()),
        _ => flag,
    };
    let verb = move |verb: Command| verb.mut_args(again);
    Cli::command().mut_args(again).mut_subcommands(|it| verb(it.mut_subcommands(verb)))
}

/// Every verb with its words, such as `probe`, and `serve http` where a verb has protocols.
#[must_use]
pub fn verbs(command: &Command) -> Vec<(String, &Command)> {
    let mut verbs = Vec::new();
    for verb in command.get_subcommands() {
        let name = verb.get_name();
        if verb.has_subcommands() {
            let protocols = verb.get_subcommands();
            verbs.extend(protocols.map(|it| (format!("{name} {}", it.get_name()), it)));
        } else {
            verbs.push((name.to_owned(), verb));
        }
    }
    verbs
}

/// The words of the verb that was typed, and what was typed for it.
#[must_use]
pub fn typed(matches: &ArgMatches) -> (String, &ArgMatches) {
    let Some((name, verb)) = matches.subcommand() else { return (String::new(), matches) };
    match verb.subcommand() {
        Some((protocol, verb)) => (format!("{name} {protocol}"), verb),
        None => (name.to_owned(), verb),
    }
}

/// What holds for every verb: configuration and exit codes.
fn long_help() -> String {
    let codes = exit::CODES.map(|(code, meaning)| format!("  {code:>3}  {meaning}"));
    format!("{CONFIGURATION}\n\nExit codes:\n{}", codes.join("\n"))
}

const CONFIGURATION: &str = "\
Configuration:
  Every flag can have another default. On the command line it counts most, then in the variable
  PORTOLAN_FLAG_NAME, then in $XDG_CONFIG_HOME/portolan/config.toml (else ~/.config):

    connect-timeout = \"5s\"      # for every verb that has the flag
    [probe]                     # for one verb
    expect = [\"status=200\"]
    [serve.http]
    hidden = true";

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_definition_fills_the_structs() {
        let lines = ["probe --concurrency 3 --retry 2", "lab --seed 7", "completions fish", "man"];
        for line in lines {
            let argv = std::iter::once("portolan").chain(line.split(' '));
            let matches = command().try_get_matches_from(argv).unwrap();
            assert!(Cli::from_arg_matches(&matches).is_ok(), "{line}");
        }
    }

    #[test]
    fn every_flag_has_a_short_help_of_one_line() {
        for (_, verb) in verbs(&command()) {
            for flag in verb.get_arguments() {
                let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && help.len() <= 100, "{}: {help}", flag.get_id());
                assert!(flag.get_long_help().is_none(), "{}", flag.get_id());
            }
        }
    }
}
