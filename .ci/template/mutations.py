"""Tests the checks: breaks a copy of the template, or of a file that it must agree with, in one place, and expects
the fault to be reported.

    mutations.py CHECK_TEMPLATE       the script that also calls cfn-lint
"""

import re
import subprocess
import sys
import tempfile

from check import faults
from project import Project

TEMPLATE, RUNBOOK = "template.yaml", "docs/RUNBOOK.md"
CONFIGURATION, DEPLOYING = "docs/CONFIGURATION.md", "docs/DEPLOYING.md"
SAMCONFIG, PARAMETERS = "samconfig.toml", "parameters.example.yaml"
REPLY_SETTINGS = "functions/reply/src/settings.rs"

# File, regular expression, replacement of the first match, and the expected fault.
MUTATIONS = [
    # queues
    (TEMPLATE, "VisibilityTimeout: 540", "VisibilityTimeout: 539", "VisibilityTimeout 539 is below 6 times"),
    (TEMPLATE, "Timeout: 90", "Timeout: 91", "below 6 times the timeout of ReplyFunction"),
    (TEMPLATE, "ReportBatchItemFailures", "ReportBatchItemFailure", "must be [ReportBatchItemFailures]"),
    (TEMPLATE, r"FunctionResponseTypes: \[ReportBatchItemFailures\]\n", "\n", "must be [ReportBatchItemFailures]"),
    (TEMPLATE, r"ScalingConfig:\n +MaximumConcurrency: .*", "Enabled: true", "without MaximumConcurrency"),
    (TEMPLATE, "BatchSize: 10", "BatchSize: 11", "a batch of a FIFO queue"),
    (TEMPLATE, r"Queue: !GetAtt InboundQueue.Arn", "Queue: arn:aws:sqs:x:1:q", "its queue is not in this template"),
    (TEMPLATE, r"(?s)Type: SQS(.*)Type: SQS", r"Type: Kinesis\1Type: Kinesis", "no function is fed by a queue"),
    (TEMPLATE, r"(InboundDeadLetters:\n(?:.*\n){1,12}? +)FifoQueue: true", r"\1FifoQueue: false",
     "InboundDeadLetters: must be FIFO exactly when InboundQueue is"),
    (TEMPLATE, "DeduplicationScope: messageGroup", "DeduplicationScope: queue", "high-throughput"),
    (TEMPLATE, r"(FifoThroughputLimit: perMessageGroupId\n +MessageRetentionPeriod: )1209600", r"\g<1>345600",
     "InboundDeadLetters: MessageRetentionPeriod must be 14 days"),
    (TEMPLATE, "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false", "SqsManagedSseEnabled must be true"),
    (TEMPLATE, "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete", "DeletionPolicy must be Retain"),
    (TEMPLATE, "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete", "UpdateReplacePolicy must be Retain"),
    (TEMPLATE, '"aws:SecureTransport": "false"', '"aws:SecureTransport": "true"', "without TLS"),
    (TEMPLATE, r"Queues: \[!Ref RecordQueue\]", "Queues: [!Ref InboundQueue]", "RecordQueue: no policy denies"),
    (TEMPLATE, "redrivePermission: byQueue", "redrivePermission: allowAll", "RedriveAllowPolicy must allow"),
    (TEMPLATE, r":\$\{AWS::StackName\}-inbound-", ":${AWS::StackName}-inbox-", "RedriveAllowPolicy must allow InboundQueue"),
    (TEMPLATE, r"RedrivePolicy:\n +deadLetterTargetArn: !GetAtt RecordDead(.*\n){3}", "\n", "has no dead-letter queue"),
    (TEMPLATE, "deadLetterTargetArn: !GetAtt RecordDeadLetters.Arn", "deadLetterTargetArn: arn:aws:sqs:x:1:q",
     "its dead-letter queue is not in this template"),
    # permissions
    (TEMPLATE, "Action: sqs:SendMessage", "Action: sqs:*", "wildcard in the action sqs:*"),
    (TEMPLATE, r"Resource: !Ref WebhookSecretArn", 'Resource: "*"', "wildcard in the resource of secretsmanager:GetSecretValue"),
    (TEMPLATE, r"Resource: !Ref WebhookSecretArn", 'Resource: !Sub "${WebhookSecretArn}*"', "wildcard in the resource of secretsm"),
    (TEMPLATE, r"Resource: !Ref WebhookSecretArn", "Resource: [!Ref WebhookSecretArn, !Ref ReplySecretArn]",
     "webhook may not have secretsmanager:GetSecretValue on ReplySecretArn"),
    (TEMPLATE, r"Resource: !Ref ReplySecretArn", "Resource: !Ref WebhookSecretArn",
     "reply may not have secretsmanager:GetSecretValue on WebhookSecretArn"),
    (TEMPLATE, r"- sqs:ReceiveMessage\n", "- sqs:ReceiveMessage\n                  - sqs:PurgeQueue\n",
     "reply may not have sqs:PurgeQueue on InboundQueue"),
    (TEMPLATE, r"(webhook(?:.*\n){1,9}.*sqs:SendMessage\n +Resource: )!GetAtt InboundQueue.Arn",
     r"\1[!GetAtt InboundQueue.Arn, !GetAtt RecordQueue.Arn]", "webhook may not have sqs:SendMessage on RecordQueue"),
    (TEMPLATE, r" +- sqs:ChangeMessageVisibility\n", "", "reply needs sqs:ChangeMessageVisibility on InboundQueue"),
    (TEMPLATE, r"Role: !GetAtt MessagesRole.Arn", "Role: !GetAtt ReplyRole.Arn", "shares its role with"),
    (TEMPLATE, r"Role: !GetAtt MessagesRole.Arn", "Policies: [AmazonSQSFullAccess]", "must have a Role of this template"),
    (TEMPLATE, r"(MessagesRole:\n +Type: AWS::IAM::Role\n +Properties:\n)",
     r"\1      ManagedPolicyArns: [arn:aws:iam::aws:policy/AWSLambda_FullAccess]\n", "AWS managed policies"),
    (TEMPLATE, r"cloudwatch:DescribeAlarms\n +Resource: \"\*\"",
     "cloudwatch:DescribeAlarms\n                Resource: !GetAtt NewWebhookErrors.Arn", "DescribeAlarms is allowed on * only"),
    (TEMPLATE, r" +Role: !GetAtt ReplyDeploymentRole.Arn\n", "", "without a Role of its own CodeDeploy"),
    (TEMPLATE, r"(ReplyDeploymentRole(?:.*\n){1,20}?.*Resource: \[!GetAtt )ReplyFunction.Arn", r"\1WebhookFunction.Arn",
     "ReplyDeploymentRole: must be for ReplyFunction only"),
    (TEMPLATE, r"(?m)^Outputs:", "  More:\n    Type: AWS::IAM::Policy\n    Properties: {}\nOutputs:", "must be in the role"),
    # functions, logs and the API
    (TEMPLATE, r"Architectures: \[arm64\]", "Architectures: [x86_64]", "Architectures must be"),
    (TEMPLATE, "DependsOn: ReplyFunctionAliaslive", "DependsOn: ReplyFunction", "before reply's new code"),
    (TEMPLATE, "Path: /messages", "Path: /message", "the routes must be"),
    (TEMPLATE, "BuildMethod: rust-cargolambda", "BuildMethod: makefile", "BuildMethod must be rust-cargolambda"),
    (TEMPLATE, r" +AutoPublishAliasAllProperties: true\n", "", "a changed parameter is not published"),
    (TEMPLATE, r"( +Tracing: !Select\n +- 0\n +- - .*\n) +- !Ref WebhookSecretArn\n", r"\1",
     "WebhookFunction: another WebhookSecretArn publishes no version"),
    (TEMPLATE, r"(Tracing: !Select\n(?:.*\n)*?.*)!Ref XRayTracing\n", r"\1!Ref LogRetentionDays\n",
     "WebhookFunction: another XRayTracing publishes no version"),
    (TEMPLATE, r"(Tracing: )!Select\n(?:.*\n){20,30}?( +)# It needs 8 MB", r"\1PassThrough\n\2# It needs 8 MB",
     "ReplyFunction: another RegistrationText publishes no version"),
    (TEMPLATE, r"(Tracing: !Select\n(?:.*\n)*?)( +- !Ref XRayTracing\n)", r"\1\2          - !Ref LogRetentionDays\n",
     "WebhookFunction: another LogRetentionDays changes the version's id, but nothing"),
    (TEMPLATE, r" +Alarms: \[!Ref NewReplyErrors\]\n", "", "no alarm rolls a bad deployment back"),
    (TEMPLATE, r"LoggingConfig:\n +LogGroup: .*\n", "\n", "logs to no group of this template"),
    (TEMPLATE, r" +RetentionInDays: .*\n", "", "has no RetentionInDays"),
    (TEMPLATE, r" +ThrottlingBurstLimit: .*\n", "", "has no throttling"),
    (TEMPLATE, "DestinationArn: !GetAtt ApiLogGroup.Arn", "DestinationArn: arn:aws:logs:x:1:log-group:y", "no access log"),
    (TEMPLATE, r'\{"requestId":', '{requestId:', "the access log is not JSON"),
    (TEMPLATE, r"\$context.routeKey", "$context.path", "may contain secrets or personal data"),
    (TEMPLATE, r"\$context.integrationLatency", "-", "the access log lacks integrationLatency"),
    # alarms, metrics and the dashboard
    (TEMPLATE, "docs/RUNBOOK.md#inbound-age", "docs/RUNBOOK.md#age", "has no section age"),
    (TEMPLATE, " docs/RUNBOOK.md#record-backlog", "", "does not end in its section"),
    (RUNBOOK, "### Throttles\n", "### Throttling\n", "no alarm names the section throttling"),
    (RUNBOOK, "`QuarantinedMessagesAlarm`", "`OtherAlarm`", "QuarantinedMessagesAlarm: docs/RUNBOOK.md gives no urgency"),
    (RUNBOOK, "`QuarantinedMessagesAlarm`", "`OtherAlarm`", "OtherAlarm has an urgency, but is not an alarm"),
    (TEMPLATE, r" +AlarmActions: .*\n", "", "notifies nothing"),
    (TEMPLATE, r"errors-\$\{WebhookFunction.Version.Version\}", "errors", "stops its fix"),
    (TEMPLATE, r"MetricName: version_errors(\n.*\n.*\n.*)!GetAtt ReplyFunction.Version.Version",
     r"MetricName: version_errors\1$LATEST", "NewReplyErrors: does not see version_errors of the new version"),
    (TEMPLATE, r" +- \{ Name: ExecutedVersion, .*\n", "", "NewWebhookErrors: does not see Errors of the new version"),
    (TEMPLATE, r"MetricName: wrong_signatures\n +Stat", "MetricName: wrong_signature\n            Stat",
     "RefusedWebhooksAlarm: no metric filter makes wrong_signature"),
    (TEMPLATE, '"refused_requests"', '"refused"', "Dashboard: no metric filter makes refused"),
    (TEMPLATE, "MetricName: overdue_messages", "MetricName: overdue", "InboundAgeAlarm: reply writes no metric overdue"),
    (TEMPLATE, r" +TreatMissingData: .*\n", "", "does not set the treatment of missing data"),
    (TEMPLATE, r"(RecordDeadLettersAlarm:\n(?:.*\n){1,16}? +Threshold: )1", r"\g<1>100",
     "RecordDeadLetters: no alarm for its messages"),
    (TEMPLATE, "MetricName: graph_account_errors", "MetricName: graph_acount_errors", "writes no metric graph_acount"),
    (TEMPLATE, '"llm_output_tokens"', '"llm_tokens"', "Dashboard: reply writes no metric llm_tokens"),
    (TEMPLATE, r"(graph_account_errors\n.*\n.*!Ref )ReplyFunction", r"\1WebhookFunction",
     "webhook writes no metric graph_account_errors"),
    (TEMPLATE, r"\{ Name: function, Value: !Ref ReplyFunction \}", "{ Name: FunctionName, Value: !Ref ReplyFunction }", "the one dimension function"),
    (TEMPLATE, r'"receipt_to_reply_ms", "function"', '"echo_ms", "function"', "Dashboard: reply writes no metric echo_ms"),
    ("docs/COSTS.md", "39 metrics", "38 metrics", "docs/COSTS.md: the alarms are 24, over 39 metrics"),
    (TEMPLATE, "## 2 webhook", "## 3 webhook", "do not count from left to right"),
    # environment variables
    (TEMPLATE, r" +RECORD_QUEUE_URL: .*\n", "", "reply reads RECORD_QUEUE_URL, which the template does not set"),
    (TEMPLATE, "SUPABASE_URL: !Ref", "SUPABASE_UR: !Ref", "SUPABASE_UR is set, but reply does not read it"),
    (TEMPLATE, r"(\n +)(INBOUND_QUEUE_URL: .*)", r"\1\2\1GRAPH_API_URL: https://example.com", "must not be set on AWS"),
    (TEMPLATE, "SECRET_ID: !Ref WebhookSecretArn", "WHATSAPP_APP_SECRET: x", "WHATSAPP_APP_SECRET is a secret"),
    (TEMPLATE, r"SECRET_ID: !Ref WebhookSecretArn",
     'SECRET_ID: "{{resolve:secretsmanager:x:SecretString:y}}"', "a value that CloudFormation resolves"),
    (TEMPLATE, "LLM_URL: !Ref LlmUrl", "LLM_API_KEY: x", "LLM_API_KEY is a secret"),
    (TEMPLATE, r"(?s)(Parameters:\n.*LLM_)API_KEY", r"\1KEY", "its description must name what reply reads"),
    (TEMPLATE, "SECRET_ID: !Ref WebhookSecretArn", "SECRET_ID: !Ref ReplySecretArn",
     "WebhookFunction: SECRET_ID is ReplySecretArn, but must be WebhookSecretArn"),
    (TEMPLATE, "the keys WHATSAPP_APP_SECRET and", "the keys WHATSAPP_ACCESS_TOKEN, WHATSAPP_APP_SECRET and",
     "its description must name what webhook reads"),
    (TEMPLATE, r"- Assert: .*", "- Assert: !Not [!Equals [!Ref WebhookSecretArn, x]]",
     "no rule requires ReplySecretArn to be another secret"),
    (REPLY_SETTINGS, '"WHATSAPP_READ_RECEIPTS"', '"WHATSAPP_RECEIPTS"', "reply reads WHATSAPP_RECEIPTS, which"),
    (REPLY_SETTINGS, '"WHATSAPP_READ_RECEIPTS"', '"WHATSAPP_RECEIPTS"', "WHATSAPP_RECEIPTS is not in the table"),
    ("shared/src/lambda/env.rs", r"\A", 'fn x() { optional("SHARED_THING"); }', "shared reads SHARED_THING"),
    (CONFIGURATION, r"\| `WHATSAPP_ANSWER_GROUPS` .*\n", "", "WHATSAPP_ANSWER_GROUPS is not in the table"),
    (CONFIGURATION, r"\| `RUST_LOG`", "| `RUST_LOGS`", "RUST_LOGS is in the table, but nothing reads it"),
    (CONFIGURATION, r"\| `SUPABASE_URL` \| reply, messages", "| `SUPABASE_URL` | reply", "the table differs"),
    (CONFIGURATION, r"\| `WHATSAPP_APP_SECRET` \| webhook", "| `WHATSAPP_APP_SECRET` | reply", "the table differs"),
    # samconfig.toml and parameters.example.yaml
    (PARAMETERS, r"ReplySecretArn: FILL-IN\n", "", "default is not given ReplySecretArn"),
    (SAMCONFIG, "LogRetentionDays=7", "LogRetentionDays=8", "a value that the template refuses"),
    (SAMCONFIG, "GraphApiVersion=", "GraphVersion=", "GraphVersion, which is not a parameter"),
    (PARAMETERS, "# RegistrationText: .*", "RegistrationText: FILL-IN", "would take FILL-IN for RegistrationText"),
    (SAMCONFIG, "whatsapp-lambda-prod", "whatsapp-lambda-dev", "a stack of its own"),
    (PARAMETERS, "SupabaseUrl: FILL-IN", "SupabaseUrl: sb_secret_abc", "sb_secret_abc is a secret"),
    (SAMCONFIG, '"LogRetentionDays=7"', '"RegistrationText=Please register", "LogRetentionDays=7"',
     "SAM makes “Please” of RegistrationText=Please register"),
    (SAMCONFIG, 'stack_name = "whatsapp-lambda-dev"', 'stack_name = "whatsapp-lambda-dev"\nregion = "us-east-1"',
     "the region of default is the operator's own"),
    (SAMCONFIG, '    "file://parameters.prod.yaml",\n', "", "must end with the operator's own file://parameters.prod.yaml"),
    (".gitignore", r"/parameters.*\n!", "!", "parameters.dev.yaml contains an operator's own values"),
    (DEPLOYING, "cp parameters.example.yaml", "cat parameters.example.yaml", "does not say that parameters.example.yaml is"),
    (TEMPLATE, r"(ReplyMaximumConcurrency:\n +Type: Number\n +Default: )5", r"\g<1>10", "the queues may take 12 of the 10"),
]
# cfn-lint takes seconds: one fault shows that its findings count.
LINT = (r"MemorySize: 256", "MemorySise: 256", "MemorySise")


def mutated(path, pattern, replacement):
    """Returns the text of a file with the first match replaced."""
    text, count = re.subn(pattern, replacement, Project().text(path), count=1)
    if not count:
        raise SystemExit(f"{path}: nothing matches {pattern}")
    return text


def main(check_template):
    wrong = faults(Project())
    if wrong:
        raise SystemExit("\n".join(["the template itself has faults:", *wrong]))
    unnoticed = []
    for path, pattern, replacement, expected in MUTATIONS:
        found = faults(Project(replaced={path: mutated(path, pattern, replacement)}))
        if not any(expected in fault for fault in found):
            unnoticed.append(f"{path}: {pattern} -> {replacement}: expected “{expected}”, found {found}")
    pattern, replacement, expected = LINT
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(mutated(TEMPLATE, pattern, replacement))
        file.flush()
        lint = subprocess.run([check_template, file.name], capture_output=True, text=True)
    if lint.returncode == 0 or expected not in lint.stdout + lint.stderr:
        unnoticed.append(f"cfn-lint: {replacement}: {lint.stdout}{lint.stderr}")
    for line in unnoticed:
        print(line, file=sys.stderr)
    total = len(MUTATIONS) + 1
    print(f"{total - len(unnoticed)} of {total} broken copies noticed")
    sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main(sys.argv[1])
