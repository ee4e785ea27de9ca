//! HTTP requests to untrusted addresses: checked, pinned to the checked IP addresses, and limited in size and time.

pub mod address;
pub mod fetch;
