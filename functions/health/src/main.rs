//! The `health` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(health::routes)
}
