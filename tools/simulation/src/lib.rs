//! A fault simulation: the production code of all three functions over models of the services around them, on
//! virtual time, with all faults drawn from a seed. The same seed gives the same run.
//!
//! | module | content |
//! |---|---|
//! | [`model`] | the data: users and their messages, the state of every service, the clock, the faults |
//! | [`actors`] | Meta, the three functions on Lambda, the queues, the Graph API, the database, operators |
//! | [`checks`] | the guarantees, checked at the end of a run |
//! | [`harness`] | one run from its seed, many runs, the command line, results |
//!
//! Each module uses only those above it. A call to a service takes effect even if its caller has crashed meanwhile. A
//! process crashes between two steps, that is, at any await point.

pub mod actors;
pub mod checks;
pub mod harness;
pub mod model;

pub use model::defect::Defect;
