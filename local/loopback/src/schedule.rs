//! Scheduled faults of a fake: for its next requests, and for all others.

use std::collections::VecDeque;

/// Faults that are scheduled for requests without a distinction between them.
#[derive(Debug)]
pub struct Schedule<F> {
    next: VecDeque<(usize, F)>,
    /// The fault of every request without a scheduled one.
    always: Option<F>,
}

impl<F> Default for Schedule<F> {
    fn default() -> Self {
        Self { next: VecDeque::new(), always: None }
    }
}

impl<F: Copy> Schedule<F> {
    /// Schedules `fault` for the next `count` requests, after those already scheduled.
    pub fn add_next(&mut self, count: usize, fault: F) {
        self.next.push_back((count, fault));
    }

    /// Sets the fault of every request without a scheduled one; `None` clears it.
    pub fn set_always(&mut self, fault: Option<F>) {
        self.always = fault;
    }

    /// Consumes and returns the fault of a request.
    pub fn take(&mut self) -> Option<F> {
        while let Some((left, fault)) = self.next.front_mut() {
            if *left > 0 {
                *left -= 1;
                return Some(*fault);
            }
            self.next.pop_front();
        }
        self.always
    }
}
