//! The `ics` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(ics::routes)
}
