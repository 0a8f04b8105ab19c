//! Client bytes ↔ protocol messages (the manual's chapter 55).
//!
//! - [`listen`]: accepts clients under a bound, hands each to a thread that serves it; drains them at the end
//! - [`auth`], [`scram`]: the startup message, who the client is; `start`: what its session begins with
//! - [`serve`]: one client's messages, one after the other
//! - [`simple`], [`extended`], [`copy`]: the sub-protocols; `pass`: the short way of the first two
//! - [`cancel`]: cancel keys
//! - [`message`], [`connection`]: the client's messages decoded; ours encoded, and the two buffers

pub mod auth;
pub mod cancel;
pub mod connection;
pub mod copy;
pub mod extended;
pub mod listen;
pub mod message;
mod pass;
pub use dataman_node_protocol::scram;
pub mod serve;
pub mod simple;
mod start;
