//! The `ics` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(ics::routes)
}
