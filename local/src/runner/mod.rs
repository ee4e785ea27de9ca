//! Runs the functions as Lambda would: requests through the gateway, messages from the queue, jobs on their schedules.

mod background;
pub mod functions;
pub mod gateway;
pub mod openapi;
pub mod stack;
pub mod template;
