"""Checks that each function has a separate role with exactly the required permissions, without wildcards."""

from project import as_list, target

# The permissions of a role: the actions, and the resource or parameter by its logical id; in addition to its log group.
ALLOWED = {
    "webhook": {
        ("sqs:SendMessage", "InboundQueue"),
        ("secretsmanager:GetSecretValue", "WebhookSecretArn"),
        ("kms:Decrypt", "SecretKmsKeyArn"),
    },
    "reply": {
        *((f"sqs:{action}", queue)
          for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
          for queue in ("InboundQueue", "RecordQueue")),
        *(("sqs:SendMessage", queue) for queue in ("RecordQueue", "InboundDeadLetters", "RecordDeadLetters")),
        ("secretsmanager:GetSecretValue", "ReplySecretArn"),
        ("kms:Decrypt", "SecretKmsKeyArn"),
    },
    "messages": set(),
}
# Allowed on "*" only: the first two have no permissions by resource (AWS's Service Authorization Reference, "X-Ray"),
# and CodeDeploy's own policies allow it the third on "*". They write traces, and read the states of alarms.
WITHOUT_RESOURCE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "cloudwatch:DescribeAlarms"}
LOG_ACTIONS = {"logs:CreateLogStream", "logs:PutLogEvents"}


def check(project):
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        for name, _ in project.of_type(kind):
            yield f"{name}: the permissions of a role must be in the role"
    for name, resource in project.of_type("AWS::IAM::Role"):
        if resource["Properties"].get("ManagedPolicyArns"):
            yield f"{name}: AWS managed policies allow by wildcard; list the required permissions"
        for statement in statements(resource):
            if statement["Effect"] != "Allow":
                continue
            for action in as_list(statement.get("Action", "*")):
                if "*" in action:
                    yield f"{name}: wildcard in the action {action}"
                if action in WITHOUT_RESOURCE:
                    if statement.get("Resource") != "*":
                        yield f"{name}: {action} is allowed on * only"
                    continue
                for arn in as_list(statement.get("Resource", "*")):
                    if "*" in str(arn):
                        yield f"{name}: wildcard in the resource of {action}"
    yield from functions(project)


def functions(project):
    names, roles = project.function_names(), {}
    for name, function in project.functions():
        role = target(function.get("Role"))
        if project.properties(role, "AWS::IAM::Role") is None or "Policies" in function:
            yield f"{name}: must have a Role of this template, and no Policies: SAM adds wildcards"
            continue
        if role in roles:
            yield f"{name}: shares its role with {roles[role]}"
        roles[role] = name
        deployer = target(function.get("DeploymentPreference", {}).get("Role"))
        if project.properties(deployer, "AWS::IAM::Role") is None:
            yield f"{name}: without a Role of its own CodeDeploy gets one of SAM's, which has wildcards"
        elif any(other != name and other in str(project.resources[deployer]) for other in names):
            # Webhook depends on reply's alias, which depends on its deployer's role: a common role would be a cycle.
            yield f"{deployer}: must be for {name} only"
        group = target(function.get("LoggingConfig", {}).get("LogGroup"))
        expected = ALLOWED.get(names[name], set()) | {(action, group) for action in LOG_ACTIONS}
        granted = {
            (action, target(arn) or str(arn))
            for statement in statements(project.resources[role])
            for action in as_list(statement.get("Action", "*"))
            for arn in as_list(statement.get("Resource", "*"))
            if action not in WITHOUT_RESOURCE
        }
        for action, where in sorted(granted - expected):
            yield f"{role}: {names[name]} may not have {action} on {where}"
        for action, where in sorted(expected - granted):
            yield f"{role}: {names[name]} needs {action} on {where}"


def statements(role):
    """Returns the statements of a role, including conditional ones."""
    for policy in role["Properties"].get("Policies", []):
        for statement in as_list(policy["PolicyDocument"]["Statement"]):
            for branch in statement.get("Fn::If", [None, statement])[1:]:
                if "Effect" in branch:
                    yield branch
