"""Checks that no message in a queue is lost, read in transit, or processed twice because of a short timeout."""

from project import QUEUE, as_list, target

DAYS_14 = 14 * 24 * 3600


def check(project):
    yield from mappings(project)
    for name, resource in project.of_type(QUEUE):
        queue = resource["Properties"]
        if queue.get("SqsManagedSseEnabled") is not True:
            yield f"{name}: SqsManagedSseEnabled must be true"
        if resource.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate"):
            yield f"{name}: DeletionPolicy must be Retain or RetainExceptOnCreate: it may contain messages"
        if resource.get("UpdateReplacePolicy") != "Retain":
            yield f"{name}: UpdateReplacePolicy must be Retain: it may contain messages"
        if queue.get("FifoQueue") and (queue.get("DeduplicationScope"), queue.get("FifoThroughputLimit")) != (
            "messageGroup",
            "perMessageGroupId",
        ):
            yield f"{name}: DeduplicationScope and FifoThroughputLimit must make it a high-throughput queue"
        if not is_tls_only(project, name):
            yield f"{name}: no policy denies requests without TLS"
    yield from dead_letters(project)


def mappings(project):
    found = False
    for name, function, source in project.mappings():
        found = True
        if source.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: FunctionResponseTypes must be [ReportBatchItemFailures]"
        if "MaximumConcurrency" not in source.get("ScalingConfig", {}):
            yield f"{name}: a mapping without MaximumConcurrency takes all of the account's concurrency"
        queue_name = target(source["Queue"])
        queue = project.properties(queue_name, QUEUE)
        if queue is None:
            yield f"{name}: its queue is not in this template"
            continue
        # AWS's defaults: 30 s of visibility, 3 s of timeout.
        visibility, timeout = queue.get("VisibilityTimeout", 30), function.get("Timeout", 3)
        if visibility < 6 * timeout:
            yield f"{queue_name}: VisibilityTimeout {visibility} is below 6 times the timeout of {name} ({timeout})"
        if "RedrivePolicy" not in queue:
            yield f"{queue_name}: has no dead-letter queue"
        if queue.get("FifoQueue") and source.get("BatchSize", 10) > 10:
            yield f"{name}: a batch of a FIFO queue has at most 10 messages"
    if not found:
        yield "no function is fed by a queue"


def dead_letters(project):
    for name, dead_name in project.dead_letter_queues().items():
        queue, dead = project.properties(name, QUEUE), project.properties(dead_name, QUEUE)
        if dead is None:
            yield f"{name}: its dead-letter queue is not in this template"
            continue
        if bool(dead.get("FifoQueue")) != bool(queue.get("FifoQueue")):
            yield f"{dead_name}: must be FIFO exactly when {name} is"
        if dead.get("MessageRetentionPeriod") != DAYS_14:
            yield f"{dead_name}: MessageRetentionPeriod must be 14 days ({DAYS_14} s)"
        allowed = dead.get("RedriveAllowPolicy", {})
        arns = [arn.get("Fn::Sub") for arn in allowed.get("sourceQueueArns", [])]
        named = queue.get("QueueName", {}).get("Fn::Sub")
        prefix = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
        if allowed.get("redrivePermission") != "byQueue" or arns != [[prefix + named[0], named[1]]]:
            yield f"{dead_name}: RedriveAllowPolicy must allow {name}, and nothing else"


def is_tls_only(project, name):
    """Returns whether a policy of the queue denies all requests without TLS."""
    for _, resource in project.of_type("AWS::SQS::QueuePolicy"):
        policy = resource["Properties"]
        if name not in map(target, policy["Queues"]):
            continue
        for statement in as_list(policy["PolicyDocument"]["Statement"]):
            if (
                statement["Effect"] == "Deny"
                and statement["Principal"] == "*"
                and statement["Action"] == "sqs:*"
                and target(statement["Resource"]) == name
                and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
            ):
                return True
    return False
