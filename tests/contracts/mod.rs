//! Template, code, documents and sample events say the same.

mod samples;
mod template;
