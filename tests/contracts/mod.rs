//! Template, code, documents and sample events say the same.

mod environment;
mod layers;
mod samples;
mod template;
