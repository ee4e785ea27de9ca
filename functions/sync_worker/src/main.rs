//! The `sync_worker` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::queue(sync_worker::handle)
}
