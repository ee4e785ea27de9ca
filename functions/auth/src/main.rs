//! The `auth` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(auth::routes)
}
