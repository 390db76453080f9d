//! The dialer.
