//! Where metadata is kept: read, watched and changed by compare-and-set; sequences and leases beside it.
//!
//! [`contract`] is what every store promises, [`conformance`] the suite that each one is run through.

use std::time::Duration;

pub mod conformance;
pub mod contract;
pub mod memory;
mod sequences;

pub use contract::{Store, StoreError};

/// The longest time after which a store in a file notices another process's commit.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(50);
