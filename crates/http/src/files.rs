//! Files of one directory, served over HTTP.

mod path;
mod root;
mod types;

pub use path::{PathError, RequestPath};
