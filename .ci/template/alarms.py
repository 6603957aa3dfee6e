"""Checks that every alarm has its section in the runbook, and that every used metric is written."""

import json
import re

from project import anchor, section, target

NAMESPACE = "WhatsAppLambda"
# The namespace of the metric filters, whose metrics have no dimension for the stack.
OF_FILTERS = {"Fn::Sub": "WhatsAppLambda/${AWS::StackName}"}
# The metric that shared/src/lambda/metrics.rs counts by the version of the function.
BY_VERSION = "version_errors"
ALARM = "AWS::CloudWatch::Alarm"
RUNBOOK, COSTS = "docs/RUNBOOK.md", "docs/COSTS.md"


def check(project):
    runbook = project.text(RUNBOOK)
    sections = {anchor(heading) for heading in re.findall(r"^### (.+)$", section(runbook, "## Alarms"), re.M)}
    urgency = section(runbook, "## Alarm urgency")
    named = set()
    for name, resource in project.of_type(ALARM):
        alarm = resource["Properties"]
        match = re.search(rf"{re.escape(RUNBOOK)}#(\S+)$", alarm.get("AlarmDescription", ""))
        if not match:
            yield f"{name}: its description does not end in its section of {RUNBOOK}"
        else:
            named.add(match.group(1))
            if match.group(1) not in sections:
                yield f"{name}: {RUNBOOK} has no section {match.group(1)} below Alarms"
        if f"`{name}`" not in urgency:
            yield f"{name}: {RUNBOOK} gives no urgency"
        if not alarm.get("AlarmActions") and name not in canaries(project):
            yield f"{name}: notifies nothing"
        if "TreatMissingData" not in alarm:
            yield f"{name}: does not set the treatment of missing data"
    for heading in sorted(sections - named):
        yield f"{RUNBOOK}: no alarm names the section {heading}"
    first_cells = "\n".join(re.findall(r"^\|([^|]*)\|", urgency, re.M))
    for name in set(re.findall(r"`(\w+)`", first_cells)) - {name for name, _ in project.of_type(ALARM)}:
        yield f"{RUNBOOK}: {name} has an urgency, but is not an alarm"
    for dead in project.dead_letter_queues().values():
        if not any(watches(resource["Properties"], dead) for _, resource in project.of_type(ALARM)):
            yield f"{dead}: no alarm for its messages"
    for name, function in canaries(project).items():
        yield from canary(name, function, project.properties(name, ALARM))
    alarms = [resource["Properties"] for _, resource in project.of_type(ALARM)]
    watched = sum(sum("MetricStat" in query for query in alarm.get("Metrics", [])) or 1 for alarm in alarms)
    if f"| {len(alarms)}, over {watched} metrics |" not in project.text(COSTS):
        yield f"{COSTS}: the alarms are {len(alarms)}, over {watched} metrics"
    yield from metrics(project)
    yield from dashboard(project)


def watches(alarm, queue):
    """Returns whether an alarm goes off at the first message of a queue."""
    return (
        alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        and {"Fn::GetAtt": [queue, "QueueName"]} in [dimension["Value"] for dimension in alarm["Dimensions"]]
        and (alarm["ComparisonOperator"], alarm["Threshold"]) in
        (("GreaterThanThreshold", 0), ("GreaterThanOrEqualToThreshold", 1))
    )


def canaries(project):
    """Returns the function of each alarm that rolls a deployment back."""
    return {
        target(alarm): name
        for name, function in project.functions()
        for alarm in function.get("DeploymentPreference", {}).get("Alarms", [])
    }


def canary(name, function, alarm):
    """Checks that the alarm is about one version, also in its name: an alarm in state ALARM stops deployments."""
    if f"${{{function}.Version.Version}}" not in str(alarm.get("AlarmName")):
        yield f"{name}: without the version in its name, the alarm of a broken version stops its fix"
    version = {"Fn::GetAtt": [function, "Version.Version"]}
    seen = {
        query["MetricStat"]["Metric"]["MetricName"]
        for query in alarm.get("Metrics", [])
        if "MetricStat" in query
        and version in [dimension["Value"] for dimension in query["MetricStat"]["Metric"]["Dimensions"]]
    }
    for metric in ("Errors", BY_VERSION):
        if metric not in seen:
            yield f"{name}: does not see {metric} of the new version of {function}"


def metrics(project):
    filtered = [
        transformation["MetricName"]
        for _, resource in project.of_type("AWS::Logs::MetricFilter")
        for transformation in resource["Properties"]["MetricTransformations"]
        if transformation["MetricNamespace"] == OF_FILTERS
    ]
    for where, namespace, metric, dimensions in watched_metrics(project):
        if namespace in (OF_FILTERS, OF_FILTERS["Fn::Sub"]) and (metric not in filtered or dimensions):
            yield f"{where}: no metric filter makes {metric}"
    names = project.function_names()
    written = {name: written_by(project, folder) for name, folder in names.items()}
    for where, namespace, metric, dimensions in watched_metrics(project):
        if namespace != NAMESPACE:
            continue
        function = referred(dimensions.get("function"))
        if set(dimensions) - ({"version"} if metric == BY_VERSION else set()) != {"function"} or function not in names:
            yield f"{where}: {metric} has the one dimension function, the name of {', '.join(sorted(names))}"
        elif metric not in written[function]:
            yield f"{where}: {names[function]} writes no metric {metric}"


def referred(value):
    """Returns the logical id of a !Ref, or of ${...} in a string."""
    if isinstance(value, dict):
        return value.get("Ref")
    match = re.fullmatch(r"\$\{(\w+)\}", value or "")
    return match and match.group(1)


def watched_metrics(project):
    """Returns the use of each metric, its namespace, its name and its dimensions."""
    for name, resource in project.of_type(ALARM):
        alarm = resource["Properties"]
        queries = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        for metric in queries or [alarm]:
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions", [])}
            yield name, metric["Namespace"], metric["MetricName"], dimensions
    for name, body in dashboards(project):
        for widget in body["widgets"]:
            for metric in widget["properties"].get("metrics", []):
                words = [word for word in metric if isinstance(word, str)]
                yield name, words[0], words[1], dict(zip(words[2::2], words[3::2]))


def written_by(project, folder):
    """Returns the metrics of a function: strings in its code and in shared code, and the counters that both use."""
    counters = dict(re.findall(r'(\w+) = "(\w+)"', project.text("shared/src/lambda/counter.rs")))
    code = project.code(f"functions/{folder}/src", "shared/src")
    used = {counters[variant] for variant in re.findall(r"Counter::(\w+)", code) if variant in counters}
    return (strings(code) - set(counters.values())) | used


def strings(code):
    """Returns the strings in Rust code that can be the name of a metric."""
    return set(re.findall(r'"([a-z][a-z0-9_]+)"', code))


def dashboard(project):
    for name, body in dashboards(project):
        headings = [
            (widget["y"], widget["x"], match.group(1))
            for widget in body["widgets"]
            if (match := re.match(r"## (\d+) ", widget["properties"].get("markdown", "")))
        ]
        if [number for _, _, number in sorted(headings)] != [str(i + 1) for i in range(len(headings))]:
            yield f"{name}: its columns do not count from left to right"


def dashboards(project):
    for name, resource in project.of_type("AWS::CloudWatch::Dashboard"):
        yield name, json.loads(resource["Properties"]["DashboardBody"]["Fn::Sub"])
