//! local-supabase
