//! The `auth` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(auth::routes)
}
