//! The `events` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(events::routes)
}
