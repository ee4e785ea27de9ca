//! AWS on one machine: the emulators, and the resources that `template.yaml` asks for in them.

pub mod emulators;
pub mod services;
