//! The `webhooks` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::http(webhooks::routes)
}
