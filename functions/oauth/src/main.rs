//! The `oauth` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(oauth::routes)
}
