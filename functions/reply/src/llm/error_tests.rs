use super::*;

/// The bodies are modelled on those of public reports: see the sources above.
#[test]
fn errors_of_many_servers_are_classified() {
    for (status, body, class) in [
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, you requested 4120 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            ErrorClass::Context,
        ),
        (
            400,
            r#"{"error":{"code":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum","type":"invalid_request_error","param":null}}"#,
            ErrorClass::Context,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"The input token count (134123) exceeds the maximum number of tokens allowed (131072).","status":"INVALID_ARGUMENT"}}]"#,
            ErrorClass::Context,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context size or enable context shift","type":"exceed_context_size_error","n_prompt_tokens":14429,"n_ctx":8192}}"#,
            ErrorClass::Context,
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"the request exceeds the available context size.","type":"exceed_context_size_error"}}"#,
            ErrorClass::Context,
        ),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 512 tokens.","type":"BadRequestError","param":null,"code":400}"#,
            ErrorClass::Context,
        ),
        (
            400,
            r#"{"object":"error","message":"Prompt contains 40960 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":"3051"}"#,
            ErrorClass::Context,
        ),
        (413, "", ErrorClass::Context),
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 45000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            ErrorClass::Context,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for requests","type":"requests","code":"rate_limit_exceeded"}}"#,
            ErrorClass::Throttled,
        ),
        // Amazon Bedrock.
        (429, r#"{"message":"Too many tokens, please wait before trying again."}"#, ErrorClass::Throttled),
        (
            429,
            r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}]"#,
            ErrorClass::Throttled,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            ErrorClass::Account,
        ),
        (402, r#"{"error":{"message":"Insufficient Balance"}}"#, ErrorClass::Account),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#,
            ErrorClass::Account,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
            ErrorClass::Account,
        ),
        (
            400,
            r#"{"object":"error","message":"Invalid model: mistral-huge","type":"invalid_model","param":null,"code":"1500"}"#,
            ErrorClass::Account,
        ),
        (
            404,
            r#"{"error":{"message":"model \"llama9\" not found, try pulling it first","type":"api_error"}}"#,
            ErrorClass::Account,
        ),
        (301, "", ErrorClass::Account),
        (
            403,
            r#"{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence"]}}}"#,
            ErrorClass::Unusable,
        ),
        (
            400,
            r#"{"error":{"message":"The response was filtered","code":"content_filter","status":400}}"#,
            ErrorClass::Unusable,
        ),
        (
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]}}"#,
            ErrorClass::Unusable,
        ),
        (
            503,
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            ErrorClass::Server,
        ),
        (529, r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, ErrorClass::Server),
        (502, "<html>", ErrorClass::Server),
        (408, "", ErrorClass::Timeout),
    ] {
        let error = ModelError::of_response(status, body, None);
        assert_eq!((error.class, error.status), (class, Some(status)), "{body}");
        assert!(error.to_string().ends_with(&format!(" (status {status})")), "{error}");
    }
}

#[test]
fn the_time_to_wait_is_read_in_all_its_forms() {
    let now = DateTime::parse_from_rfc3339("2026-11-28T12:00:00Z").expect("a time").to_utc();
    for (ms, after, expected) in [
        (None, None, None),
        (None, Some("2"), Some(2000)),
        (None, Some(" 0.25 "), Some(250)),
        (Some("1500"), Some("2"), Some(1500)),
        (Some("soon"), Some("3"), Some(3000)),
        (None, Some("Sat, 28 Nov 2026 12:00:30 GMT"), Some(30_000)),
        (None, Some("Sat, 28 Nov 2026 11:00:00 GMT"), Some(0)),
        (None, Some("-5"), Some(0)),
        (None, Some("1e300"), None),
        (None, Some("NaN"), Some(0)),
        (None, Some("later"), None),
    ] {
        assert_eq!(retry_after(ms, after, now), expected.map(Duration::from_millis), "{ms:?} {after:?}");
    }
}
