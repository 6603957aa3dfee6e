"""samconfig.example.yaml deploys to two places, with every parameter that is needed and without a secret.

It is read with SAM's own parsers, with what is commented out as well: every value must arrive as it is written.
"""

import pathlib
import re
import tempfile

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig

from variables import IN_THE_SECRET

FILE = "samconfig.example.yaml"
# What an operator fills in. No commit has a file of this name, so that no `git checkout` writes over it.
OWN_FILE = "samconfig.yaml"
ENVIRONMENTS = ("default", "prod")
# Concurrent executions of a new account, and how many of them stay for the two functions behind the API.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNT, FOR_THE_API = 10, 3


def check(project):
    text, parameters = project.text(FILE), project.template["Parameters"]
    needed = {name for name, parameter in parameters.items() if "Default" not in parameter}
    config, stacks = read(re.sub(r"^( +)# (- \w+=)", r"\1\2", text, flags=re.M)), set()
    for environment in ENVIRONMENTS:
        given = {}
        for pair in config.get_all(["deploy"], "parameters", environment).get("parameter_overrides", []):
            name, value = as_written(pair)
            arrives = CfnParameterOverridesType().convert([pair], None, None)
            if arrives != {name: value}:
                yield f"{FILE}: {environment}: SAM makes {arrives} of {pair}"
            given[name] = value
        for name in sorted(needed - given.keys()):
            yield f"{FILE}: {environment} does not give {name}"
        for name, value in given.items():
            parameter = parameters.get(name)
            if parameter is None:
                yield f"{FILE}: {environment} gives {name}, which is no parameter"
            elif value != "FILL-IN" and not allows(parameter, value):
                yield f"{FILE}: {environment} gives {name} a value that the template refuses"
            elif value == "FILL-IN" and allows(parameter, value):
                yield f"{FILE}: {environment}: the template would take FILL-IN for {name}"
        common = config.get_all(["deploy"], "parameters", environment)
        if common.get("region") != "FILL-IN":
            yield f"{FILE}: {environment} must ask for the region: SAM would take us-east-1"
        stacks.add(common.get("stack_name"))
    if len(stacks) < len(ENVIRONMENTS) or None in stacks:
        yield f"{FILE}: each environment needs a stack of its own"
    for word in re.findall(r"sb_secret_\w+|\bEAA\w{20,}|" + "|".join(sorted(IN_THE_SECRET)), text):
        yield f"{FILE}: {word[:24]} is a secret, or names one"
    if "/samconfig.*" not in project.text(".gitignore").splitlines():
        yield f".gitignore: {OWN_FILE} holds an operator's own values, and must be ignored"
    if f"cp {FILE} {OWN_FILE}" not in project.text("README.md"):
        yield f"README.md: does not say that {FILE} is copied to {OWN_FILE}"
    yield from concurrency(project)


def read(text):
    """The configuration as the SAM CLI reads it."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / OWN_FILE).write_text(text)
        config = SamConfig(folder, OWN_FILE)
        config.sanity_check()
        return config


def as_written(pair):
    """The name and the value that a line means, without quotes around the value."""
    name, _, value = pair.partition("=")
    return name, re.sub(r'^"(.*)"$', r"\1", value)


def allows(parameter, value):
    """Whether CloudFormation takes a value for a parameter."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    return re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None


def concurrency(project):
    """The queues leave a new account enough instances for the API."""
    taken = 0
    for _, _, source in project.mappings():
        most = source.get("ScalingConfig", {}).get("MaximumConcurrency", NEW_ACCOUNT)
        taken += project.template["Parameters"][most["Ref"]]["Default"] if isinstance(most, dict) else most
    if taken > NEW_ACCOUNT - FOR_THE_API:
        yield f"the queues may take {taken} of the {NEW_ACCOUNT} concurrent executions that a new account has"
