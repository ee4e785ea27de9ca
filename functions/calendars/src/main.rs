//! The `calendars` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(calendars::routes)
}
