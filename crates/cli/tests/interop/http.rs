//! HTTP over TCP: servers that work, and the ways in which they do not.

use std::process::Command;

use crate::peer::{Peer, free_port, nginx};
use crate::probe::probe;

const PHASES: &str = "resolve connect send wait receive";

#[test]
fn nginx_is_up() {
    let server = nginx("", "location / { return 200 ahoy; }", None);
    let args = format!("http://localhost:{}/ --expect status=200,body~^ahoy$", server.port);
    let up = probe(&args);
    up.is_up(PHASES);
    assert_eq!(up.fact("wait", "status"), 200);
    assert_eq!(up.fact("wait", "version"), "HTTP/1.1");
    assert_eq!(up.fact("receive", "bytes"), 4);
}

#[test]
fn a_status_of_an_error_is_noted() {
    let server = nginx("", "location /down { return 503; }", None);
    let url = format!("http://127.0.0.1:{}", server.port);
    probe(&format!("{url}/missing")).is_up(PHASES).notes("answered with status 404 Not Found");
    probe(&format!("{url}/down"))
        .is_up(PHASES)
        .notes("answered with status 503 Service Unavailable");
}

#[test]
fn a_status_that_is_not_expected_is_a_failure() {
    let server = nginx("", "location /down { return 503; }", None);
    let down = format!("http://127.0.0.1:{}/down", server.port);
    probe(&format!("{down} --expect status=200")).is_unmet().says("expected status=200, got 503");
    probe(&format!("{down} --expect status=5xx")).is_up(PHASES);
}

#[test]
fn a_large_body_is_read_up_to_a_mebibyte() {
    let server = nginx("", "", None);
    std::fs::write(server.dir().join("large"), vec![b'x'; 3 << 20]).unwrap();
    let up = probe(&format!("http://127.0.0.1:{}/large", server.port));
    up.is_up(PHASES).notes("the body is longer than 1 MiB");
    assert_eq!(up.fact("receive", "bytes"), 1 << 20);
}

#[test]
fn a_server_of_http_1_0_is_up() {
    let server = Peer::start("python3", |port, dir| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
        command.current_dir(dir);
        command
    });
    let up = probe(&format!("http://127.0.0.1:{}/ --expect body~Directory", server.port));
    up.is_up(PHASES);
    assert_eq!(up.fact("wait", "version"), "HTTP/1.0");
}

#[test]
fn a_closed_port_refuses() {
    let port = free_port();
    probe(&format!("tcp://127.0.0.1:{port}"))
        .is_down(7, "connect", "connect")
        .says("connection refused")
        .hints(&format!("nothing listens on port {port}"));
}

#[test]
fn a_name_that_does_not_exist_has_no_address() {
    probe("http://no.such.name.invalid/").is_down(6, "resolve", "resolve").says("no.such.name");
}

#[test]
fn a_silent_server_times_out_and_the_phases_are_the_total() {
    let server = Peer::script("kept.append(peer)");
    let down = probe(&format!("http://127.0.0.1:{}/ --timeout 2s", server.port));
    down.is_down(28, "wait", "timeout").says("timed out after").hints("does not answer");
    let (total, sum) = down.total_and_sum();
    assert!((2000.0..20_000.0).contains(&total), "{total}");
    assert!((total - sum).abs() < 0.05 * total, "{sum} of {total}");
}

#[test]
fn a_body_that_ends_early_is_partial() {
    let server = Peer::script(
        r#"received(peer); peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"); peer.close()"#,
    );
    probe(&format!("http://127.0.0.1:{}/", server.port))
        .is_down(18, "receive", "partial")
        .says("ended after 4 bytes of 9")
        .hints("gave up in the middle");
}

#[test]
fn a_body_that_is_reset_is_lost() {
    let server = Peer::script(
        r#"received(peer); peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"); reset(peer)"#,
    );
    probe(&format!("http://127.0.0.1:{}/", server.port)).is_down(56, "receive", "lost");
}

#[test]
fn a_server_that_hangs_up_is_lost() {
    let server = Peer::script("received(peer); peer.close()");
    probe(&format!("http://127.0.0.1:{}/", server.port))
        .is_down(56, "wait", "lost")
        .says("closed the connection without an answer")
        .hints("accepts and hangs up");
}

#[test]
fn another_protocol_is_named() {
    let server = Peer::script(r#"peer.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"); kept.append(peer)"#);
    probe(&format!("http://127.0.0.1:{}/", server.port))
        .is_down(8, "wait", "protocol")
        .says("it is an SSH server (\"SSH-2.0-OpenSSH_9.6\")")
        .hints("check the port");
}
