"""Checks that samconfig.toml and an operator's own parameters deploy two stacks, with all required parameters and without
a secret.

Both are read with SAM's own parsers, including commented-out lines: every value must arrive as it is written.
"""

import pathlib
import re
import tempfile

import yaml
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig

from variables import IN_THE_SECRET

FILE, EXAMPLE, DOCUMENT = "samconfig.toml", "parameters.example.yaml", "docs/DEPLOYING.md"
# The copies of the example that an operator fills in, by environment.
OWN_FILES = {"default": "parameters.dev.yaml", "prod": "parameters.prod.yaml"}
# Concurrent executions of a new account, and how many of them stay for the two functions behind the API.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNT, FOR_THE_API = 10, 3


def check(project):
    parameters = project.template["Parameters"]
    needed = {name for name, parameter in parameters.items() if "Default" not in parameter}
    example, stacks = re.sub(r"^# (\w+:)", r"\1", project.text(EXAMPLE), flags=re.M), set()
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / FILE).write_text(project.text(FILE))
        config = SamConfig(folder, FILE)
        config.sanity_check()
        for environment, own_file in OWN_FILES.items():
            (pathlib.Path(folder) / own_file).write_text(example)
            deploy = config.get_all(["deploy"], "parameters", environment)
            *pairs, own = deploy.get("parameter_overrides", [""])
            if own != f"file://{own_file}":
                yield f"{FILE}: {environment} must end with the operator's own file://{own_file}"
            shared = dict(pair.partition("=")[::2] for pair in pairs)
            filled_in = {name: str(value) for name, value in yaml.safe_load(example).items()}
            for written, given in ((shared, pairs), (filled_in, [f"file://{folder}/{own_file}"])):
                arrives = CfnParameterOverridesType().convert(given, None, None)
                for name in written:
                    if arrives.get(name) != written[name]:
                        yield f"{environment}: SAM makes “{arrives.get(name)}” of {name}={written[name]}"
            given = shared | filled_in
            for name in sorted(needed - given.keys()):
                yield f"{environment} is not given {name}"
            for name, value in given.items():
                parameter = parameters.get(name)
                if parameter is None:
                    yield f"{environment} is given {name}, which is not a parameter"
                elif value != "FILL-IN" and not allows(parameter, value):
                    yield f"{environment} is given {name} with a value that the template refuses"
                elif value == "FILL-IN" and allows(parameter, value):
                    yield f"{environment}: the template would take FILL-IN for {name}"
            if "region" in deploy:
                yield f"{FILE}: the region of {environment} is the operator's own"
            stacks.add(deploy.get("stack_name"))
    if len(stacks) < len(OWN_FILES) or None in stacks:
        yield f"{FILE}: each environment needs a stack of its own"
    for file in (FILE, EXAMPLE):
        for word in re.findall(r"sb_secret_\w+|\bEAA\w{20,}|" + "|".join(sorted(IN_THE_SECRET)), project.text(file)):
            yield f"{file}: {word[:24]} is a secret, or names one"
    if "/parameters.*" not in project.text(".gitignore").splitlines():
        yield f".gitignore: {OWN_FILES['default']} contains an operator's own values, and must be ignored"
    if f"cp {EXAMPLE} {OWN_FILES['default']}" not in project.text(DOCUMENT):
        yield f"{DOCUMENT}: does not say that {EXAMPLE} is copied to {OWN_FILES['default']}"
    if "AWS_DEFAULT_REGION" not in project.text(DOCUMENT):
        yield f"{DOCUMENT}: does not say that SAM takes the region from AWS_DEFAULT_REGION"
    yield from concurrency(project)


def allows(parameter, value):
    """Returns whether CloudFormation accepts a value for a parameter."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    return re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None


def concurrency(project):
    """Checks that the queues leave a new account enough instances for the API."""
    taken = 0
    for _, _, source in project.mappings():
        most = source.get("ScalingConfig", {}).get("MaximumConcurrency", NEW_ACCOUNT)
        taken += project.template["Parameters"][most["Ref"]]["Default"] if isinstance(most, dict) else most
    if taken > NEW_ACCOUNT - FOR_THE_API:
        yield f"the queues may take {taken} of the {NEW_ACCOUNT} concurrent executions that a new account has"
