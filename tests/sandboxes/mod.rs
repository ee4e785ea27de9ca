//! Tests of the sandboxes themselves, against what the providers document. Journeys rely on their fidelity.

mod google;
mod microsoft;
