//! `portolan man`.

use std::path::Path;
use std::{fs, io};

use clap::Command;
use clap_mangen::Man;
use portolan::{Error, Kind};

use crate::args;
use crate::args::man::ManArgs;
use crate::console::Console;
use crate::exit::Exit;

/// Prints a manual page, or writes all of them.
///
/// # Errors
/// [`Kind::Usage`] if there is no such verb, [`Kind::Write`].
pub fn run(args: &ManArgs, console: &Console) -> Result<Exit, Error> {
    if let Some(dir) = &args.dir {
        write_all(dir)?;
    } else {
        let verb = args.verb.iter().flat_map(|words| words.split_whitespace());
        let words: Vec<_> = std::iter::once("portolan").chain(verb).collect();
        let file = format!("{}.1", words.join("-"));
        let page = pages().into_iter().find(|page| page.file == file);
        console.data(&page.ok_or_else(|| no_page(&args.verb.join(" ")))?.roff)?;
    }
    Ok(Exit::DONE)
}

/// A manual page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The name of its file.
    pub file: String,
    /// Its text, for `man`.
    pub roff: Vec<u8>,
}

/// The pages of the command and of each verb. They hold no date and no version, and so change only
/// with the definition.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let verbs = command
        .get_subcommands()
        .flat_map(|verb| std::iter::once(verb).chain(verb.get_subcommands()));
    std::iter::once(&command).chain(verbs).cloned().map(page).collect()
}

fn page(command: Command) -> Page {
    let name = command.get_display_name().unwrap_or("portolan").to_owned();
    let has_verbs = command.has_subcommands();
    let man = Man::new(command).title(name.to_uppercase()).source("portolan").manual("Portolan");
    let mut roff = Vec::new();
    let render = |roff: &mut Vec<u8>| -> io::Result<()> {
        man.render_title(roff)?;
        man.render_name_section(roff)?;
        man.render_synopsis_section(roff)?;
        man.render_description_section(roff)?;
        man.render_options_section(roff)?;
        if has_verbs {
            man.render_subcommands_section(roff)?;
        }
        man.render_extra_section(roff)
    };
    // Writing into memory cannot fail.
    let _ = render(&mut roff);
    Page { file: format!("{name}.1"), roff }
}

fn write_all(dir: &Path) -> Result<(), Error> {
    let failed = |path: &Path, cause: io::Error| {
        let message = format!("could not write {}", path.display());
        Error::new(Kind::Write, message).with_source(cause)
    };
    fs::create_dir_all(dir).map_err(|cause| failed(dir, cause))?;
    for page in pages() {
        let path = dir.join(page.file);
        fs::write(&path, page.roff).map_err(|cause| failed(&path, cause))?;
    }
    Ok(())
}

fn no_page(verb: &str) -> Error {
    let command = args::command();
    let verbs: Vec<_> = args::verbs(&command).into_iter().map(|(verb, _)| verb).collect();
    let verbs = verbs.join(", ");
    Error::new(Kind::Usage, format!("there is no verb '{verb}'; the verbs are {verbs}"))
}
