//! The `cleanup_expired` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(cleanup_expired::run)
}
