//! Real peers as judges of the real binary: nginx, httpbin on gunicorn, haproxy, ncat, socat,
//! `openssl s_client` and `s_server`, microsocks, tinyproxy, Python, its websockets and aiohttp,
//! the test suite of its requests, curl, wget, wrk, h2load, Chromium, tshark, and the kernel's own
//! routes and disks. Each test asserts how the command ends and what it says.
//!
//! `.ci/run` installs the peers and runs this with
//! `cargo test -p portolan-cli --features interop --test interop`. A peer that is missing is a
//! failure, never a skip. Every peer listens on loopback at a free port, or in a network namespace
//! of its own, has its files in a temporary directory, and ends with its test.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod authority;
#[path = "../../../ws/tests/cases/mod.rs"]
mod cases;
mod chromium;
mod curl;
mod download;
mod haproxy;
mod http;
mod namespace;
mod ncat;
mod openssl;
mod page;
mod pcap;
mod peer;
mod probe;
mod proxy;
mod python;
mod request;
mod requests;
mod scale;
mod serve;
mod socat;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "these tests have peers of their own")]
mod support;
mod talk;
mod tls;
mod websocket;
