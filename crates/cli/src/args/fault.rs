//! The flags of faults on demand.

use clap::Args;
use portolan::net::fault::{Fault, Plan};
use portolan::{Error, Kind};

use super::applies::Given;
use super::values::number;

/// How to misbehave.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Faults")]
pub struct FaultArgs {
    /// How connections go wrong.
    #[arg(
        long,
        value_name = "FAULT",
        help = "Misbehave, as [WHERE:]ACTION[,ACTION…] says; can be repeated"
    )]
    pub fault: Vec<Fault>,
    /// Choose which shares of connections are struck, and how: the same seed, the same faults
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        value_parser = |n: &str| number::<u64>(n, 0..=u64::MAX)
    )]
    pub seed: u64,
}

impl FaultArgs {
    /// Looks at flags that only make sense together.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn validate(&self, given: &Given) -> Result<(), Error> {
        if given.contains("seed") && self.fault.is_empty() {
            let message = "--seed chooses what --fault strikes, and there is no --fault";
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(())
    }

    /// What goes wrong.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::new(self.fault.clone(), self.seed)
    }
}
