//! The `reconcile` Lambda.

fn main() -> Result<(), shared::boot::Error> {
    shared::boot::schedule(reconcile::run)
}
