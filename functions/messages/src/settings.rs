//! The settings of `messages`, from environment variables.

use shared::lambda::env::{self, EnvError};
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
    /// The error names the variable that is missing or unusable.
    pub fn from_env() -> Result<Self, EnvError> {
        let supabase_key = usable(env::parsed("SUPABASE_PUBLISHABLE_KEY")?)?;
        Ok(Self { supabase_url: env::parsed("SUPABASE_URL")?, supabase_key })
    }
}

/// Refuses a key that bypasses row-level security, of either kind: this function must not hold a secret.
fn usable(key: ApiKey) -> Result<ApiKey, EnvError> {
    if !key.is_secret() {
        return Ok(key);
    }
    let reason = "it is a secret key or the service_role key; this function needs the publishable one \
        (sb_publishable_…) or the anon key";
    Err(EnvError::Unusable { name: "SUPABASE_PUBLISHABLE_KEY", reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_refused_and_not_repeated() {
        // {"role":"anon"} and {"role":"service_role"}
        let (anon, service_role) = ("eyJ9.eyJyb2xlIjoiYW5vbiJ9.x", "eyJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.x");
        for (key, is_usable) in
            [("sb_publishable_k", true), (anon, true), ("sb_secret_hunter2", false), (service_role, false)]
        {
            let checked = usable(key.parse().expect("a key"));
            assert_eq!(checked.is_ok(), is_usable, "{key}");
            assert!(checked.err().is_none_or(|error| !error.to_string().contains(key)));
        }
    }
}
