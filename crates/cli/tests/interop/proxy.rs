//! Proxies: microsocks for SOCKS5, tinyproxy for HTTP.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::authority::Authority;
use crate::peer::{Peer, free_port, nginx};
use crate::probe::probe;

const FORWARDED: &str = "resolve connect send wait receive";
const TUNNELLED: &str = "resolve connect proxy send wait receive";
const TUNNELLED_TLS: &str = "resolve connect proxy tls send wait receive";

pub(crate) fn microsocks(options: &[&str]) -> Peer {
    Peer::start("microsocks", |port, _| {
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]).args(options);
        command
    })
}

pub(crate) fn tinyproxy(options: &str) -> Peer {
    Peer::start("tinyproxy", |port, dir: &Path| {
        let at = dir.display();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 10\nLogFile \"{at}/requests\"\n\
             PidFile \"{at}/pid\"\n{options}\n"
        );
        let file = dir.join("tinyproxy.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(file);
        command
    })
}

fn site() -> Peer {
    nginx("", "location / { return 200 ahoy; }", None)
}

#[test]
fn socks5_carries_http() {
    let (site, proxy) = (site(), microsocks(&[]));
    let site = format!("http://localhost:{}/ --expect body~ahoy", site.port);
    // With `socks5:` names are resolved here, with `socks5h:` by the proxy.
    for (scheme, here) in [("socks5", "resolve "), ("socks5h", "")] {
        let url = format!("{scheme}://127.0.0.1:{}", proxy.port);
        let up = probe(&format!("{site} -4 --proxy {url}"));
        up.is_up(&format!("{here}{TUNNELLED}"));
        assert_eq!(up.fact("proxy", "proxy"), url.as_str());
    }
}

#[test]
fn socks5_checks_the_login() {
    let (site, proxy) = (site(), microsocks(&["-u", "captain", "-P", "hunter2"]));
    let site = format!("http://127.0.0.1:{}/", site.port);
    let at = format!("127.0.0.1:{}", proxy.port);
    probe(&format!("{site} --proxy socks5h://captain:hunter2@{at}")).is_up(TUNNELLED);
    probe(&format!("{site} --proxy socks5h://captain:wrong@{at}"))
        .is_down(9, "proxy", "denied")
        .says("the proxy refused the login")
        .hints("check the user name and password");
    probe(&format!("{site} --proxy socks5h://{at}"))
        .is_down(9, "proxy", "denied")
        .says("the proxy refused the login")
        .hints("put a user name and a password into the proxy's URL");
}

#[test]
fn socks5_tells_of_a_closed_port() {
    let (port, proxy) = (free_port(), microsocks(&[]));
    probe(&format!("tcp://127.0.0.1:{port} --proxy socks5://127.0.0.1:{}", proxy.port))
        .is_down(7, "proxy", "connect")
        .says("connection refused");
}

#[test]
fn socks5_carries_tls() {
    let (ca, proxy) = (Authority::root("Interop Root"), microsocks(&[]));
    let identity = ca.issue("site.test");
    let site = nginx("ssl http2", "location / { return 200 ahoy; }", Some(&identity));
    let up = probe(&format!(
        "https://site.test:{0}/ --connect-to site.test:{0}:127.0.0.1:{0} --cacert {1} \
         --proxy socks5h://127.0.0.1:{2}",
        site.port,
        ca.file(),
        proxy.port
    ));
    up.is_up(TUNNELLED_TLS);
    assert_eq!(up.fact("wait", "version"), "HTTP/2");
}

#[test]
fn an_http_proxy_forwards_http() {
    let (site, proxy) = (site(), tinyproxy("ViaProxyName \"interop\""));
    let site = format!("http://127.0.0.1:{}/", site.port);
    let args = format!("{site} --expect body~ahoy --proxy http://127.0.0.1:{}", proxy.port);
    probe(&args).is_up(FORWARDED);
    let requests = fs::read_to_string(proxy.dir().join("requests")).unwrap();
    assert!(requests.contains(&format!("GET {site} HTTP/1.1")), "{requests}");
}

#[test]
fn an_http_proxy_tunnels_tls() {
    let (ca, proxy) = (Authority::root("Interop Root"), tinyproxy(""));
    let identity = ca.issue("localhost");
    let site = nginx("ssl http2", "location / { return 200 ahoy; }", Some(&identity));
    probe(&format!(
        "https://localhost:{}/ --cacert {} --proxy http://127.0.0.1:{}",
        site.port,
        ca.file(),
        proxy.port
    ))
    .is_up(TUNNELLED_TLS);
}

#[test]
fn an_http_proxy_checks_the_login_of_a_tunnel() {
    let (site, proxy) = (site(), tinyproxy("BasicAuth captain hunter2"));
    let site = format!("tcp://127.0.0.1:{}", site.port);
    let at = format!("127.0.0.1:{}", proxy.port);
    probe(&format!("{site} --proxy http://captain:hunter2@{at}")).is_up("resolve connect proxy");
    for login in ["", "captain:wrong@"] {
        probe(&format!("{site} --proxy http://{login}{at}"))
            .is_down(9, "proxy", "denied")
            .says("the proxy refused the login")
            .hints("user");
    }
}

#[test]
fn an_http_proxy_checks_the_login_of_a_request() {
    let (site, proxy) = (site(), tinyproxy("BasicAuth captain hunter2"));
    let site = format!("http://127.0.0.1:{}/", site.port);
    let at = format!("127.0.0.1:{}", proxy.port);
    probe(&format!("{site} --proxy http://captain:hunter2@{at}")).is_up(FORWARDED);
    probe(&format!("{site} --proxy http://{at}"))
        .is_down(9, "wait", "denied")
        .says("the proxy refused the login")
        .hints("put a user name and a password into the proxy's URL");
    // tinyproxy refuses a wrong login with the words of an origin.
    probe(&format!("{site} --proxy http://captain:wrong@{at}"))
        .is_up(FORWARDED)
        .notes("answered with status 401 Unauthorized");
}

#[test]
fn an_http_proxy_denies() {
    let (site, proxy) = (site(), tinyproxy("Deny 127.0.0.1"));
    let args = format!("tcp://127.0.0.1:{} --proxy http://127.0.0.1:{}", site.port, proxy.port);
    probe(&args).is_down(9, "proxy", "denied").says("the proxy answered 403");
}

#[test]
fn an_http_proxy_tells_of_a_closed_port() {
    let (port, proxy) = (free_port(), tinyproxy(""));
    let args = format!("tcp://127.0.0.1:{port} --proxy http://127.0.0.1:{}", proxy.port);
    probe(&args).is_down(7, "proxy", "connect").says("the proxy answered 500");
}

#[test]
fn a_proxy_of_another_kind_is_found_out() {
    let (site, socks) = (site(), microsocks(&[]));
    let at = format!("127.0.0.1:{}", site.port);
    probe(&format!("tcp://{at} --proxy socks5://{at}"))
        .is_down(8, "proxy", "protocol")
        .says("the proxy's answer is not SOCKS5")
        .hints("is a proxy for socks5:");
    probe(&format!("tcp://{at} --proxy http://127.0.0.1:{}", socks.port))
        .is_down(8, "proxy", "protocol")
        .says("the proxy's answer is not HTTP")
        .hints("is a proxy for http:");
}
