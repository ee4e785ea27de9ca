//! What the checks find. Each finding is printed as soon as it is known.

use std::io::Write;

use super::wire::Answer;

/// Why a subject ends before its last assumption.
#[derive(Debug)]
pub(super) enum Interruption {
    /// An assumption does not hold, or cannot be tried, that the next ones rest on. It is recorded.
    Unmet,
    /// There was no response.
    NoAnswer(String),
}

impl Interruption {
    pub fn reason(self) -> String {
        match self {
            Self::Unmet => {
                "it rests on an assumption above that differs or was not tried".to_owned()
            }
            Self::NoAnswer(reason) => reason,
        }
    }
}

/// How a subject ends.
pub(super) type Checked = Result<(), Interruption>;

/// The findings so far.
pub(super) struct Findings {
    /// The subject that is being checked.
    subject: &'static str,
    held: u32,
    differ: u32,
    not_tried: u32,
    /// Whether a sandbox stands in for the provider. It responds with 501 to what it does not
    /// implement, which says nothing about the provider.
    is_sandbox: bool,
}

impl Findings {
    pub fn new(is_sandbox: bool) -> Self {
        Self {
            subject: "",
            held: 0,
            differ: 0,
            not_tried: 0,
            is_sandbox,
        }
    }

    /// Begins a subject.
    pub fn begin(&mut self, subject: &'static str) {
        self.subject = subject;
        say(&format!("\n{subject}"));
    }

    /// Records whether an assumption holds. `answer` is printed if it does not.
    pub fn check(&mut self, assumption: &str, is_held: bool, answer: &Answer) {
        if is_held {
            self.held += 1;
            say(&format!("  held       {assumption}"));
        } else if self.is_sandbox && answer.is(501) {
            self.skip(assumption, &answer.to_string());
        } else {
            self.differ += 1;
            say(&format!("  differs    {assumption}\n             {answer}"));
        }
    }

    /// As [`Findings::check`], for an assumption that the next ones rest on.
    pub fn require(&mut self, assumption: &str, is_held: bool, answer: &Answer) -> Checked {
        self.check(assumption, is_held, answer);
        if is_held {
            Ok(())
        } else {
            Err(Interruption::Unmet)
        }
    }

    /// Records a difference only if a request fails that the next assumptions need.
    pub fn need(&mut self, is_done: bool, answer: &Answer) -> Checked {
        if is_done {
            return Ok(());
        }
        self.require(
            "a request that prepares the next checks succeeds",
            false,
            answer,
        )
    }

    /// Records an assumption that cannot be tried.
    pub fn skip(&mut self, assumption: &str, reason: &str) {
        self.not_tried += 1;
        say(&format!("  not tried  {assumption}\n             {reason}"));
    }

    pub fn has_differences(&self) -> bool {
        self.differ > 0
    }

    pub fn summary(&self) -> String {
        format!(
            "{} held, {} differ, {} not tried",
            self.held, self.differ, self.not_tried
        )
    }
}

/// Ends a subject. If it was interrupted, its other assumptions are recorded as not tried.
pub(super) fn conclude(subject: Checked, findings: &mut Findings) {
    if let Err(interruption) = subject {
        let rest = format!("the rest of \"{}\"", findings.subject);
        findings.skip(&rest, &interruption.reason());
    }
}

/// Prints a line.
pub(super) fn say(text: &str) {
    // The reader of stdout may have exited.
    drop(writeln!(std::io::stdout(), "{text}"));
}
