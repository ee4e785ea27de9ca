//! The `events` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(events::routes)
}
