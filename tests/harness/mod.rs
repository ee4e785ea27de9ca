//! The test harness: the stack with its gateway ([`World`]), a feed server, and the sandbox of each provider with one
//! account ([`ProviderHarness`]).

pub mod account;
pub mod feeds;
pub mod google;
pub mod microsoft;
mod provider;
mod world;

pub use provider::{
    EventChange, InjectedFault, ProviderHarness, RemoteSnapshot, browser, token_in,
};
pub use world::{Answer, PASSWORD, Person, World};
