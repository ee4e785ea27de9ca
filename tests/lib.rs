//! Tests of the whole backend; see `main.rs`.
