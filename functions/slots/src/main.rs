//! The `slots` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(slots::routes)
}
