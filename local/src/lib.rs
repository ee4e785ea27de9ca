//! Calweave on one machine: what `cargo run` starts, and what the tests run on.

pub mod demo;
pub mod emulators;
mod forms;
pub mod functions;
pub mod gateway;
pub mod google;
pub mod microsoft;
pub mod openapi;
mod sandbox;
pub mod services;
pub mod stack;
pub mod template;

/// The template that this build was made with.
pub const TEMPLATE: &str = include_str!("../../template.yaml");
