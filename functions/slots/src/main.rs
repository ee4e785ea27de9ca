//! The `slots` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(slots::routes)
}
