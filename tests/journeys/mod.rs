//! End-to-end journeys of users, through the public API.

mod accounts;
mod attacks;
mod demo;
mod edges;
mod examples;
mod feeds;
mod fetching;
mod google;
mod isolation;
mod leases;
mod microsoft;
mod permissions;
mod quotas;
mod reading;
mod sign_in;
mod slots;
mod vault;
mod windows;
