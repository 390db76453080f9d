//! Real peers as judges of the real binary: nginx, `openssl s_server`, microsocks, tinyproxy,
//! Python, curl, tshark, and the kernel's own routes. Each test asserts how the command ends and what it says.
//!
//! `.ci/run` installs the peers and runs this with
//! `cargo test -p portolan-cli --features interop --test interop`. A peer that is missing is a
//! failure, never a skip. Every peer listens on loopback at a free port, or in a network namespace
//! of its own, has its files in a temporary directory, and ends with its test.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod authority;
mod http;
mod namespace;
mod pcap;
mod peer;
mod probe;
mod proxy;
mod tls;
