//! Linking phones with users, as the users' apps do it.

use axum::http::StatusCode;
use local_stack::Stack;
use local_stack::links::{Link, LinkError, Links};
use qrcode::QrCode;
use qrcode::render::svg;

use crate::phones::User;
use crate::problem::Problem;

/// The minimum size of a QR code, in pixels.
const QR_CODE: u32 = 200;

/// The apps of both users.
pub(crate) struct Apps {
    links: Links,
    token_a: String,
    token_b: String,
}

impl Apps {
    /// The apps of the stack's users.
    ///
    /// # Errors
    /// When a token cannot be signed, or the HTTP client cannot be built.
    pub(crate) fn new(stack: &Stack) -> anyhow::Result<Self> {
        let [(_, token_a), (_, token_b)] = stack.users()?;
        Ok(Self { links: Links::new(&stack.services.supabase)?, token_a, token_b })
    }

    /// Creates a code of the user.
    pub(crate) async fn create_link(&self, user: User) -> Result<Link, Problem> {
        Ok(self.links.create(self.token(user)).await?)
    }

    /// Unlinks the user.
    pub(crate) async fn delete_link(&self, user: User) -> Result<(), Problem> {
        Ok(self.links.delete(self.token(user)).await?)
    }

    fn token(&self, user: User) -> &str {
        match user {
            User::A => &self.token_a,
            User::B => &self.token_b,
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let status = match &error {
            LinkError::Refused { status, .. } => StatusCode::from_u16(*status).ok(),
            LinkError::Http(_) => None,
        };
        Self::new(status.unwrap_or(StatusCode::BAD_GATEWAY), error.to_string())
    }
}

/// A QR code of `text`, as an SVG image.
pub(crate) fn qr_code(text: &str) -> Result<String, Problem> {
    let code = QrCode::new(text).map_err(|error| Problem::bad(error.to_string()))?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(QR_CODE, QR_CODE).build())
}
