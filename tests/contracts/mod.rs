//! Template, code, documents and sample events say the same.

mod floors;
mod samples;
mod template;
