//! The `refresh_feeds` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(refresh_feeds::run)
}
