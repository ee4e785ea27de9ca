//! What all tests stand on: the stack with its gateway ([`World`]), a server of feeds, and each provider's sandbox with a
//! person's account in it ([`ProviderHarness`]).

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
