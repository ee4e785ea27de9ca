//! Journeys through the real gateway, SDK and emulators; contracts between template, code and documents; simulations;
//! and the data that other calendar systems are tested with.

mod contracts;
mod data;
mod journeys;
mod simulations;
mod world;
