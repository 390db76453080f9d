//! The reference page: every verb and flag as a table, from the definition of the command line.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};
use portolan_cli::args::verbs;
use portolan_cli::exit;

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask docs`: change the definition in crates/cli/src/args instead. -->

# Reference

`portolan [OPTIONS] VERB [OPTIONS] [URL]…`

A target is a URL; durations are written `250ms`, `10s`, `2m`. A flag that cannot apply to any
target is refused, never ignored. Data goes to stdout, everything else to stderr.
";

const CONFIGURATION: &str = "
## Configuration

Every flag can have another default. On the command line it counts most, then in the environment
variable `PORTOLAN_FLAG_NAME`, then in `$XDG_CONFIG_HOME/portolan/config.toml` (or
`~/.config/portolan/config.toml`), which `--no-config` leaves out:

```toml
connect-timeout = \"5s\"      # for every verb that has the flag
[probe]                     # for one verb
expect = [\"status=200\"]
[serve.http]
hidden = true
```
";

const FAULTS: &str = "
## Faults

A fault is `[WHERE:]ACTION[,ACTION…]`, such as `latency=100ms` for everything, `http: cut=10KiB` for
one server, or `10%: reset` for one connection in ten. The grammar, and what each action does, is in
the documentation of `portolan::net::fault`.
";

/// The whole page.
pub(crate) fn render(command: &Command) -> String {
    let mut command = command.clone();
    command.build();
    let mut page = INTRODUCTION.to_owned();
    for (name, verb) in verbs(&command).into_iter().filter(|(name, _)| !name.starts_with("help")) {
        page += &render_verb(&name, verb);
    }
    page += "\n## Every verb\n";
    let global = command.get_arguments().filter(|flag| !flag.is_hide_set());
    page += &table("Flag", &global.collect::<Vec<_>>());
    page += CONFIGURATION;
    page += "\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n";
    for (code, meaning) in exit::CODES {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    page + "\nOf several targets, the first failing one's code.\n" + FAULTS
}

fn render_verb(name: &str, verb: &Command) -> String {
    let mut usage = format!("portolan {name} [OPTIONS]");
    for argument in verb.get_positionals() {
        let _ = write!(usage, " {argument}");
    }
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut section = format!("\n## `{name}`\n\n{about}.\n\n`{usage}`\n");
    let positionals: Vec<_> = verb.get_positionals().collect();
    section += &table("Argument", &positionals);
    let flags = || verb.get_arguments().filter(|flag| is_own_flag(flag));
    let mut headings: Vec<_> = flags().map(Arg::get_help_heading).collect();
    headings.dedup();
    for heading in headings {
        let group: Vec<_> = flags().filter(|flag| flag.get_help_heading() == heading).collect();
        section += &table(heading.unwrap_or("Flag"), &group);
    }
    if let Some(help) = verb.get_after_help().map(ToString::to_string) {
        let (notes, examples) = help.split_once("Examples:\n").unwrap_or((&help, ""));
        if !notes.is_empty() {
            let _ = write!(section, "\n```text\n{}\n```\n", notes.trim_end());
        }
        section += &render_examples(examples);
    }
    section
}

/// Commands, which are indented, and what is said about them.
fn render_examples(examples: &str) -> String {
    let lines: Vec<_> = examples.lines().filter(|line| !line.is_empty()).collect();
    let mut section = String::new();
    for lines in lines.chunk_by(|a, b| a.starts_with(' ') == b.starts_with(' ')) {
        let is_command = lines[0].starts_with(' ');
        let text = lines.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n");
        section += &match is_command {
            true => format!("\n```sh\n{text}\n```\n"),
            false => format!("\n{}\n", escape(&text)),
        };
    }
    section
}

/// Whether this is a flag of the verb alone.
fn is_own_flag(flag: &Arg) -> bool {
    !flag.is_positional() && !flag.is_hide_set() && !flag.is_global_set() && flag.get_id() != "help"
}

fn table(heading: &str, arguments: &[&Arg]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let mut table = format!("\n| {heading} | what | default |\n| --- | --- | --- |\n");
    for argument in arguments {
        let (what, noted_default) = what(argument);
        let default = default(argument).unwrap_or(noted_default);
        let _ = writeln!(table, "| {} | {what} | {default} |", name(argument));
    }
    table
}

/// `-k`, `--insecure` or `--retry N` or `URL`.
fn name(argument: &Arg) -> String {
    let value = argument.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let Some(long) = argument.get_long() else { return format!("`{value}`") };
    let short = argument.get_short().map(|short| format!("`-{short}` ")).unwrap_or_default();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes_value { format!(" {value}") } else { String::new() };
    format!("{short}`--{long}{}`", escape(&value))
}

/// The help, with the possible values, and apart from it the default that it notes in brackets.
fn what(argument: &Arg) -> (String, String) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let (help, default) = match help.split_once(" [default: ") {
        Some((help, default)) => (help.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let values: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let values =
        if values.is_empty() { values.join("") } else { format!(": {}", values.join(" ")) };
    (escape(&(help + &values)), escape(&default))
}

fn default(argument: &Arg) -> Option<String> {
    let values = argument.get_default_values();
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    let is_shown = argument.get_action().takes_values() && !values.is_empty();
    is_shown.then(|| format!("`{}`", values.join(",")))
}

/// The text in a cell of a table.
fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_every_verb_has_its_row() {
        let command = portolan_cli::args::command();
        let page = render(&command);
        for (name, verb) in verbs(&command) {
            assert!(page.contains(&format!("\n## `{name}`\n")));
            for flag in verb.get_arguments().filter_map(Arg::get_long) {
                assert!(page.contains(&format!("`--{flag}")), "{flag}");
            }
        }
        assert!(page.contains("\n| `--connect-timeout DUR` |"));
        assert!(page.contains("| 28 | timed out |"));
        let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        assert!(blocks.all(|block| !block.contains("A password is kept")));
        assert!(page.contains("\n\nA password is kept"));
    }
}
