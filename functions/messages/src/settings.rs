//! What `messages` reads from its environment.

use shared::env::{self, EnvError};
use shared::supabase::{ApiKey, ProjectUrl};

/// All settings.
#[derive(Debug)]
pub struct Settings {
    /// `SUPABASE_URL`.
    pub supabase_url: ProjectUrl,
    /// `SUPABASE_PUBLISHABLE_KEY`: a publishable key, or the older `anon` key.
    pub supabase_key: ApiKey,
}

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub fn from_env() -> Result<Self, EnvError> {
        let supabase_key: ApiKey = env::parsed("SUPABASE_PUBLISHABLE_KEY")?;
        if supabase_key.is_secret() {
            let reason =
                "it is a secret key; this function needs a publishable one (sb_publishable_…)".to_owned();
            return Err(EnvError::Unusable { name: "SUPABASE_PUBLISHABLE_KEY", reason });
        }
        Ok(Self { supabase_url: env::parsed("SUPABASE_URL")?, supabase_key })
    }
}
