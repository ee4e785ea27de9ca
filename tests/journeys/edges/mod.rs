//! What holds at the edges of the API, whatever is behind it.

mod http;
mod machine;
mod schedule;
