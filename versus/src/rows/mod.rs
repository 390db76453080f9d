//! What is compared: one file each, and one table that lists them.

mod startup;

use crate::measure::Comparison;

/// A piece of work that we and a peer can do.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Compares over so many rounds; an error says which peer is missing, or what failed.
    pub(crate) compare: fn(rounds: u32) -> anyhow::Result<Comparison>,
}

/// All rows.
pub(crate) static ALL: [Row; 1] = [startup::ROW];

/// The row of this name.
pub(crate) fn find(name: &str) -> Result<&'static Row, String> {
    let row = ALL.iter().find(|row| row.name == name);
    row.ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|row| row.name).collect();
        format!("the rows are {}", names.join(", "))
    })
}
