//! Reads variables, and collects what is missing or wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// What is missing or wrong in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", self.0.join("; "))]
pub struct InvalidConfig(pub Vec<String>);

/// Environment variables, and what was found missing or wrong while they were read.
pub struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Environment<'a> {
    /// Variables that `lookup` answers for by name.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: vec![],
            read: RefCell::default(),
        }
    }

    /// The variables of this process.
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        Self::new(&|name| std::env::var(name).ok())
    }

    /// A variable that may be missing; an empty one counts as missing.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.read.borrow_mut().insert(name.to_owned());
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// A variable without which the function cannot start. Empty, and reported, when it is missing.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.report(format!("{name} is missing"));
            String::new()
        })
    }

    /// A switch, which is on when the variable says `on`.
    pub fn is_on(&self, name: &str) -> bool {
        self.optional(name).is_some_and(|value| value == "on")
    }

    /// Notes what is wrong.
    pub fn report(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The names of all variables that were asked for.
    pub fn names(&self) -> BTreeSet<String> {
        self.read.borrow().clone()
    }

    /// Whether everything was there.
    ///
    /// # Errors
    /// [`InvalidConfig`] names every variable that is missing or wrong.
    pub fn check(&mut self) -> Result<(), InvalidConfig> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(InvalidConfig(std::mem::take(&mut self.problems)))
        }
    }
}
