//! The `oauth` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(oauth::routes)
}
