//! Tests of the API that do not depend on a provider.

mod http;
mod machine;
mod schedule;
