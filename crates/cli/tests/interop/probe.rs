//! The binary, run once, and what it said.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What `portolan probe --json` of one target left behind.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The exit code.
    code: Option<i32>,
    /// The one object on stdout.
    report: Value,
    stderr: String,
    /// How long the process ran, by the clock on the wall.
    pub(crate) elapsed: Duration,
}

/// Probes with these arguments, between which stand blanks.
#[track_caller]
pub(crate) fn probe(args: &str) -> Probe {
    run(Command::new(assert_cmd::cargo::cargo_bin!("portolan")), args)
}

/// As [`probe`], with a command that runs the binary somewhere else.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the clock on the wall is the judge")]
pub(crate) fn run(mut command: Command, args: &str) -> Probe {
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSLKEYLOGFILE"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.args(["probe", "--json", "--no-config"]).args(args.split(' ')).stdin(Stdio::null());
    let started = Instant::now();
    let Output { status, stdout, stderr } = command.output().unwrap();
    let elapsed = started.elapsed();
    let stdout = String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let report = match serde_json::from_str(&stdout) {
        Ok(report) => report,
        Err(error) => panic!("not one object, but {error}: {stdout:?}, {stderr:?}"),
    };
    Probe { code: status.code(), report, stderr, elapsed }
}

impl Probe {
    /// It is up, after exactly these phases.
    #[track_caller]
    pub(crate) fn is_up(&self, phases: &str) -> &Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.report["ok"], true, "{self:#?}");
        assert_eq!(self.report["error"], Value::Null, "{self:#?}");
        assert_eq!(self.stderr, "", "{self:#?}");
        assert_eq!(self.phases(), phases, "{self:#?}");
        self
    }

    /// It is down: the exit code, the phase that failed, and the kind of failure.
    #[track_caller]
    pub(crate) fn is_down(&self, code: i32, phase: &str, kind: &str) -> &Self {
        self.is_down_during(phase, code, phase, kind)
    }

    /// It is down, and the failure came to light during a later phase than the one it belongs to.
    #[track_caller]
    pub(crate) fn is_down_during(&self, span: &str, code: i32, phase: &str, kind: &str) -> &Self {
        let error = &self.report["error"];
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.report["ok"], false, "{self:#?}");
        assert_eq!((&error["phase"], &error["kind"]), (&phase.into(), &kind.into()), "{self:#?}");
        let failed = self.spans().iter().filter(|span| span["ok"] == false);
        assert_eq!(failed.map(|span| &span["name"]).collect::<Vec<_>>(), [span], "{self:#?}");
        assert!(self.stderr.contains(error["message"].as_str().unwrap()), "{self:#?}");
        self
    }

    /// It answers, but not as expected.
    #[track_caller]
    pub(crate) fn is_unmet(&self) -> &Self {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert_eq!(self.report["error"]["kind"], "unmet", "{self:#?}");
        self
    }

    /// These words are in the error's message.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        self.has("message", words)
    }

    /// These words are in the error's hint.
    #[track_caller]
    pub(crate) fn hints(&self, words: &str) -> &Self {
        self.has("hint", words)
    }

    #[track_caller]
    fn has(&self, key: &str, words: &str) -> &Self {
        let text = self.report["error"][key].as_str().unwrap_or_default();
        assert!(text.contains(words), "no {words:?} in the {key}: {self:#?}");
        self
    }

    /// One of the notes begins with these words.
    #[track_caller]
    pub(crate) fn notes(&self, words: &str) -> &Self {
        let mut notes = self.report["notes"].as_array().unwrap().iter().filter_map(Value::as_str);
        assert!(notes.any(|note| note.starts_with(words)), "no note {words:?}: {self:#?}");
        self
    }

    /// What was learnt in a phase.
    #[track_caller]
    pub(crate) fn fact(&self, phase: &str, name: &str) -> &Value {
        let span = self.spans().iter().find(|span| span["name"] == phase);
        let Some(span) = span else { panic!("no phase {phase}: {self:#?}") };
        &span["detail"][name]
    }

    /// How long it took in all, and the phases together: milliseconds, by its own clock.
    pub(crate) fn total_and_sum(&self) -> (f64, f64) {
        let ms = |value: &Value| value.as_f64().unwrap();
        (ms(&self.report["total_ms"]), self.spans().iter().map(|span| ms(&span["ms"])).sum())
    }

    /// The names of the phases, with blanks between them.
    fn phases(&self) -> String {
        let names = self.spans().iter().filter_map(|span| span["name"].as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    fn spans(&self) -> &[Value] {
        self.report["phases"].as_array().unwrap()
    }
}
