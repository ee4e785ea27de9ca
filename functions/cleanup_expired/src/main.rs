//! The `cleanup_expired` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(cleanup_expired::run)
}
