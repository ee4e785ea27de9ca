//! AWS on one machine: the emulators, and the resources of `template.yaml` in them.

pub mod emulators;
pub mod services;
