//! The `reconcile` Lambda function.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(reconcile::run)
}
