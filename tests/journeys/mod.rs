//! What people do, from the outside.

mod accounts;
mod attacks;
mod edges;
mod feeds;
mod fetching;
mod google;
mod google_trouble;
mod isolation;
mod slots;
mod vault;
mod windows;
