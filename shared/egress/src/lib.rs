//! HTTP requests to addresses that come from strangers: checked, pinned, and bounded in size and time.

pub mod address;
pub mod fetch;
