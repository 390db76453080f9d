//! Chromium without a window, driven by the DevTools protocol over a pipe: what people see of a
//! page, and do with it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer::launch;

/// A browser with one page. It ends when dropped.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What has happened and was not waited for yet, by its name.
    events: VecDeque<String>,
    /// The number of the last command.
    last: u64,
    /// The page, once there is one.
    session: Option<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, with an empty page.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It reads commands from descriptor 3, and writes to 4.
        let script = "exec timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
                      --no-first-run --disable-background-networking --user-data-dir=\"$HOME\" \
                      --ignore-certificate-errors --remote-debugging-pipe \
                      3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("HOME", profile.path());
        let mut child = launch(command.stdin(Stdio::piped()).stdout(Stdio::piped()), "chromium");
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            commands,
            answers,
            events: VecDeque::new(),
            last: 0,
            session: None,
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.call("Page.enable", json!({}));
        browser
    }

    /// As large a window as this, and a mobile's where it is narrow.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Prefers dark pages, or light ones.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Runs the scripts of pages, or does not.
    pub(crate) fn run_scripts(&mut self, does: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !does }));
    }

    /// Opens a page, and waits until all of it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        self.event("Page.loadEventFired");
    }

    /// Does what loads another page, and waits until all of that is there.
    #[track_caller]
    pub(crate) fn leave_by(&mut self, script: &str) {
        self.events.clear();
        self.evaluate(script);
        self.loaded();
    }

    /// Waits until all of the next page is there.
    #[track_caller]
    pub(crate) fn loaded(&mut self) {
        self.event("Page.loadEventFired");
    }

    /// The value of an expression, or what the promise comes to that it is.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let ask = json!({
            "expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true,
        });
        let answer = self.call("Runtime.evaluate", ask);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{script}");
        answer["result"]["value"].clone()
    }

    /// Chooses a file in the field that the selector finds.
    #[track_caller]
    pub(crate) fn choose_file(&mut self, selector: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({}));
        let ask = json!({ "nodeId": document["root"]["nodeId"], "selector": selector });
        let field = self.call("DOM.querySelector", ask);
        assert_ne!(field["nodeId"], 0, "there is no {selector}");
        self.events.clear();
        let files = json!({ "nodeId": field["nodeId"], "files": [file] });
        self.call("DOM.setFileInputFiles", files);
    }

    /// Whether some of the page is beyond its right edge.
    pub(crate) fn overflows(&mut self) -> bool {
        self.evaluate("document.documentElement.scrollWidth > window.innerWidth") == true
    }

    /// How light a colour of an element is, from 0 to 1.
    #[track_caller]
    pub(crate) fn lightness(&mut self, selector: &str, property: &str) -> f64 {
        let script = format!(
            "(() => {{
                const canvas = document.createElement('canvas').getContext('2d');
                canvas.fillStyle = getComputedStyle(document.querySelector('{selector}')).{property};
                canvas.fillRect(0, 0, 1, 1);
                const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
                return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
            }})()"
        );
        self.evaluate(&script).as_f64().unwrap()
    }

    /// Gives a command; what it is answered.
    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let mut message = self.message();
            if message["id"] == self.last {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
            self.events.extend(message["method"].as_str().map(str::to_owned));
        }
    }

    /// Waits for an event.
    #[track_caller]
    fn event(&mut self, name: &str) {
        while let Some(event) = self.events.pop_front() {
            if event == name {
                return;
            }
        }
        while self.message()["method"] != name {}
    }

    #[track_caller]
    fn message(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "install chromium: it has ended");
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
