//! The `renew_channels` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(renew_channels::run)
}
