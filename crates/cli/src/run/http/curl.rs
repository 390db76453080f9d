//! A request as a command line of curl that sends the same.

use std::path::Path;

use bytes::Bytes;
use portolan::{Error, Kind, Url};

use super::payload::{Content, Part, Payload};
use crate::args::dial::DialArgs;
use crate::args::http::{AnswerArgs, HttpArgs};
use crate::args::tls::TlsVersion;

/// What is sent, as the library would send it.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// The URL.
    pub(super) url: &'a Url,
    /// The header fields, in order.
    pub(super) fields: Vec<(String, String)>,
    /// The body.
    pub(super) payload: &'a Payload,
    /// The body, where it is in memory.
    pub(super) bytes: Bytes,
    /// Name and password for digest, which has no field of its own before it is asked for.
    pub(super) digest: Option<String>,
}

/// The command, quoted for a shell. It holds the secrets that the request holds.
///
/// # Errors
/// [`Kind::Usage`] for a request that no command line can hold.
pub(super) fn command(args: &HttpArgs, sent: &Sent<'_>) -> Result<String, Error> {
    let mut words = Words(vec!["curl".to_owned()]);
    words.method(sent);
    words.fields(sent);
    words.body(sent);
    if let Some(digest) = &sent.digest {
        words.flag("--digest");
        words.value("--user", digest);
    }
    words.request(args, sent.url);
    words.answer(&args.answer);
    words.dial(&args.dial);
    words.0.push(sent.url.with_secrets());
    shlex::try_join(words.0.iter().map(String::as_str)).map_err(|cause| {
        Error::new(Kind::Usage, "could not write the request as a command line").with_source(cause)
    })
}

struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.to_owned());
    }

    fn flag_if(&mut self, is_given: bool, flag: &str) {
        if is_given {
            self.flag(flag);
        }
    }

    fn value(&mut self, flag: &str, value: impl ToString) {
        self.flag(flag);
        self.0.push(value.to_string());
    }

    fn method(&mut self, sent: &Sent<'_>) {
        let usual = if sent.payload.is_none() { "GET" } else { "POST" };
        match sent.method {
            "HEAD" if sent.payload.is_none() => self.flag("--head"),
            method if method == usual => {}
            method => self.value("--request", method),
        }
    }

    /// The fields, and those left out that curl would add.
    fn fields(&mut self, sent: &Sent<'_>) {
        let is_multipart = matches!(sent.payload, Payload::Multipart(..));
        for (name, value) in &sent.fields {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {}
                // curl has a boundary of its own.
                "content-type" if is_multipart => {}
                "host" if *value == sent.url.authority() => {}
                "accept-encoding" => self.flag("--compressed"),
                _ if value.is_empty() => self.value("--header", format!("{name};")),
                _ => self.value("--header", format!("{name}: {value}")),
            }
        }
        let is_sent =
            |name: &str| sent.fields.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let has_type = sent.payload.is_none() || is_multipart || is_sent("content-type");
        for (name, is_there) in [
            ("Accept", is_sent("accept")),
            ("User-Agent", is_sent("user-agent")),
            ("Content-Type", has_type),
        ] {
            if !is_there {
                self.value("--header", format!("{name}:"));
            }
        }
    }

    fn body(&mut self, sent: &Sent<'_>) {
        match sent.payload {
            Payload::None => {}
            Payload::Bytes(..) | Payload::Form(_) => match std::str::from_utf8(&sent.bytes) {
                Ok(text) if !text.contains('\0') => self.value("--data-raw", text),
                _ => self.value("--data-binary", "@-"),
            },
            Payload::Multipart(_, parts) => parts.iter().for_each(|part| self.part(part)),
            Payload::File(file, _) => self.value("--data-binary", format!("@{}", file.display())),
            Payload::Pipe(..) | Payload::Stdin(_) => self.value("--data-binary", "@-"),
        }
    }

    fn part(&mut self, part: &Part) {
        let name = &part.name;
        match &part.content {
            Content::Text(text) => self.value("--form-string", format!("{name}={text}")),
            Content::File(file, media_type) => {
                let file = quoted(file);
                self.value("--form", format!("{name}=@{file};type={media_type}"));
            }
        }
    }

    fn request(&mut self, args: &HttpArgs, url: &Url) {
        let args = &args.request;
        self.flag_if(args.http1, "--http1.1");
        let is_known = url.scheme() == portolan::Scheme::Http;
        self.flag_if(args.http2 && is_known, "--http2-prior-knowledge");
        self.flag_if(args.http2 && !is_known, "--http2");
        if let Some(path) = &args.unix_socket {
            self.value("--unix-socket", path.display());
        }
    }

    fn answer(&mut self, args: &AnswerArgs) {
        if args.follow {
            self.flag("--location");
            self.value("--max-redirs", args.max_redirects);
        }
        self.flag_if(args.fail, "--fail-with-body");
    }

    fn dial(&mut self, args: &DialArgs) {
        if let Some(limit) = args.timeout.filter(|limit| !limit.is_zero()) {
            self.value("--max-time", limit.as_secs_f64());
        }
        if args.retry > 0 {
            self.value("--retry", args.retry);
        }
        self.flag_if(args.ipv4, "--ipv4");
        self.flag_if(args.ipv6, "--ipv6");
        for it in &args.resolve {
            let host = it.host.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
            let addresses: Vec<_> = it.addresses.iter().map(ToString::to_string).collect();
            self.value("--resolve", format!("{host}:{}:{}", it.port, addresses.join(",")));
        }
        for it in &args.connect_to {
            let part = |part: Option<String>| part.unwrap_or_default();
            let place = |place: &portolan::net::Place| {
                let host = part(place.host.as_ref().map(ToString::to_string));
                format!("{host}:{}", part(place.port.map(|port| port.to_string())))
            };
            self.value("--connect-to", format!("{}:{}", place(&it.from), place(&it.to)));
        }
        let source = args.source.map(|source| source.to_string());
        if let Some(interface) = source.or_else(|| args.interface.clone()) {
            self.value("--interface", interface);
        }
        if let Some(proxy) = &args.proxy {
            self.value("--proxy", proxy.with_secrets());
        }
        if !args.noproxy.is_empty() {
            self.value("--noproxy", args.noproxy.join(","));
        }
        self.tls(&args.tls);
    }

    fn tls(&mut self, args: &crate::args::tls::TlsArgs) {
        self.flag_if(args.insecure, "--insecure");
        for (flag, file) in
            [("--cacert", &args.cacert), ("--cert", &args.cert), ("--key", &args.key)]
        {
            if let Some(file) = file {
                self.value(flag, file.display());
            }
        }
        self.flag_if(args.tls_min == TlsVersion::V1_3, "--tlsv1.3");
        if args.tls_max == TlsVersion::V1_2 {
            self.value("--tls-max", "1.2");
        }
        for pin in &args.pin {
            self.value("--pinnedpubkey", pin.to_string().replacen("sha256/", "sha256//", 1));
        }
    }
}

/// A file's name as `--form` wants it, where it may hold what has a meaning there.
fn quoted(file: &Path) -> String {
    let name = file.display().to_string();
    if name.contains([';', ',', '"', '\\']) {
        format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        name
    }
}
