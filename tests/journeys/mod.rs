//! What people do, from the outside.

mod accounts;
mod attacks;
mod edges;
mod feeds;
mod fetching;
mod google;
mod isolation;
mod microsoft;
mod slots;
mod vault;
mod windows;
