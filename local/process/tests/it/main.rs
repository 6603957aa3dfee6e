//! The integration tests of the guardian with real processes, in one binary.

mod guardian;
