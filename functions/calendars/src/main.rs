//! The `calendars` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(calendars::routes)
}
