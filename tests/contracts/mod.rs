//! Template, code, documents and sample events say the same.

mod dependencies;
mod derived;
mod environment;
mod layers;
mod samples;
mod sizes;
mod template;
mod vocabulary;
