//! The tests of the guardian with real processes, in one program.

mod guardian;
