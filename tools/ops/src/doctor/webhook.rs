//! The two URLs: that they respond to authorized requests, and refuse all others.

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;
use webhook::signature::{self, AppSecret};

use super::connection::{TIMEOUT, no_answer, safe_url, shown};
use super::event::TestEvent;
use super::report::Report;
use super::settings::{MESSAGES_URL, Settings, USER_TOKEN, WEBHOOK_URL};

/// The checks with secrets, made after the URL is known to be the webhook's.
const CHECKS_WITH_SECRETS: [&str; 4] = ["verify_token", "wrong_verify_token", "signature", "wrong_signature"];

/// A token in the format of a user's, with an invalid signature: `{"role":"authenticated"}`.
const UNSIGNED_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYXV0aGVudGljYXRlZCJ9.\
                             AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hint for a failing function.
const LOG: &str = "its log has the cause (CloudWatch, log group of the function)";

/// Checks `/webhook` and `/messages`.
pub async fn examine(settings: &Settings, event: &TestEvent, http: &Client) -> Report {
    let mut report = Report::default();
    match &settings.webhook_url {
        None => {
            let why = format!("give --url, or set {WEBHOOK_URL}");
            report.unchecked("webhook_url", &why);
            report.all_unchecked(&CHECKS_WITH_SECRETS, &why);
        }
        Some(url) => match address(url, http).await {
            Err(wrong) => {
                report.wrong("webhook_url", wrong);
                report.all_unchecked(&CHECKS_WITH_SECRETS, "the URL is wrong");
            }
            Ok(url) => {
                report.right("webhook_url", format!("{} is the webhook", shown(&url)));
                handshakes(settings, &url, http, &mut report).await;
                posts(settings, &url, event, http, &mut report).await;
            }
        },
    }
    messages(settings, http, &mut report).await;
    report
}

/// Checks that the webhook responds at the URL: it reports the missing parameters of an empty handshake. No secret is
/// sent before that.
async fn address(text: &str, http: &Client) -> Result<Url, String> {
    let url = safe_url(text).map_err(|what| format!("{what}: give the stack's output WebhookUrl"))?;
    if !url.path().trim_end_matches('/').ends_with("/webhook") {
        return Err(format!(
            "its path is {} and not /webhook: give the stack's output WebhookUrl",
            url.path()
        ));
    }
    let status = answer(http.get(url.clone())).await.map_err(|why| {
        format!("{why}: is the host that of the stack's output WebhookUrl, and is the stack deployed?")
    })?;
    match status.0.as_u16() {
        400 => Ok(url),
        404 => {
            Err("404: the host responds, but not at this path; compare it with the output WebhookUrl"
                .to_owned())
        }
        300..400 => Err(format!("{}: a redirect, which Meta does not follow", status.0.as_u16())),
        500.. => Err(format!("{}: the function webhook fails; {LOG}", status.0.as_u16())),
        other => Err(format!("{other}: another program than the function webhook responds here")),
    }
}

async fn handshakes(settings: &Settings, url: &Url, http: &Client, report: &mut Report) {
    let Some(token) = &settings.verify_token else {
        let why = "set WHATSAPP_VERIFY_TOKEN";
        return report.all_unchecked(&["verify_token", "wrong_verify_token"], why);
    };
    let challenge = (Uuid::new_v4().as_u128() % 10_000_000_000).to_string();
    let shake = |token: &str| {
        let mut url = url.clone();
        let pairs = [("hub.mode", "subscribe"), ("hub.verify_token", token), ("hub.challenge", &challenge)];
        url.query_pairs_mut().extend_pairs(pairs);
        answer(http.get(url))
    };
    let check = "verify_token";
    match shake(token.expose_secret()).await {
        Ok((StatusCode::OK, body)) if body == challenge => {
            report.right(check, "GET /webhook returns the challenge");
        }
        Ok((StatusCode::OK, _)) => {
            report.wrong(check, "200, but without the challenge: another program responds");
        }
        Ok((StatusCode::FORBIDDEN, _)) => report.wrong(
            check,
            "403: the function has another verify token. Put the same WHATSAPP_VERIFY_TOKEN into the secret and into \
             Meta's console; a changed secret is read within 5 minutes",
        ),
        Ok((status, _)) => report.wrong(check, format!("{}: {LOG}", status.as_u16())),
        Err(why) => report.wrong(check, format!("{why}: {LOG}")),
    }
    let check = "wrong_verify_token";
    match shake(&format!("doctor-{}", Uuid::new_v4())).await {
        Ok((StatusCode::FORBIDDEN, _)) => report.right(check, "another token is refused with 403"),
        Ok((StatusCode::OK, _)) => report.wrong(
            check,
            "any token is accepted: another program responds at this URL. Deploy this one again",
        ),
        Ok((status, _)) => report.wrong(check, format!("{} in place of 403: {LOG}", status.as_u16())),
        Err(why) => report.wrong(check, format!("{why}: {LOG}")),
    }
}

async fn posts(settings: &Settings, url: &Url, event: &TestEvent, http: &Client, report: &mut Report) {
    let Some(secret) = &settings.app_secret else {
        return report.all_unchecked(&["signature", "wrong_signature"], "set WHATSAPP_APP_SECRET");
    };
    let post = |secret: &SecretString, body: String| {
        let signature = AppSecret::new(secret).sign(body.as_bytes());
        let request = http.post(url.clone()).header("content-type", "application/json");
        answer(request.header(signature::HEADER, signature).body(body))
    };
    let check = "signature";
    match post(secret, event.payload()).await {
        Ok((StatusCode::OK, _)) => {
            report.right(check, "a signed POST /webhook gets 200: the queue has its event");
        }
        Ok((StatusCode::UNAUTHORIZED, _)) => report.wrong(
            check,
            "401: the function has another app secret. Put the one of Meta's console (App settings → Basic) into the \
             secret as WHATSAPP_APP_SECRET; a changed secret is read within 5 minutes",
        ),
        Ok((status, _)) if status.is_server_error() => report.wrong(
            check,
            format!("{}: the signature is right, but the queue did not accept the event; {LOG}", status.as_u16()),
        ),
        Ok((status, _)) => report.wrong(check, format!("{}: {LOG}", status.as_u16())),
        Err(why) => report.wrong(check, format!("{why}: {LOG}")),
    }
    let check = "wrong_signature";
    // Not a WhatsApp object: if it is accepted, it has no effect.
    let other = SecretString::from(Uuid::new_v4().to_string());
    match post(&other, r#"{"object":"doctor"}"#.to_owned()).await {
        Ok((StatusCode::UNAUTHORIZED, _)) => report.right(check, "another signature is refused with 401"),
        Ok((StatusCode::OK, _)) => report.wrong(
            check,
            "any signature is accepted: another program responds at this URL. Deploy this one again",
        ),
        Ok((status, _)) => report.wrong(check, format!("{} in place of 401: {LOG}", status.as_u16())),
        Err(why) => report.wrong(check, format!("{why}: {LOG}")),
    }
}

async fn messages(settings: &Settings, http: &Client, report: &mut Report) {
    let (address, supabase, page) = ("messages_url", "messages_token", "messages_page");
    let given = settings.messages_url.clone();
    if given.is_none() && settings.webhook_url.is_some() && !report.is_right("webhook_url") {
        let why = "the webhook's URL, from which it is derived, is wrong";
        return report.all_unchecked(&[address, supabase, page], why);
    }
    let beside = || settings.webhook_url.as_ref()?.trim_end_matches('/').strip_suffix("/webhook");
    let Some(url) = given.or_else(|| beside().map(|stage| format!("{stage}/messages"))) else {
        let why = format!("give --messages-url, or set {MESSAGES_URL}");
        return report.all_unchecked(&[address, supabase, page], &why);
    };
    let url = match safe_url(&url) {
        Ok(url) => url,
        Err(what) => {
            report.wrong(address, format!("{what}: give the stack's output MessagesUrl"));
            return report.all_unchecked(&[supabase, page], "the URL is wrong");
        }
    };
    let wrong = match answer(http.get(url.clone())).await {
        Ok((StatusCode::UNAUTHORIZED, _)) => None,
        Ok((StatusCode::OK, _)) => {
            Some("200 without a token: another program than the function messages responds".into())
        }
        Ok((StatusCode::NOT_FOUND, _)) => {
            Some("404: compare it with the stack's output MessagesUrl".to_owned())
        }
        Ok((status, _)) => Some(format!("{} in place of 401: {LOG}", status.as_u16())),
        Err(why) => Some(format!("{why}: give the stack's output MessagesUrl with --messages-url")),
    };
    if let Some(wrong) = wrong {
        report.wrong(address, wrong);
        return report.all_unchecked(&[supabase, page], "the URL is wrong");
    }
    report.right(address, "GET /messages without a token is refused with 401");
    match answer(http.get(url.clone()).bearer_auth(UNSIGNED_TOKEN)).await {
        Ok((StatusCode::UNAUTHORIZED, _)) => {
            report.right(supabase, "Supabase refuses a token that it has not signed");
        }
        Ok((StatusCode::OK, _)) => {
            report.wrong(supabase, "a token with an invalid signature is accepted: deploy the function messages again");
        }
        Ok((StatusCode::BAD_GATEWAY, _)) => report.wrong(
            supabase,
            "502: Supabase refuses the function's own key; compare the parameter SupabasePublishableKey with Project \
             Settings → API Keys",
        ),
        Ok((status @ (StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT), _)) => report.wrong(
            supabase,
            format!(
                "{}: the function messages does not reach Supabase; compare the parameter SupabaseUrl, and see \
                 whether the project is up",
                status.as_u16()
            ),
        ),
        Ok((status, _)) => report.wrong(supabase, format!("{} in place of 401: {LOG}", status.as_u16())),
        Err(why) => report.wrong(supabase, format!("{why}: {LOG}")),
    }
    match &settings.user_token {
        Some(token) => page_of(url, token, page, http, report).await,
        None => report.unchecked(
            page,
            format!("no page was read as a user: set {USER_TOKEN} to the access token of a signed-in user"),
        ),
    }
}

/// Reads a page of the history as a user. Its messages are ignored.
async fn page_of(
    mut url: Url,
    token: &SecretString,
    check: &'static str,
    http: &Client,
    report: &mut Report,
) {
    url.query_pairs_mut().append_pair("limit", "1");
    match answer(http.get(url).bearer_auth(token.expose_secret())).await {
        Ok((StatusCode::OK, _)) => report.right(check, "a signed-in user gets a page"),
        Ok((StatusCode::UNAUTHORIZED, _)) => report.wrong(
            check,
            format!(
                "401: the token is not accepted; set {USER_TOKEN} to a fresh one of this project, they are valid for \
                 an hour"
            ),
        ),
        Ok((StatusCode::BAD_GATEWAY, _)) => report.wrong(
            check,
            "502: Supabase refuses the function's request for a signed-in user, or fails at it; see the checks of \
             the database and its tables, or in the SQL editor `grant select on table public.messages to \
             authenticated`",
        ),
        Ok((status, _)) => report.wrong(check, format!("{} in place of 200: {LOG}", status.as_u16())),
        Err(why) => report.wrong(check, format!("{why}: {LOG}")),
    }
}

/// Sends a request; returns the response, or the cause of its absence.
async fn answer(request: RequestBuilder) -> Result<(StatusCode, String), String> {
    let response = request.timeout(TIMEOUT).send().await.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let body = response.text().await.map_err(|error| no_answer(&error))?;
    Ok((status, body))
}
