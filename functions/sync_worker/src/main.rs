//! The `sync_worker` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::queue(sync_worker::handle)
}
