//! Reads environment variables and collects all missing or invalid ones.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// The configuration is not valid: one message per missing or invalid variable.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", self.0.join("; "))]
pub struct InvalidConfig(pub Vec<String>);

/// Environment variables, and the problems found while reading them.
pub struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Environment<'a> {
    /// Creates an environment that looks variables up by name with `lookup`.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: vec![],
            read: RefCell::default(),
        }
    }

    /// Creates an environment from the variables of this process.
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        Self::new(&|name| std::env::var(name).ok())
    }

    /// Returns an optional variable; an empty value counts as missing.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.read.borrow_mut().insert(name.to_owned());
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// Returns a required variable. If it is missing, reports a problem and returns an empty string.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.report(format!("{name} is missing"));
            String::new()
        })
    }

    /// Returns whether a switch is on: whether the variable is `on`.
    pub fn is_on(&self, name: &str) -> bool {
        self.optional(name).is_some_and(|value| value == "on")
    }

    /// Records a problem, which [`Environment::check`] returns.
    pub fn report(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns the names of all variables that were read.
    pub fn names(&self) -> BTreeSet<String> {
        self.read.borrow().clone()
    }

    /// Checks that no problem was reported.
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
