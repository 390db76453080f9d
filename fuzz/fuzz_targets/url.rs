//! URLs: what is printed is read back, and a password is never printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_core::{Url, redact};

const SECRET: &str = "hunter2-hunter2";

fuzz_target!(|text: &str| {
    let _ = redact(text);
    let Ok(url) = text.parse::<Url>() else { return };
    assert_eq!(url.with_secrets().parse().as_ref(), Ok(&url));
    if !url.endpoint().transport.is_inet() || text.contains(SECRET) {
        return;
    }
    let (scheme, authority, path) = (url.scheme(), url.authority(), url.path_and_query());
    let text = format!("{scheme}://user:{SECRET}@{authority}{path}");
    let url: Url = text.parse().expect("a user name and a password may stand in any URL");
    assert_eq!(url.password(), Some(SECRET));
    for printed in [url.to_string(), format!("{url:?}"), redact(&text)] {
        assert!(!printed.contains(SECRET), "{printed}");
    }
});
