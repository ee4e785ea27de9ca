//! The `health` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(health::routes)
}
