//! Runs the functions as Lambda does: with requests from the gateway, messages from the queue, and
//! jobs on their schedules.

mod background;
pub mod functions;
pub mod gateway;
pub mod openapi;
pub mod stack;
pub mod template;
