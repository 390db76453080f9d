//! What clap refuses, in the house's words: one sentence with the flag, the value and what is
//! allowed, and a hint apart.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use portolan::{Error, Kind, redact};

use crate::args;

/// Whether this is not an error, but help or the version to be printed.
pub(crate) fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// The refusal that `error` means. `place` says where a flag's value came from: on the command
/// line, the flag itself.
pub(crate) fn refusal(error: &clap::Error, place: impl Fn(&str) -> String) -> Error {
    let name = |kind| text(error, kind).map(|argument| place(bare(&argument)));
    let argument = name(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let sentence = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("there is no flag '{argument}' here")
        }
        ErrorKind::UnknownArgument => format!("'{argument}' is one argument too many"),
        ErrorKind::InvalidSubcommand => {
            let typed = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            match protocols(error) {
                Some(protocols) => {
                    format!("there is no server of '{typed}'; it must be one of {protocols}")
                }
                None => format!("there is no verb '{typed}'; the verbs are {}", verbs()),
            }
        }
        ErrorKind::MissingSubcommand => missing(error),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{argument} needs a value{}", allowed(error))
        }
        ErrorKind::InvalidValue => {
            format!("invalid value '{value}' for {argument}{}", allowed(error))
        }
        ErrorKind::ValueValidation => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("invalid value '{value}' for {argument}{cause}")
        }
        ErrorKind::ArgumentConflict => {
            let prior = name(ContextKind::PriorArg).unwrap_or_else(|| "another flag".to_owned());
            match argument == prior {
                true => format!("{argument} is given twice, and can have one value only"),
                false => format!("{argument} cannot be used with {prior}"),
            }
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        _ => first_line(error),
    };
    let refusal = Error::new(Kind::Usage, sentence);
    match suggestion(error) {
        Some(suggestion) => refusal.with_hint(suggestion),
        None => refusal,
    }
}

/// A verb is missing, or after one like `serve` the protocol.
fn missing(error: &clap::Error) -> String {
    let typed = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    match (typed.split_once(' '), error.get(ContextKind::ValidSubcommand)) {
        (Some((_, verb)), Some(ContextValue::Strings(protocols))) => {
            format!("{verb} needs a protocol: one of {}", protocols.join(", "))
        }
        _ => format!("a verb is missing: one of {}", verbs()),
    }
}

fn verbs() -> String {
    let command = args::command();
    let verbs: Vec<_> = args::verbs(&command).into_iter().map(|(verb, _)| verb).collect();
    verbs.join(", ")
}

/// What may follow a verb like `serve`, where it was typed.
fn protocols(error: &clap::Error) -> Option<String> {
    let usage = error.get(ContextKind::Usage)?.to_string();
    let command = args::command();
    let mut verbs = command.get_subcommands().filter(|verb| verb.has_subcommands());
    let verb = verbs.find(|verb| usage.contains(&format!("portolan {} ", verb.get_name())))?;
    let protocols: Vec<_> = verb.get_subcommands().map(clap::Command::get_name).collect();
    Some(protocols.join(", "))
}

fn allowed(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!(": it must be one of {}", values.join(", "))
        }
        _ => String::new(),
    }
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let typed = text(error, ContextKind::InvalidArg).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument
        && matches!(bare(&typed), "--port" | "-p")
        && error.get(ContextKind::Usage)?.to_string().contains("portolan serve ")
    {
        return Some("the port is a part of where to listen, as in --listen :8080".to_owned());
    }
    let meant = text(error, ContextKind::SuggestedArg)
        .or_else(|| text(error, ContextKind::SuggestedSubcommand))?;
    Some(format!("did you mean {}?", bare(&meant)))
}

/// The first of what clap knows under `kind`, without secrets.
fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let text = match error.get(kind)? {
        ContextValue::String(text) => text,
        ContextValue::Strings(texts) => texts.first()?,
        _ => return None,
    };
    // A password may hold spaces, and the text is still one URL.
    Some(if text.contains('@') { redact(&text.replace(' ', "%20")) } else { text.clone() })
}

/// The name alone of what clap shows as `--flag <VALUE>`, `[URL]...` or `<SHELL>`.
fn bare(argument: &str) -> &str {
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    name.trim_end_matches('.').trim_matches(['[', ']', '<', '>'])
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &[&str]) -> (String, Option<String>) {
        let error = args::command().try_get_matches_from(line).unwrap_err();
        let error = refusal(&error, str::to_owned);
        (error.to_string(), error.hint().map(str::to_owned))
    }

    #[test]
    fn refusals_name_the_flag_the_value_and_what_is_allowed() {
        let sentence = |line: &[&str]| refused(line).0;
        assert_eq!(
            sentence(&["portolan", "probe", "--timeout", "10"]),
            "invalid value '10' for --timeout: not a duration such as 250ms, 10s or 2m"
        );
        assert_eq!(
            sentence(&["portolan", "probe", "--tls-min=1.1"]),
            "invalid value '1.1' for --tls-min: it must be one of 1.2, 1.3"
        );
        assert_eq!(sentence(&["portolan", "probe", "--timeout"]), "--timeout needs a value");
        assert_eq!(
            sentence(&["portolan", "probe", "-6", "-4"]),
            "--ipv6 cannot be used with --ipv4"
        );
        assert_eq!(
            sentence(&["portolan", "probe", "ftpx://h/"]),
            format!("invalid value 'ftpx://h/' for URL: {}", portolan::UrlError::UnknownScheme)
        );
        for line in [
            &["portolan", "serve", "http", "--listen", ":1", "--listen", ":2"][..],
            &["portolan", "serve", "http", "--listen=:1", "--listen=:1", "."],
        ] {
            let twice = "--listen is given twice, and can have one value only";
            assert_eq!(sentence(line), twice);
        }
        assert_eq!(sentence(&["portolan", "completions"]), "SHELL is missing");
        assert_eq!(
            sentence(&["portolan", "serve", "--json"]),
            "serve needs a protocol: one of http, ws"
        );
        assert_eq!(sentence(&["portolan", "lab", "x"]), "'x' is one argument too many");
        assert_eq!(
            sentence(&["portolan", "--json"]),
            "a verb is missing: one of probe, connect, listen, relay, http, get, serve http, serve ws, lab, completions, man"
        );
    }

    #[test]
    fn the_last_of_a_flag_that_is_repeated_counts() {
        let line = ["portolan", "probe", "-k", "--retry=1", "-vv", "-k", "--retry", "2", "-v"];
        let matches = args::command().try_get_matches_from(line).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        assert_eq!(matches.get_one::<u32>("retry"), Some(&2));
    }

    #[test]
    fn near_misses_are_suggested() {
        assert_eq!(
            refused(&["portolan", "probe", "--conect-timeout=1s"]),
            (
                "there is no flag '--conect-timeout' here".to_owned(),
                Some("did you mean --connect-timeout?".to_owned())
            )
        );
        assert_eq!(refused(&["portolan", "prob"]).1.as_deref(), Some("did you mean probe?"));
        let (sentence, hint) = refused(&["portolan", "serve", "htp"]);
        assert_eq!(sentence, "there is no server of 'htp'; it must be one of http, ws");
        assert_eq!(hint.as_deref(), Some("did you mean http?"));
        for port in [&["--port", "8080"][..], &["--port=8080"], &["-p", "8080"]] {
            let hint = refused(&[&["portolan", "serve", "http"], port].concat()).1;
            let hint = hint.unwrap_or_default();
            assert!(hint.ends_with("as in --listen :8080"), "{port:?}: {hint}");
        }
    }
}
