//! The `sync` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(sync::routes)
}
