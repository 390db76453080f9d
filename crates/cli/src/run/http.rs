mod curl;
pub mod payload;
mod prompt;
mod state;
