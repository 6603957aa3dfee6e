//! local-graph
