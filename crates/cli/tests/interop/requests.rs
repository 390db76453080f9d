//! The test suite of Python's requests, with the lab in place of httpbin.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::peer::spawn;
use crate::support::Portolan;

/// Where `.ci/install-judges` puts what is not of Debian.
fn judges() -> PathBuf {
    let binary = assert_cmd::cargo::cargo_bin!("portolan");
    binary.ancestors().nth(2).unwrap().join("judges")
}

#[test]
fn its_own_test_suite_takes_the_lab_for_httpbin() {
    let home = Portolan::new();
    let ca = home.home.path().join("ca.pem");
    let args = ["lab", "--only", "http,https", "--ports", "ephemeral", "--json", "--ca"];
    let ca_file = ca.to_str().unwrap().to_owned();
    let mut lab = home.start(&[&args[..], &[&ca_file]].concat());
    let urls = [lab.object(), lab.object()].map(|it| it["url"].as_str().unwrap().to_owned());
    assert_eq!(lab.object()["type"], "ready");

    let plugins = format!("{}/tests/interop/python", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(judges().join("bin/python"));
    command.args(["-m", "pytest", "--quiet", "--no-header", "-p", "no:cacheprovider"]);
    command.args(["-p", "lab_as_httpbin", "-W", "ignore", "tests", "-k"]);
    // These dial an address of the internet that does not answer.
    command.arg("not test_connect_timeout and not test_total_timeout_connect");
    command.env("PYTHONPATH", plugins).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("LAB_HTTP", &urls[0]).env("LAB_HTTPS", urls[1].replace("127.0.0.1", "localhost"));
    command.env("LAB_CA", ca_file).current_dir(judges().join("requests"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let peer = spawn(&mut command, "the judges by .ci/install-judges");
    let output = peer.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
}
