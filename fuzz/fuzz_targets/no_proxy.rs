//! Lists of what to reach without a proxy.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portolan_core::Url;
use portolan_net::proxy::Proxies;

static URLS: LazyLock<[Url; 4]> = LazyLock::new(|| {
    ["http://a.example", "https://10.1.2.3:8443", "tcp://[fe80::1%25eth0]:7", "unix:/socket"]
        .map(|text| text.parse().expect("a URL"))
});

fuzz_target!(|list: &str| {
    let all = Proxies::all("http://proxy.example".parse().expect("a URL")).expect("a proxy");
    let proxies = all.clone().with_no_proxy(list);
    let direct = all.with_no_proxy("*");
    for url in &*URLS {
        let _ = proxies.for_url(url);
        assert_eq!(direct.for_url(url), None);
    }
});
