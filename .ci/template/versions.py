"""Checks that a new value of a parameter publishes a version of a function exactly if the function uses the parameter.

With AutoPublishAlias, SAM hashes a function's properties into the id of its version, but not the values that its
parameters have: a deployment of other values alone would leave the alias at the version before
(https://github.com/aws/serverless-application-model/issues/3820). The exception is `Tracing`, whose parameters SAM
replaces by their values before it hashes, wherever they stand in it: the template lists there what the function reads.
If a version's id changes while its function does not, Lambda publishes nothing, and CloudFormation fails.
"""

import copy
import functools
import json
import logging
import re

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator import translator

from project import FUNCTION

# SAM logs warnings about deployments.
logging.getLogger("samtranslator").setLevel(logging.ERROR)
SESSION = boto3.Session(region_name="us-east-1")
# SAM validates its own policy templates, which no template here uses, in each translation: two thirds of the time.
translator.make_policy_template_for_function_plugin = functools.cache(translator.make_policy_template_for_function_plugin)


def check(project):
    return faults(json.dumps(functions_only(project)))


@functools.cache
def faults(template):
    """Returns the faults of a template, given as JSON: most mutations do not change its functions."""
    return list(search(json.loads(template)))


def search(template):
    parameters = template["Parameters"]
    values = {name: f"{name}-1" for name in parameters}
    before = translated(template, values)
    versions = versions_of(before)
    conditions = {name: names_in(condition, {}) for name, condition in template["Conditions"].items()}
    reached = {name: names_in(before[name], conditions) for name in versions}
    for parameter in parameters:
        after = versions_of(translated(template, {**values, parameter: f"{parameter}-2"}))
        for function, version in versions.items():
            changes, reaches = after[function] != version, parameter in reached[function]
            if reaches and not changes:
                yield f"{function}: another {parameter} publishes no version: it belongs into the list of Tracing"
            elif changes and not reaches:
                yield f"{function}: another {parameter} changes the version's id, but nothing that Lambda publishes"


def functions_only(project):
    """Returns the functions of the template as SAM sees them. A function's id depends only on its own properties."""
    template = json.loads(json.dumps(project.template))
    template["Resources"] = {
        name: resource for name, resource in template["Resources"].items() if resource["Type"] == FUNCTION
    }
    for name, function in template["Resources"].items():
        function["Properties"]["CodeUri"] = f"s3://bucket/{name}"
        for other in ("Events", "DeploymentPreference"):
            function["Properties"].pop(other, None)
    return {key: value for key, value in template.items() if key != "Outputs"}


def translated(template, values):
    """Returns the resources that CloudFormation gets from SAM for some values of the parameters."""
    sam = translator.Translator({}, Parser(), boto_session=SESSION)
    return sam.translate(copy.deepcopy(template), dict(values))["Resources"]


def versions_of(resources):
    """Returns the id of each function's version, by the function's id."""
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Version"
    }


def names_in(value, conditions):
    """Returns the references of a value: by Ref, Sub and GetAtt, and through the conditions of If."""
    if isinstance(value, list):
        return set().union(*(names_in(part, conditions) for part in value))
    if not isinstance(value, dict):
        return set()
    names = set().union(*(names_in(part, conditions) for part in value.values()))
    if isinstance(value.get("Ref"), str):
        names.add(value["Ref"])
    if "Fn::Sub" in value:
        names |= set(re.findall(r"\$\{(\w+)", json.dumps(value["Fn::Sub"])))
    if "Fn::If" in value:
        names |= conditions.get(value["Fn::If"][0], set())
    return names
