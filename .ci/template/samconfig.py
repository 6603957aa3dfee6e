"""samconfig.toml deploys to two places, with every parameter that is needed and without a secret."""

import re

from variables import IN_THE_SECRET

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

FILE = "samconfig.toml"
ENVIRONMENTS = ("default", "prod")


def check(project):
    text = project.text(FILE)
    config, parameters = tomllib.loads(text), project.template["Parameters"]
    needed = {name for name, parameter in parameters.items() if "Default" not in parameter}
    stacks = set()
    for environment in ENVIRONMENTS:
        commands = config.get(environment, {})
        given = dict(
            pair.split("=", 1)
            for pair in commands.get("deploy", {}).get("parameters", {}).get("parameter_overrides", [])
        )
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
        stacks.add(commands.get("global", {}).get("parameters", {}).get("stack_name"))
    if len(stacks) < len(ENVIRONMENTS) or None in stacks:
        yield f"{FILE}: each environment needs a stack of its own"
    for word in re.findall(r"sb_secret_\w+|\bEAA\w{20,}|" + "|".join(sorted(IN_THE_SECRET)), text):
        yield f"{FILE}: {word[:24]} is a secret, or names one"


def allows(parameter, value):
    """Whether CloudFormation takes a value for a parameter."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    return re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None
