//! The promises of [`contract`](super::contract) as tests: one suite for every driver, also behind an agent.
