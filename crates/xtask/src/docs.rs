//! The generated files under `docs/`: the reference and the manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::reference;

/// A file and what it should hold.
struct Generated {
    path: PathBuf,
    text: Vec<u8>,
}

/// Everything that comes from the definition of the command line.
fn generated() -> Vec<Generated> {
    let reference = Generated {
        path: "docs/reference.md".into(),
        text: reference::render(&portolan_cli::args::command()).into_bytes(),
    };
    let pages = portolan_cli::run::man::pages()
        .into_iter()
        .map(|page| Generated { path: Path::new("docs/man").join(page.file), text: page.roff });
    std::iter::once(reference).chain(pages).collect()
}

/// Writes the files, and removes the pages of verbs that are gone.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let files = generated();
    for path in leftovers(root, &files)? {
        fs::remove_file(root.join(&path))
            .with_context(|| format!("removing {}", path.display()))?;
    }
    for file in files {
        let path = root.join(&file.path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        fs::write(&path, file.text).with_context(|| format!("writing {}", file.path.display()))?;
    }
    Ok(())
}

/// Checks that the files are what would be written.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let files = generated();
    let is_stale =
        |file: &&Generated| !fs::read(root.join(&file.path)).is_ok_and(|text| text == file.text);
    let mut stale: Vec<_> = files.iter().filter(is_stale).map(|file| file.path.clone()).collect();
    stale.extend(leftovers(root, &files)?);
    if stale.is_empty() {
        return Ok(());
    }
    let stale: Vec<_> = stale.iter().map(|path| path.display().to_string()).collect();
    bail!("stale, refresh with `cargo xtask docs`:\n  {}", stale.join("\n  "))
}

/// Manual pages that nothing generates any more.
fn leftovers(root: &Path, files: &[Generated]) -> anyhow::Result<Vec<PathBuf>> {
    let dir = Path::new("docs/man");
    let mut leftovers = Vec::new();
    if !root.join(dir).exists() {
        return Ok(leftovers);
    }
    for entry in fs::read_dir(root.join(dir)).context("reading docs/man")? {
        let path = dir.join(entry?.file_name());
        if !files.iter().any(|file| file.path == path) {
            leftovers.push(path);
        }
    }
    leftovers.sort();
    Ok(leftovers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_current_until_it_changes() {
        let root = tempfile::tempdir().unwrap();
        let sentence = check(root.path()).unwrap_err().to_string();
        assert!(sentence.contains("docs/reference.md\n"), "{sentence}");
        write(root.path()).unwrap();
        check(root.path()).unwrap();

        fs::write(root.path().join("docs/reference.md"), "old").unwrap();
        fs::write(root.path().join("docs/man/portolan-sail.1"), "gone").unwrap();
        let sentence = check(root.path()).unwrap_err().to_string();
        assert!(sentence.ends_with("docs/reference.md\n  docs/man/portolan-sail.1"), "{sentence}");
        write(root.path()).unwrap();
        check(root.path()).unwrap();
    }
}
