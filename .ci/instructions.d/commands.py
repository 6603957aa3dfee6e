"""The accepted operations and options: those of the AWS CLI by botocore's models, those of other commands by lists."""

import botocore.session
import jmespath
from botocore import xform_name

# Options of commands outside botocore's models, and whether they take a value.
# Sources: `aws logs tail help`, `aws configure export-credentials help`, `sam deploy --help` and
# `sam list stack-outputs --help` (1.170), `supabase db push
# --help` (3.1), curl(1), November 2026.
KNOWN = {
    "aws logs tail": {"--since": 1, "--format": 1, "--filter-pattern": 1},
    "aws configure export-credentials": {"--format": 1, "--profile": 1},
    "sam build": {"--config-env": 1},
    "sam list stack-outputs": {"--config-env": 1},
    "sam deploy": {"--config-env": 1, "--guided": 0, "--parameter-overrides": 1},
    "supabase login": {},
    "supabase link": {"--project-ref": 1},
    "supabase db push": {"--remote": 0, "--dry-run": 0, "--yes": 0},
    "curl": {"-X": 1, "-H": 1, "-d": 1, "-i": 0, "-s": 0},
}
# The global options of the CLI.
GLOBAL = {"output", "query", "region", "profile", "max-items"}
SESSION = botocore.session.get_session()


def faults(call):
    """Returns the errors that the real command would report for a call."""
    for words in (3, 2, 1):
        command = " ".join(call[:words])
        if command in KNOWN:
            yield from options(KNOWN[command], call[words:])
            return
    if call[0] == "aws":
        yield from aws(*call[1:])
    elif call[0] in ("sam", "supabase"):
        yield "no such command"


def options(known, arguments):
    arguments = list(arguments)
    while arguments:
        option = arguments.pop(0)
        if not option.startswith("-"):
            continue
        if option not in known:
            yield f"no option {option}"
        elif known[option] and not (arguments and arguments.pop(0)):
            yield f"{option} has no value"


def aws(service, operation, *arguments):
    if service not in SESSION.get_available_services():
        yield f"no service {service}"
        return
    model = SESSION.get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in operations:
        yield f"no operation {operation}"
        return
    shape = model.operation_model(operations[operation]).input_shape
    members = {xform_name(name, "-"): member for name, member in shape.members.items()} if shape else {}
    given = {}
    for argument in arguments:
        if argument.startswith("--"):
            values = given[argument[2:]] = []
        elif not given:
            yield f"{argument} is not an option"
        else:
            values.append(argument)
    for name, values in given.items():
        member = members.get(name) or members.get(name.removeprefix("no-"))
        if name == "query":
            jmespath.compile(values[0])
        elif name not in GLOBAL and member is None:
            yield f"no option --{name}"
        if (member is None or member.type_name != "boolean") and not all(values or [""]):
            yield f"--{name} has no value"
    for required in shape.required_members if shape else []:
        if xform_name(required, "-") not in given:
            yield f"no --{xform_name(required, '-')}"
