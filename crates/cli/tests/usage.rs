//! The real binary, called wrongly and rightly: exit code, stdout and stderr held apart.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no peers")]
mod support;

use std::fs;

use serde_json::Value;
use support::{Portolan, Run, run};

#[test]
fn an_unknown_flag_is_refused_with_the_one_that_was_meant() {
    run(&["probe", "--conect-timeout", "1s"]).failed(
        2,
        &[
            "portolan: there is no flag '--conect-timeout' here",
            "hint: did you mean --connect-timeout?",
        ],
    );
    run(&["probe", "--conect-timeout", "1s", "-q"])
        .failed(2, &["portolan: there is no flag '--conect-timeout' here"]);
}

#[test]
fn an_unknown_verb_is_refused_with_the_verbs_that_there_are() {
    run(&["sail"]).failed(
        2,
        &["portolan: there is no verb 'sail'; the verbs are probe, connect, listen, relay, http, get, serve http, serve ws, lab, completions, man"],
    );
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    run(&["probe", "--timeout", "10"]).failed(
        2,
        &["portolan: invalid value '10' for --timeout: not a duration such as 250ms, 10s or 2m"],
    );
    run(&["probe", "tcp:70000"]).failed(
        2,
        &["portolan: invalid value 'tcp:70000' for URL: the port must be a number up to 65535"],
    );
    run(&["probe", "--key", "key.pem", "https://localhost"])
        .failed(2, &["portolan: --key needs the certificate that --cert names"]);
}

#[test]
fn a_flag_that_fits_no_target_is_refused() {
    let refused = run(&["probe", "-k", "tcp:1", "unix:/a"]);
    assert_eq!(refused.code, Some(2));
    let start = "portolan: --insecure does not apply to tcp: and unix: targets; it fits tls, https";
    assert!(refused.err.starts_with(start), "{}", refused.err);
}

#[test]
fn a_password_is_never_echoed() {
    let secret = "hunter2";
    let wrong = [
        vec!["probe".to_owned(), "--proxy".to_owned(), format!("ftp://u:{secret}@h")],
        vec!["probe".to_owned(), format!("--proxi=http://u:{secret}@h")],
        vec!["probe".to_owned(), format!("gopher://u:{secret}@h/")],
        vec!["probe".to_owned(), format!("gopher://u:p@ss {secret}@h/")],
        vec![format!("https://u:{secret}@h/")],
        vec!["lab".to_owned(), format!("https:u:{secret}@h/")],
        vec!["serve".to_owned(), "http".to_owned(), format!("--listen=u:{secret}@127.0.0.1:0")],
        vec!["listen".to_owned(), format!("tcp://u:{secret}@127.0.0.1:0")],
        vec!["relay".to_owned(), format!("tcp://u:{secret}@127.0.0.1:0"), "tcp:1".to_owned()],
    ];
    for args in wrong {
        let args: Vec<_> = args.iter().map(String::as_str).chain(["--json"]).collect();
        let refused = run(&args);
        assert_eq!(refused.code, Some(2), "{args:?}");
        assert!(!refused.err.contains(secret), "{}", refused.err);
        assert!(!refused.out.contains(secret), "{}", refused.out);
    }
    let refused = Portolan::with_config("proxy = 'ftp://u:hunter2@h'").run(&["probe"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("ftp://***@h") && !refused.err.contains(secret));
}

#[test]
fn with_json_an_error_is_an_object_too() {
    let refused = run(&["probe", "--tls-min=1.1", "--json"]);
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.err,
        "portolan: invalid value '1.1' for --tls-min: it must be one of 1.2, 1.3\n"
    );
    assert!(refused.out.starts_with("{\"v\":1,\"type\":\"error\",\"t\":\"20"), "{}", refused.out);
    let object: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(object["code"], 2);
    assert_eq!(object["kind"], "usage");
    assert_eq!(object["message"], "invalid value '1.1' for --tls-min: it must be one of 1.2, 1.3");
    assert_eq!(object["attempts"], Value::Array(Vec::new()));
    for null in ["target", "phase", "hint"] {
        assert_eq!(object.get(null), Some(&Value::Null), "{null}");
    }
}

#[test]
fn without_a_verb_there_is_help_and_code_2() {
    let helped = run(&[]);
    assert_eq!((helped.code, helped.out.as_str()), (Some(2), ""));
    assert!(helped.err.contains("Verbs:") && helped.err.contains("probe"), "{}", helped.err);
}

#[test]
fn help_and_version_are_data() {
    assert_eq!(run(&["--version"]).done(), format!("portolan {}\n", env!("CARGO_PKG_VERSION")));
    assert!(run(&["probe", "--help"]).done().contains("--connect-timeout <DUR>"));
    // A configuration that makes no sense is not in their way.
    Portolan::with_config("what").run(&["--help"]).done();
}

#[test]
fn color_is_only_where_it_is_wanted() {
    let refused = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Portolan::new().command(args);
        Run::from(command.envs(variables.iter().copied()).output().unwrap()).err
    };
    let is_colored = |err: &str| err.contains("\u{1b}[");
    assert!(!is_colored(&refused(&["sail"], &[])));
    assert!(is_colored(&refused(&["sail"], &[("CLICOLOR_FORCE", "1")])));
    assert!(is_colored(&refused(&["--color", "always", "sail"], &[("NO_COLOR", "1")])));
    assert!(!is_colored(&refused(&["--color=never", "sail"], &[("CLICOLOR_FORCE", "1")])));
}

#[test]
fn a_mistake_in_the_configuration_names_file_key_and_what_is_allowed() {
    let portolan = Portolan::with_config("connect-timeout = '5 parsecs'");
    let file = portolan.home.path().join("portolan/config.toml");
    let sentence = format!(
        "portolan: invalid value '5 parsecs' for connect-timeout in {}: \
         not a duration such as 250ms, 10s or 2m",
        file.display()
    );
    portolan.run(&["probe"]).failed(2, &[&sentence]);
    portolan.run(&["probe", "--no-config"]).done();

    let refused = Portolan::with_config("[lab]\ncolour = true").run(&["lab"]);
    assert_eq!(refused.code, Some(2));
    let words = ["config.toml: 'colour' is not a flag's name; allowed are ", "color", "seed"];
    assert!(words.iter().all(|word| refused.err.contains(word)), "{}", refused.err);
}

#[test]
fn settings_give_json() {
    let refused = Portolan::with_config("json = true").run(&["probe", "-k", "tcp:1"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.out.starts_with("{\"v\":1,\"type\":\"error\","), "{}", refused.out);
}

#[test]
fn completions_for_the_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).done();
        assert!(script.contains("portolan") && script.contains("connect-timeout"), "{shell}");
    }
    run(&["completions", "csh"]).failed(
        2,
        &["portolan: invalid value 'csh' for SHELL: it must be one of bash, elvish, fish, \
           powershell, zsh"],
    );
}

#[test]
fn manual_pages() {
    assert!(run(&["man"]).done().contains(".TH PORTOLAN 1"));
    assert!(run(&["man", "probe"]).done().contains("\\-\\-connect\\-timeout"));
    assert!(run(&["man", "serve"]).done().contains("portolan\\-serve\\-http(1)"));
    assert!(run(&["man", "serve", "http"]).done().contains("\\-\\-follow\\-symlinks"));
    assert!(run(&["man", "serve http"]).done().contains("\\-\\-follow\\-symlinks"));
    run(&["man", "sail"]).failed(
        2,
        &["portolan: there is no verb 'sail'; the verbs are probe, connect, listen, relay, http, get, serve http, serve ws, lab, completions, man"],
    );
    let portolan = Portolan::new();
    let dir = portolan.home.path().join("man1");
    portolan.run(&["man", "--dir", dir.to_str().unwrap()]).done();
    let mut files: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(
        files,
        [
            "portolan-completions.1",
            "portolan-connect.1",
            "portolan-get.1",
            "portolan-http.1",
            "portolan-lab.1",
            "portolan-listen.1",
            "portolan-man.1",
            "portolan-probe.1",
            "portolan-relay.1",
            "portolan-serve-http.1",
            "portolan-serve-ws.1",
            "portolan-serve.1",
            "portolan.1"
        ]
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let mut command = Portolan::new().command(&["completions", "bash"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Run::from(command.stdout(writer).output().unwrap());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Portolan::new().command(&["man"]);
    let run = Run::from(command.stdout(full).output().unwrap());
    assert_eq!(run.code, Some(23));
    assert_eq!(run.err, "portolan: could not write to stdout: no space left on device\n");
}
