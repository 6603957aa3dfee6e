//! All counters: metrics of the namespace `WhatsAppLambda`, each with the meaning of the log lines that it counts.

crate::names! {
    /// A counter. A log line counts by its field `counter`, which holds [`Counter::name`]; see [`crate::lambda::metrics`].
    pub enum Counter {
        // webhook
        AcceptedMessages = "accepted_messages": "messages of users put on the inbound queue",
        AcceptedEchoes = "accepted_echoes": "messages of the business put on the inbound queue",
        AcceptedStatuses = "accepted_statuses": "statuses put on the inbound queue",
        AcceptedEvents = "accepted_events": "events put on the inbound queue",
        UnqueuedRequests = "unqueued_requests": "requests that got 500, because SQS did not confirm everything",
        TruncatedUpdates = "truncated_updates": "updates and record tasks too large for SQS, stored truncated",
        RepairedPayloads = "repaired_payloads": "signed bodies with invalid JSON that were repaired",
        UnreadablePayloads = "unreadable_payloads": "signed bodies with an unreadable part, which is stored as an event",
        SurplusPayloads = "surplus_payloads": "bodies with more updates than Meta documents, the surplus stored as one event",
        ForeignPayloads = "foreign_payloads": "signed bodies of another product, ignored",

        // reply: deliveries that were handled
        AnsweredMessages = "answered_messages": "messages answered, in full or with the rest sent later",
        RecordedMessages = "recorded_messages": "messages recorded without a reply",
        RegistrationTexts = "registration_texts": "messages of unlinked senders answered with the registration text",
        LinkQuestions = "link_questions": "messages with a code, answered with the question whether to link",
        LinkedSenders = "linked_senders": "taps that linked their sender with a user",
        DiscardedLinks = "discarded_links": "taps that discarded a code",
        RefusedLinks = "refused_links": "codes and taps that are not valid",
        SilencedMessages = "silenced_messages": "messages not answered because their sender seems to be automatic",
        HeldMessages = "held_messages": "receives of messages that wait for further messages of their sender",
        HandledMessages = "handled_messages": "messages and record tasks with any other outcome",
        HandledEchoes = "handled_echoes": "messages of the business handled, with any outcome",
        HandledStatuses = "handled_statuses": "statuses handled, with any outcome",
        HandledEvents = "handled_events": "events handled, with any outcome",
        StoredEvents = "stored_events": "events written to the table account_events",

        // reply: deliveries that were not
        GraphAccountErrors = "graph_account_errors": "replies refused because of the access token, the account or the business number",
        GraphSlowDownErrors = "graph_slow_down_errors": "replies refused because of a rate limit of the account",
        GraphPassingErrors = "graph_passing_errors": "replies not sent because of a transient or unclear error",
        MissingAnswers = "missing_answers": "messages for which the responder had no reply in time",
        UnreadableEnvelopes = "unreadable_envelopes": "queue messages that this version cannot read",
        Panics = "panics": "handlers that panicked",
        UnrecordedMessages = "unrecorded_messages": "messages returned because neither the database nor the record queue accepted the rows",
        WaitingRecords = "waiting_records": "record tasks returned because the database did not accept the rows",
        WaitingIdentities = "waiting_identities": "identity changes returned because the database did not accept them",
        WaitingLinks = "waiting_links": "codes and taps returned because the database did not process them",
        PostponedMessages = "postponed_messages": "rests of a message group returned because the invocation had too little time left",
        OverdueMessages = "overdue_messages": "messages returned more than ten minutes after they were put on the inbound queue",
        FailedVisibilityChanges = "failed_visibility_changes": "failed changes of a visibility timeout",
        RepeatedAttempts = "repeated_attempts": "redeliveries of a message that is not recorded",
        QuarantinedMessages = "quarantined_messages": "messages quarantined: moved to the record queue because they fail each time",
        DeadLetters = "dead_letters": "messages that reply moved to a dead-letter queue",

        // reply: replies
        DuplicateReplyRisk = "duplicate_reply_risk": "replies that may be sent twice",
        ConfirmedReplies = "confirmed_replies": "replies not sent again, because an earlier attempt is known to have sent them",
        UnstoredAnswers = "unstored_answers": "replies sent without being stored first: a retry may say other words",
        UnnamedAnswers = "unnamed_answers": "replies sent for which the Graph API returned no wamid",
        UndeliverableAnswers = "undeliverable_answers": "replies that Meta refused permanently",
        DeferredAnswers = "deferred_answers": "long replies with a rest that is sent later",
        FailedAnswers = "failed_answers": "replies that failed after Meta had accepted them",
        FailedReadReceipts = "failed_read_receipts": "messages that were not marked as read",
        RetiredGraphVersions = "retired_graph_versions": "starts with a Graph API version that Meta has retired",
        BilledMessages = "billed_messages": "messages that Meta bills",
        BilledServiceMessages = "billed_service_messages": "billed messages of the category service",
        BilledUtilityMessages = "billed_utility_messages": "billed messages of the category utility",
        BilledMarketingMessages = "billed_marketing_messages": "billed messages of the category marketing",
        BilledAuthenticationMessages = "billed_authentication_messages": "billed messages of the category authentication",
        BilledOtherMessages = "billed_other_messages": "billed messages of any other category",

        // reply: the language model
        LlmErrorsThrottled = "llm_errors_throttled": "calls of the language model refused because of a rate limit",
        LlmErrorsServer = "llm_errors_server": "calls that failed with an error of the model's server",
        LlmErrorsTimeout = "llm_errors_timeout": "calls without a response in time",
        LlmErrorsConnection = "llm_errors_connection": "calls whose connection failed or broke",
        LlmErrorsAccount = "llm_errors_account": "calls refused because of the key, the quota, the address or the model's name",
        LlmErrorsContext = "llm_errors_context": "calls refused because the conversation was too long for the model",
        LlmErrorsUnusable = "llm_errors_unusable": "calls refused, or whose answer is a refusal, empty or unreadable",
        MissingConversations = "missing_conversations": "messages answered without the conversation so far, because the database did not respond",
        UncheckedLimits = "unchecked_limits": "messages answered without a check of the daily limits, because the database did not respond",
        FallbackAnswers = "fallback_answers": "turns that got the fallback text, or nothing, instead of an answer of the model",
        LimitedAnswers = "limited_answers": "turns that got the text of the daily limit, or nothing, because a limit was reached",

        // reply: the database
        FailedLookups = "failed_lookups": "messages answered although the lookup of their user failed",
        UncheckedAnswers = "unchecked_answers": "messages answered although it is unknown whether they were answered before",
        DeferredRecords = "deferred_records": "rows put on the record queue because the database did not accept them",
        DeferredUpdates = "deferred_updates": "statuses, events and echoes put on the record queue because the database did not accept them",
        DroppedRecords = "dropped_records": "rows dropped because their user was deleted",
        AmbiguousNumbers = "ambiguous_numbers": "numbers or user ids that name several users",
        ReassignedNumbers = "reassigned_numbers": "numbers linked with another user id, or linked after the message was written",
        OtherUserIds = "other_user_ids": "users found by number with a user id of another account in their link",
        MovedLinks = "moved_links": "numbers or user ids that their holder moved from one user to another",
        SkippedRegistrations = "skipped_registrations": "registration texts not sent because the database was unavailable",
        CompletedLinks = "completed_links": "links completed with a number, user id or account",
        IncompleteLinks = "incomplete_links": "links that could not be completed yet",
        AppliedIdentities = "applied_identities": "identity changes that were applied",
        StaleIdentities = "stale_identities": "identity changes not applied because the link is more recent",
        ClashingIdentities = "clashing_identities": "identity changes not applied because another user has the new number or user id",

        // messages
        HistoryPages = "history_pages": "pages of a history that were returned",
        FailedRequests = "failed_requests": "requests for a page that could not be read from Supabase",
        RefusedApiKeys = "refused_api_keys": "requests for which Supabase refused the publishable key",

        // all
        ColdStarts = "cold_starts": "processes that started",
        BrokenConnections = "broken_connections": "connections closed before a response",
        RotatedSecrets = "rotated_secrets": "changed secrets that were put into use",
        UnreadSecrets = "unread_secrets": "secrets that could not be refreshed, so that the earlier ones are used",
    }
}
