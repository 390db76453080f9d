//! The configuration file: TOML whose keys are flags' names, at the top for every verb that has
//! the flag, and in a table named after a verb for that verb.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Arg, ArgAction, Command};
use portolan::{Error, Kind};

use crate::args;
use crate::settings::{Setting, Value, flags, is_setting};

/// The file's place (XDG Base Directory Specification), where the environment names one.
pub(crate) fn path(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", ".config", environment)?.join("portolan").join("config.toml"))
}

/// The base directory that `variable` names, or else the one of this name under the home.
pub(crate) fn base(
    variable: &str,
    under_home: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(under_home)))
}

/// The settings in the file at `path` that are for `verb`; none where there is no file.
pub(crate) fn read(path: &Path, command: &Command, verb: &str) -> Result<Vec<Setting>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path, command, verb),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => {
            let message = format!("could not read {}", path.display());
            Err(Error::new(Kind::Read, message).with_source(cause))
        }
    }
}

fn parse(text: &str, path: &Path, command: &Command, verb: &str) -> Result<Vec<Setting>, Error> {
    let file = File(path);
    let table: toml::Table = text.parse().map_err(|error| file.syntax(text, &error))?;
    let (tables, top): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|(_, value)| value.is_table());
    let mut settings = Vec::new();
    for (key, value) in top {
        let known: Vec<_> = all_flags(command).collect();
        let flag = file.flag(&key, &known)?;
        let value = file.value(&key, flag, value)?;
        if flags(command, verb).any(|flag| flag.get_long() == Some(&key)) {
            settings.push(file.setting(key, value));
        }
    }
    for (name, table) in file.tables(tables, command)? {
        let known: Vec<_> = flags(command, &name).collect();
        for (key, value) in table {
            let flag = file.flag(&key, &known)?;
            let value = file.value(&key, flag, value)?;
            if name == verb {
                // The verb's own table counts more than the top of the file.
                settings.retain(|setting| setting.flag != key);
                settings.push(file.setting(key, value));
            }
        }
    }
    Ok(settings)
}

/// The flags of every verb.
fn all_flags(command: &Command) -> impl Iterator<Item = &Arg> {
    let verbs = args::verbs(command).into_iter().flat_map(|(_, verb)| verb.get_arguments());
    command.get_arguments().chain(verbs).filter(|flag| is_setting(flag))
}

/// The file being read, as errors name it.
struct File<'a>(&'a Path);

impl File<'_> {
    /// The tables by the words of their verbs: `[probe]`, and `[serve.http]` for `serve http`.
    fn tables(
        &self,
        tables: impl IntoIterator<Item = (String, toml::Value)>,
        command: &Command,
    ) -> Result<Vec<(String, toml::Table)>, Error> {
        let mut found = Vec::new();
        for (name, table) in tables {
            let toml::Value::Table(table) = table else { continue };
            if command.find_subcommand(&name).is_some_and(Command::has_subcommands) {
                let protocol = |(protocol, table)| (format!("{name} {protocol}"), table);
                found.extend(table.into_iter().map(protocol));
            } else {
                found.push((name, toml::Value::Table(table)));
            }
        }
        let verbs = args::verbs(command);
        let mut tables = Vec::new();
        for (name, table) in found {
            let toml::Value::Table(table) = table else { return Err(self.no_verb(&name, &verbs)) };
            if !verbs.iter().any(|(verb, _)| *verb == name) {
                return Err(self.no_verb(&name, &verbs));
            }
            tables.push((name, table));
        }
        Ok(tables)
    }

    fn no_verb(&self, name: &str, verbs: &[(String, &Command)]) -> Error {
        let verbs: Vec<_> = verbs.iter().map(|(verb, _)| verb.replace(' ', ".")).collect();
        let verbs: Vec<_> = verbs.iter().map(String::as_str).collect();
        self.refusal(&format!("[{}]", name.replace(' ', ".")), "names no verb", &verbs)
    }

    fn flag<'f>(&self, key: &str, known: &[&'f Arg]) -> Result<&'f Arg, Error> {
        let flag = known.iter().find(|flag| flag.get_long() == Some(key));
        flag.copied().filter(|flag| flag.get_id() != "no_config").ok_or_else(|| {
            let mut names: Vec<_> = known.iter().filter_map(|flag| flag.get_long()).collect();
            names.retain(|name| *name != "no-config");
            names.sort_unstable();
            names.dedup();
            self.refusal(&format!("'{key}'"), "is not a flag's name", &names)
        })
    }

    /// The value in the form that the flag has on the command line.
    fn value(&self, key: &str, flag: &Arg, value: toml::Value) -> Result<Value, Error> {
        let wrong = |allowed: &str| Err(self.refusal(&format!("'{key}'"), allowed, &[]));
        match (flag.get_action(), value) {
            (ArgAction::SetTrue, toml::Value::Boolean(on)) => Ok(Value::Flag(on)),
            (ArgAction::SetTrue, _) => wrong("must be true or false"),
            (ArgAction::Count, toml::Value::Integer(count @ 0..=9)) => {
                Ok(Value::Count(u8::try_from(count).unwrap_or_default()))
            }
            (ArgAction::Count, _) => wrong("must be a number from 0 to 9"),
            (ArgAction::Append, toml::Value::Array(values)) => {
                let texts: Option<Vec<_>> = values.into_iter().map(text).collect();
                texts.map_or_else(|| wrong("must be a list of strings"), |t| Ok(Value::Texts(t)))
            }
            (action, value) => match text(value) {
                Some(text) => Ok(Value::Texts(vec![text])),
                None if matches!(action, ArgAction::Append) => {
                    wrong("must be a string or a list of strings")
                }
                None => wrong("must be a string or a number"),
            },
        }
    }

    fn setting(&self, key: String, value: Value) -> Setting {
        let place = format!("{key} in {}", self.0.display());
        Setting { flag: key, value, place }
    }

    fn refusal(&self, key: &str, problem: &str, allowed: &[&str]) -> Error {
        let allowed = match allowed {
            [] => String::new(),
            allowed => format!("; allowed are {}", allowed.join(", ")),
        };
        Error::new(Kind::Usage, format!("{}: {key} {problem}{allowed}", self.0.display()))
    }

    fn syntax(&self, text: &str, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        let message = format!("{}: line {line} is not TOML: ", self.0.display());
        Error::new(Kind::Usage, message + error.message().lines().next().unwrap_or_default())
    }
}

/// A string or a number as it would be typed.
fn text(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn parsed(text: &str) -> Result<Vec<(String, Value)>, String> {
        let settings = parse(text, Path::new("/c.toml"), &args::command(), "probe");
        let pairs = settings.map_err(|error| error.to_string())?;
        Ok(pairs.into_iter().map(|setting| (setting.flag, setting.value)).collect())
    }

    #[test]
    fn values_are_as_typed() {
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(ToString::to_string).collect());
        let settings = parsed(
            "insecure = true\nverbose = 2\nretry = 3\nexpect = ['a', 'b']\nalpn = 'h2'\nca = 'x'",
        );
        let expected = [
            ("alpn", texts(&["h2"])),
            ("expect", texts(&["a", "b"])),
            ("insecure", Value::Flag(true)),
            ("retry", texts(&["3"])),
            ("verbose", Value::Count(2)),
        ];
        assert_eq!(settings.unwrap(), expected.map(|(flag, value)| (flag.to_owned(), value)));
    }

    #[test]
    fn the_verbs_table_counts_more_than_the_top() {
        let settings = parsed("retry = 1\n[probe]\nretry = 2\n[lab]\nseed = 7").unwrap();
        assert_eq!(settings, [("retry".to_owned(), Value::Texts(vec!["2".to_owned()]))]);
    }

    #[test]
    fn mistakes_name_the_file_the_key_and_what_is_allowed() {
        let refused = |text: &str, words: &[&str]| {
            let sentence = parsed(text).unwrap_err();
            for word in [&["/c.toml: "], words].concat() {
                assert!(sentence.contains(word), "{sentence}");
            }
        };
        refused("conect-timeout = '1s'", &["'conect-timeout'", "allowed are access-log, allow,"]);
        refused("[probe]\nonly = 'tcp'", &["'only'", "allowed are alpn, cacert,"]);
        refused("[prob]\nretry = 1", &["[prob]", "allowed are probe, connect,"]);
        refused("[serve.htp]\nspa = true", &["[serve.htp]", "serve.http,"]);
        refused("[serve]\nspa = true", &["[serve.spa]", "serve.http,"]);
        refused("[serve.http]\nretry = 1", &["'retry'", "allowed are access-log,"]);
        refused("insecure = 'yes'", &["'insecure' must be true or false"]);
        refused("verbose = 77", &["'verbose' must be a number from 0 to 9"]);
        refused("timeout = ['1s']", &["'timeout' must be a string or a number"]);
        refused("expect = [true]", &["'expect' must be a list of strings"]);
        refused("no-config = true", &["'no-config' is not a flag's name"]);
        refused("targets = ['tcp:1']", &["'targets' is not a flag's name"]);
        refused("retry = 1\nretry =", &["line 2 is not TOML"]);
    }

    #[test]
    fn the_file_is_under_xdg() {
        let path = |xdg: &str, home: &str| {
            super::path(&|name| match name {
                "XDG_CONFIG_HOME" => Some(xdg.into()),
                _ => Some(home.into()),
            })
        };
        assert_eq!(path("/x", "/h").unwrap(), Path::new("/x/portolan/config.toml"));
        assert_eq!(path("", "/h").unwrap(), Path::new("/h/.config/portolan/config.toml"));
        assert_eq!(path("", ""), None);
    }
}
