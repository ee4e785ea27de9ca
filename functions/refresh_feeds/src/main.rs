//! The `refresh_feeds` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(refresh_feeds::run)
}
