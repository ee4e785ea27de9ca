//! The sandboxes themselves: they are held to what the providers publish, or journeys on them would prove nothing.

mod google;
mod microsoft;
