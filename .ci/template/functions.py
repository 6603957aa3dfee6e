"""Checks the build, deployment and logging of the functions, and that the API's log contains no secret."""

import json

from project import target

# Variables of an access log that may contain the verify token, a user's address, or an author's token.
PRIVATE = ("$context.path", "querystring", "sourceip", "useragent", "authorizer", "$request", "rawpath")
ROUTES = {"GET /webhook", "POST /webhook", "GET /messages"}
NEEDED = ("requestId", "routeKey", "status", "responseLatency", "integrationLatency")


def check(project):
    for name, function in project.functions():
        expected = {"Runtime": "provided.al2023", "Architectures": ["arm64"], "AutoPublishAlias": "live"}
        for key, value in expected.items():
            if function.get(key) != value:
                yield f"{name}: {key} must be {value}"
        if project.resources[name].get("Metadata", {}).get("BuildMethod") != "rust-cargolambda":
            yield f"{name}: BuildMethod must be rust-cargolambda"
        if function.get("AutoPublishAliasAllProperties") is not True:
            yield f"{name}: without AutoPublishAliasAllProperties a changed parameter is not published"
        if not function.get("DeploymentPreference", {}).get("Alarms"):
            yield f"{name}: no alarm rolls a bad deployment back"
        group = target(function.get("LoggingConfig", {}).get("LogGroup"))
        if project.properties(group, "AWS::Logs::LogGroup") is None:
            yield f"{name}: logs to no group of this template: Lambda would create one that keeps logs indefinitely"
    yield from order_and_routes(project)
    for name, resource in project.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in resource["Properties"]:
            yield f"{name}: has no RetentionInDays"
    for name, resource in project.of_type("AWS::Serverless::HttpApi"):
        yield from api(project, name, resource["Properties"])


def order_and_routes(project):
    if project.resources["WebhookFunction"].get("DependsOn") != "ReplyFunctionAliaslive":
        yield "WebhookFunction: is deployed before reply's new code is in use, which could not read its queue messages"
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for _, function in project.functions()
        for event in function.get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    if routes != ROUTES:
        yield f"the routes must be {', '.join(sorted(ROUTES))}"


def api(project, name, api):
    limits = api.get("DefaultRouteSettings", {})
    if not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= limits.keys():
        yield f"{name}: has no throttling"
    log = api.get("AccessLogSettings", {})
    if project.properties(target(log.get("DestinationArn")), "AWS::Logs::LogGroup") is None:
        yield f"{name}: has no access log in a group of this template"
        return
    try:
        json.loads(log["Format"])
    except ValueError:
        yield f"{name}: the access log is not JSON"
    for word in PRIVATE:
        if word in log["Format"].lower():
            yield f"{name}: the access log may contain secrets or personal data: {word}"
    for word in NEEDED:
        if f"$context.{word}" not in log["Format"]:
            yield f"{name}: the access log lacks {word}"
