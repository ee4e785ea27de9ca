//! The `sync` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(sync::routes)
}
