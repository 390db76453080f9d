//! The floors of the house: an import goes down, never up, never sideways; and only the network
//! floor names sockets and TLS.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

/// The crates of each floor, lowest first.
const FLOORS: [&[&str]; 6] = [
    &["portolan-core"],
    &["portolan-net"],
    &[
        "portolan-http",
        "portolan-ws",
        "portolan-ftp",
        "portolan-sftp",
        "portolan-smtp",
        "portolan-dns",
    ],
    &[
        "portolan-probe",
        "portolan-relay",
        "portolan-scan",
        "portolan-crawl",
        "portolan-load",
        "portolan-lab",
        "portolan-transfer",
    ],
    &["portolan"],
    &["portolan-cli"],
];
/// The floor that may open sockets and speak TLS.
const NETWORK: usize = 1;
/// What only serves development, stands beside the house and may look into every room.
const DEV: [&str; 2] = ["xtask", "versus"];
/// The crates that only the network floor may use.
const NETWORK_CRATES: [&str; 3] = ["socket2", "rustls", "tokio-rustls"];
/// What only the network floor may name in its sources.
const NETWORK_NAMES: [&str; 3] = ["socket2", "rustls", "tokio::net"];

/// Checks every crate of the workspace.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let manifest = root.join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let mut faults: Vec<_> = edges(&metadata).iter().filter_map(Edge::fault).collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        match place(name) {
            None => faults.push(format!("{name} has no floor: give it one in xtask's layers.rs")),
            Some(Place::Floor(floor)) if floor > NETWORK => faults.extend(names(package)?),
            Some(_) => {}
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the floors do not hold:\n  {}", faults.join("\n  "))
}

/// Where a crate of the house stands.
#[derive(Clone, Copy)]
enum Place {
    Floor(usize),
    Beside,
}

fn place(name: &str) -> Option<Place> {
    if DEV.contains(&name) {
        return Some(Place::Beside);
    }
    FLOORS.iter().position(|floor| floor.contains(&name)).map(Place::Floor)
}

/// A dependency of any kind: normal, for tests, or for the build.
struct Edge {
    from: String,
    to: String,
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let packages = metadata.workspace_packages();
    let edges = packages.into_iter().flat_map(|package| {
        package
            .dependencies
            .iter()
            .map(|dependency| Edge { from: package.name.to_string(), to: dependency.name.clone() })
    });
    edges.collect()
}

impl Edge {
    /// What is wrong with this edge, if anything is.
    fn fault(&self) -> Option<String> {
        let Self { from, to } = self;
        let Some(Place::Floor(floor)) = place(from) else { return None };
        match place(to) {
            _ if floor > NETWORK && NETWORK_CRATES.contains(&to.as_str()) => {
                Some(format!("{from} (floor {floor}) uses {to}, which only portolan-net may"))
            }
            Some(Place::Beside) => Some(format!("{from} uses {to}, which stands beside the house")),
            Some(Place::Floor(below)) if below >= floor => {
                let way = if below > floor { "up" } else { "sideways" };
                Some(format!("{from} (floor {floor}) imports {way}: {to} is on floor {below}"))
            }
            _ => None,
        }
    }
}

/// The places where the crate's sources name what only the network floor may.
fn names(package: &Package) -> anyhow::Result<Vec<String>> {
    let dir = package.manifest_path.parent().context("a manifest is in no directory")?;
    let mut faults = BTreeSet::new();
    visit(dir.as_std_path(), &mut |path, text| {
        for (line, name) in named(text) {
            faults.insert(format!(
                "{}:{line} names {name}, which only portolan-net may",
                path.display()
            ));
        }
    })?;
    Ok(faults.into_iter().collect())
}

/// Calls `see` with every Rust source below `dir`.
fn visit(dir: &Path, see: &mut dyn FnMut(&Path, &str)) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, see)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path);
            see(&path, &text.with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(())
}

/// The lines of `text`, from 1, that name what only the network floor may. Comments may.
fn named(text: &str) -> Vec<(usize, &'static str)> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    let found = NETWORK_NAMES.iter().flat_map(|name| {
        let places = places(&code, name).into_iter().chain(grouped(&code, name));
        places.map(|at| (line(at), *name)).collect::<Vec<_>>()
    });
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Where `code` has `path` as words of their own: `rustls`, but not `my_rustls` or `hyper_rustls`.
fn places(code: &str, path: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_alone = |at: &usize| {
        !code[..*at].ends_with(is_word) && !code[at + path.len()..].starts_with(is_word)
    };
    code.match_indices(path).map(|(at, _)| at).filter(is_alone).collect()
}

/// Where `code` has the path's last name in a group of its first: `use tokio::{io, net}`.
fn grouped(code: &str, path: &str) -> Vec<usize> {
    let Some((root, name)) = path.split_once("::") else { return Vec::new() };
    let open = format!("{root}::{{");
    let groups = code.match_indices(&open).map(|(at, _)| at + open.len());
    let members = groups.flat_map(|start| {
        let group = direct(&code[start..]);
        places(&group, name).into_iter().map(move |at| start + at)
    });
    members.collect()
}

/// The direct members of the group that `code` begins within, each by its first name, with blanks
/// for all else.
fn direct(code: &str) -> String {
    let (mut depth, mut is_first) = (1, true);
    let mut members = String::new();
    for c in code.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => is_first = true,
            ':' => is_first = false,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && is_first {
            members.push(c);
        } else {
            members.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(from: &str, to: &str) -> Option<String> {
        Edge { from: from.to_owned(), to: to.to_owned() }.fault()
    }

    #[test]
    fn the_house_stands() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        check(dir.ancestors().nth(2).unwrap()).unwrap();
    }

    #[test]
    fn imports_go_down() {
        assert_eq!(fault("portolan-cli", "portolan"), None);
        assert_eq!(fault("portolan-http", "portolan-core"), None);
        assert_eq!(fault("portolan-net", "rustls"), None);
        assert_eq!(fault("portolan-http", "serde"), None);
        assert_eq!(fault("xtask", "portolan-cli"), None);
        assert_eq!(fault("versus", "rustls"), None);
    }

    #[test]
    fn imports_do_not_go_up_or_sideways() {
        let up = fault("portolan-core", "portolan-net").unwrap();
        assert_eq!(up, "portolan-core (floor 0) imports up: portolan-net is on floor 1");
        let sideways = fault("portolan-ws", "portolan-http").unwrap();
        assert!(sideways.contains("sideways"), "{sideways}");
        assert!(fault("portolan-probe", "portolan-lab").is_some());
        assert!(fault("portolan-cli", "xtask").is_some());
    }

    #[test]
    fn only_the_network_floor_uses_sockets_and_tls() {
        for name in NETWORK_CRATES {
            assert!(fault("portolan-http", name).is_some(), "{name}");
        }
        let text = "use tokio::net::TcpStream;\n// rustls\nlet x = rustls ::A;\nuse hyper_rustls;";
        assert_eq!(named(text), [(1, "tokio::net"), (3, "rustls")]);
    }

    #[test]
    fn names_in_groups_are_found() {
        for text in [
            "use tokio::{net, time};",
            "use tokio::{io, net::TcpStream};",
            "use tokio::{io::{self, Read}, net::{self, TcpStream}};",
            "use tokio::{net as n};",
        ] {
            assert_eq!(named(text), [(1, "tokio::net")], "{text}");
        }
        let lines = "use tokio::{\n    io::{self},\n    // net\n    net::TcpStream,\n};";
        assert_eq!(named(lines), [(4, "tokio::net")]);
        for text in [
            "use tokio::{io::net, sync};",
            "use tokio::{netting};",
            "use tokio::{io};\nlet net = 1;",
        ] {
            assert_eq!(named(text), [], "{text}");
        }
    }

    #[test]
    fn a_crate_without_a_floor_is_unknown() {
        assert!(place("portolan-gopher").is_none());
    }
}
