//! Defaults for flags from the environment and the configuration file: a flag counts more than
//! `PORTOLAN_*`, and that more than the file.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use portolan::{Error, Kind};

use crate::args::{self, Cli};
use crate::{config, usage};

/// A flag's value from outside the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag's name, without dashes.
    pub(crate) flag: String,
    pub(crate) value: Value,
    /// Where it stands, as messages name it.
    pub(crate) place: String,
}

/// A value in the form that its flag takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Flag(bool),
    Count(u8),
    Texts(Vec<String>),
}

/// Completes the command line `argv`, which parsed as `given`, with the settings of its verb.
///
/// # Errors
/// [`Kind::Usage`] for a setting that makes no sense, [`Kind::Read`] for a file that cannot be
/// read.
pub(crate) fn complete(
    argv: &[OsString],
    given: &ArgMatches,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Cli, Error> {
    let mut command = args::command();
    let settings = settings(&command, given, environment)?;
    if settings.is_empty() {
        return Cli::from_arg_matches(given).map_err(|error| usage::refusal(&error, str::to_owned));
    }
    for setting in settings {
        command = with_default(command, given, &setting);
    }
    command
        .try_get_matches_from(argv)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| usage::refusal(&error, str::to_owned))
}

/// Whether a flag can be set from outside the command line.
pub(crate) fn is_setting(flag: &Arg) -> bool {
    !flag.is_positional() && !["help", "version"].contains(&flag.get_id().as_str())
}

/// The flags of `verb`, with those of every verb.
pub(crate) fn flags<'a>(command: &'a Command, verb: &str) -> impl Iterator<Item = &'a Arg> {
    let of_verb = find(command, verb).into_iter().flat_map(Command::get_arguments);
    command.get_arguments().chain(of_verb).filter(|flag| is_setting(flag))
}

/// The verb of these words.
fn find<'a>(command: &'a Command, verb: &str) -> Option<&'a Command> {
    verb.split(' ').try_fold(command, |command, word| command.find_subcommand(word))
}

/// The settings for the verb that was given, one a flag, without those that what was given rules
/// out.
fn settings(
    command: &Command,
    given: &ArgMatches,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<Setting>, Error> {
    let (verb, _) = args::typed(given);
    let verb = verb.as_str();
    let variables = variables(command, verb, environment)?;
    let is_without_file = given.get_flag("no_config")
        || variables.iter().any(|s| s.flag == "no-config" && s.value == Value::Flag(true));
    let file = match config::path(environment) {
        Some(path) if !is_without_file => config::read(&path, command, verb)?,
        _ => Vec::new(),
    };
    let mut settings: Vec<Setting> = Vec::new();
    for layer in [file, variables] {
        check(command, verb, &layer)?;
        settings
            .retain(|lower| !layer.iter().any(|s| excludes(command, verb, &s.flag, &lower.flag)));
        settings.extend(layer);
    }
    let typed: Vec<_> = flags(command, verb)
        .filter(|flag| is_typed(given, flag))
        .filter_map(Arg::get_long)
        .collect();
    settings.retain(|s| !typed.iter().any(|flag| excludes(command, verb, flag, &s.flag)));
    Ok(settings)
}

/// The settings in `PORTOLAN_*`. An empty variable is none.
fn variables(
    command: &Command,
    verb: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for flag in flags(command, verb) {
        let Some(name) = flag.get_long() else { continue };
        let variable = format!("PORTOLAN_{}", name.to_uppercase().replace('-', "_"));
        if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
            let value = variable_value(flag, &variable, &text)?;
            settings.push(Setting { flag: name.to_owned(), value, place: variable });
        }
    }
    Ok(settings)
}

fn variable_value(flag: &Arg, variable: &str, text: &OsStr) -> Result<Value, Error> {
    let wrong =
        |allowed: &str| Err(Error::new(Kind::Usage, format!("{variable} must be {allowed}")));
    let Some(text) = text.to_str() else { return wrong("UTF-8") };
    match flag.get_action() {
        ArgAction::SetTrue => match text.to_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Value::Flag(true)),
            "0" | "false" | "no" | "off" => Ok(Value::Flag(false)),
            _ => wrong("1 or 0, true or false, yes or no, on or off"),
        },
        ArgAction::Count => match text.parse() {
            Ok(count @ 0..=9) => Ok(Value::Count(count)),
            _ => wrong("a number from 0 to 9"),
        },
        _ => Ok(Value::Texts(vec![text.to_owned()])),
    }
}

/// Parses the settings as if they were typed, so that one that makes no sense is named with its
/// place.
fn check(command: &Command, verb: &str, layer: &[Setting]) -> Result<(), Error> {
    let words = std::iter::once(command.get_name()).chain(verb.split(' ')).map(str::to_owned);
    let argv = words.chain(layer.iter().flat_map(typed));
    let place = |flag: &str| {
        let setting = layer.iter().find(|setting| flag.strip_prefix("--") == Some(&setting.flag));
        setting.map_or_else(|| flag.to_owned(), |setting| setting.place.clone())
    };
    match command.clone().try_get_matches_from(argv) {
        // What else the verb needs is on the real command line.
        Err(error) if error.kind() != clap::error::ErrorKind::MissingRequiredArgument => {
            Err(usage::refusal(&error, place))
        }
        _ => Ok(()),
    }
}

/// The setting as it would be typed.
fn typed(setting: &Setting) -> Vec<String> {
    let flag = format!("--{}", setting.flag);
    match &setting.value {
        Value::Flag(on) => vec![flag; usize::from(*on)],
        Value::Count(count) => vec![flag; usize::from(*count)],
        Value::Texts(texts) => texts.iter().map(|text| format!("{flag}={text}")).collect(),
    }
}

fn is_typed(given: &ArgMatches, flag: &Arg) -> bool {
    let (_, given) = args::typed(given);
    given.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// Whether `flag` leaves no place for a lower setting of `other`: it is the same flag, or one that
/// cannot stand with it.
fn excludes(command: &Command, verb: &str, flag: &str, other: &str) -> bool {
    let conflicts = |owner: &Command| {
        let flag = owner.get_arguments().find(|arg| arg.get_long() == Some(flag));
        flag.is_some_and(|flag| {
            let conflicts = owner.get_arg_conflicts_with(flag);
            conflicts.iter().any(|conflict| conflict.get_long() == Some(other))
        })
    };
    flag == other || conflicts(command) || find(command, verb).is_some_and(conflicts)
}

/// The command with the setting as its flag's default.
fn with_default(command: Command, given: &ArgMatches, setting: &Setting) -> Command {
    let defaults = match &setting.value {
        Value::Flag(on) => vec![on.to_string()],
        Value::Count(count) => vec![count.to_string()],
        Value::Texts(texts) => texts.clone(),
    };
    let set = |command: Command| {
        command.mut_args(|flag| match flag.get_long() {
            Some(name) if name == setting.flag => flag.default_values(&defaults),
            _ => flag,
        })
    };
    let Some((verb, given)) = given.subcommand() else { return set(command) };
    set(command).mut_subcommand(verb, |verb| match given.subcommand_name() {
        Some(protocol) => verb.mut_subcommand(protocol, set),
        None => set(verb),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::args::Verb;
    use crate::args::probe::ProbeArgs;

    /// What `line` means with this file and these variables.
    fn completed(line: &str, file: &str, variables: &[(&str, &str)]) -> Result<Cli, String> {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("portolan")).unwrap();
        fs::write(home.path().join("portolan/config.toml"), file).unwrap();
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let given = args::command().try_get_matches_from(&argv).unwrap();
        let environment = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(home.path().into()),
            _ => variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()),
        };
        complete(&argv, &given, &environment).map_err(|error| error.to_string())
    }

    fn probe(cli: Cli) -> ProbeArgs {
        match cli.verb {
            Verb::Probe(args) => *args,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn a_flag_counts_more_than_a_variable_and_that_more_than_the_file() {
        let file = "connect-timeout = '1s'\ntimeout = '1m'\nretry = 7\nverbose = 1";
        let variables = [("PORTOLAN_CONNECT_TIMEOUT", "2s"), ("PORTOLAN_TIMEOUT", "2m")];
        let cli = completed("portolan probe --connect-timeout 3s", file, &variables).unwrap();
        assert_eq!(cli.output.verbose, 1);
        let dial = probe(cli).dial;
        assert_eq!(dial.connect_timeout, Duration::from_secs(3));
        assert_eq!(dial.timeout, Some(Duration::from_secs(120)));
        assert_eq!(dial.retry, 7);
    }

    #[test]
    fn every_form_of_value_can_be_set() {
        let file = "insecure = true\nalpn = ['h2', 'http/1.1']\n[probe]\nexpect = ['status=200,rtt<1s', 'body~x']\njson = true";
        let variables = [("PORTOLAN_NOPROXY", "a.test,b.test"), ("PORTOLAN_VERBOSE", "2")];
        let cli = completed("portolan probe", file, &variables).unwrap();
        assert!(cli.output.json);
        assert_eq!(cli.output.verbose, 2);
        let args = probe(cli);
        assert!(args.dial.tls.insecure);
        assert_eq!(args.dial.tls.alpn, ["h2", "http/1.1"]);
        assert_eq!(args.dial.noproxy, ["a.test", "b.test"]);
        let expected: Vec<_> = args.expect.iter().flat_map(|list| &list.0).collect();
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(expected, ["status=200", "rtt<1s", "body~x"]);
    }

    #[test]
    fn what_is_given_replaces_a_list() {
        let cli = completed("portolan probe --alpn h2", "alpn = ['http/1.1']", &[]).unwrap();
        assert_eq!(probe(cli).dial.tls.alpn, ["h2"]);
    }

    #[test]
    fn what_is_given_rules_out_what_cannot_stand_with_it() {
        let dial = probe(completed("portolan probe -6", "ipv4 = true", &[]).unwrap()).dial;
        assert!(dial.ipv6 && !dial.ipv4);
        let env = [("PORTOLAN_IPV6", "1")];
        let dial = probe(completed("portolan probe", "ipv4 = true", &env).unwrap()).dial;
        assert!(dial.ipv6 && !dial.ipv4);
        let cli = completed("portolan -q probe", "verbose = 1", &[]).unwrap();
        assert!(cli.output.quiet && cli.output.verbose == 0);
        let both = completed("portolan probe", "ipv4 = true\nipv6 = true", &[]).unwrap_err();
        assert!(both.contains("ipv4 in /") && both.contains("cannot be used with"), "{both}");
    }

    #[test]
    fn the_file_can_be_left_out() {
        let seven = |line, env: &[(&str, &str)]| {
            probe(completed(line, "retry = 7", env).unwrap()).dial.retry == 7
        };
        assert!(seven("portolan probe", &[("PORTOLAN_NO_CONFIG", "0")]));
        assert!(!seven("portolan probe --no-config", &[]));
        assert!(!seven("portolan probe", &[("PORTOLAN_NO_CONFIG", "1")]));
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named_with_its_place() {
        let refused = |file, variables: &[(&str, &str)]| {
            completed("portolan probe", file, variables).unwrap_err()
        };
        let sentence = refused("connect-timeout = 5", &[]);
        assert!(sentence.starts_with("invalid value '5' for connect-timeout in /"), "{sentence}");
        assert!(sentence.ends_with("config.toml: not a duration such as 250ms, 10s or 2m"));
        assert_eq!(
            refused("", &[("PORTOLAN_TLS_MAX", "1.1")]),
            "invalid value '1.1' for PORTOLAN_TLS_MAX: it must be one of 1.2, 1.3"
        );
        let sentence = refused("", &[("PORTOLAN_EXPECT", "status=2000")]);
        assert!(sentence.starts_with("invalid value 'status=2000' for PORTOLAN_EXPECT: "));
        let sentence = refused("[probe]\nexpect = ['rtt<1s', 'colour=red']", &[]);
        assert!(sentence.starts_with("invalid value 'colour=red' for expect in /"), "{sentence}");
        let environment = [("PORTOLAN_FAULT", "slow")];
        let sentence = completed("portolan lab", "", &environment).unwrap_err();
        assert!(sentence.starts_with("invalid value 'slow' for PORTOLAN_FAULT: "), "{sentence}");
        assert_eq!(
            refused("", &[("PORTOLAN_VERBOSE", "very")]),
            "PORTOLAN_VERBOSE must be a number from 0 to 9"
        );
    }
}
