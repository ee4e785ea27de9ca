//! The `webhooks` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(webhooks::routes)
}
