//! The `refresh_tokens` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(refresh_tokens::run)
}
