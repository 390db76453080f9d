//! Is it up, how fast is each layer, and if not, which layer is broken and what to do.
//!
//! A [`Prober`] dials [`Target`]s of any scheme that passes its [`check`] and gives a [`Report`] for
//! each: the phases with their times and facts, the error with its cause and a hint, and notes on
//! what works but not well. [`Expectation`]s turn a working service into a failure when it is not
//! what it should be. It prints nothing.
//!
//! ```
//! use portolan_net::{Dialer, Listener};
//! use portolan_probe::{Prober, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"tcp:0".parse()?).await?;
//! let target = Target::from(listener.local_url());
//! let report = Prober::new(Dialer::new()).probe(&target, None).await;
//! assert!(report.is_ok());
//! assert_eq!(report.timings.spans().len(), 2);
//! # Ok(())
//! # }
//! ```

mod diagnose;
mod expect;
mod prober;
mod protocols;

pub use expect::{ExpectError, Expectation};
pub use prober::{Prober, Report, Target};
pub use protocols::{Answer, check, schemes};
