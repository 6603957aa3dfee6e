"""Checks that the functions get exactly the environment variables that they read, and that docs/CONFIGURATION.md explains each.

A function reads a variable if its name is a string in its code or in `shared`; the template and the table decide which of the
functions need a variable of `shared`.
"""

import re

from project import section, target

# In a secret. They are environment variables on one machine only.
IN_THE_SECRET = {
    "WHATSAPP_ACCESS_TOKEN",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_VERIFY_TOKEN",
    "SUPABASE_SECRET_KEY",
    "LLM_API_KEY",
}
# Set by Lambda itself, and reserved:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
BY_LAMBDA = re.compile(r"AWS_(?!ENDPOINT_URL)|_X_AMZN_|LAMBDA_|_HANDLER$")
# Variables for emulators and other endpoints: on AWS they would direct the functions away from AWS and Meta.
FOR_EMULATORS = re.compile(r"AWS_ENDPOINT_URL(_\w+)?$|GRAPH_API_URL$")
DOCUMENT, TABLE = "docs/CONFIGURATION.md", "## Environment variables"


def check(project):
    shared = read(project.code("shared/src"))
    table = rows(project.text(DOCUMENT))
    set_anywhere, readers = set(), {}
    for logical, function in project.functions():
        name = project.function_names()[logical]
        own = read(project.code(f"functions/{name}/src"))
        given = set(function.get("Environment", {}).get("Variables", {}))
        set_anywhere |= given
        for variable in own | given:
            readers.setdefault(variable, set()).add(name)
        for variable in sorted(given):
            if variable in IN_THE_SECRET:
                yield f"{logical}: {variable} is a secret: it is read from the secret, never from the template"
            elif FOR_EMULATORS.match(variable):
                yield f"{logical}: {variable} is for emulators and must not be set on AWS"
            elif variable not in own | shared:
                yield f"{logical}: {variable} is set, but {name} does not read it"
        for variable in sorted(own - given):
            if not is_exempt(variable):
                yield f"{logical}: {name} reads {variable}, which the template does not set"
        yield from secret(project, logical, function, name, own & IN_THE_SECRET)
    for variable in sorted(shared - set_anywhere):
        if not is_exempt(variable):
            yield f"shared reads {variable}, which the template sets for no function"
    everything = readers.keys() | shared
    for variable in sorted(everything - set(table)):
        if not re.match(r"_X_AMZN_|AWS_LAMBDA_|LAMBDA_", variable):
            yield f"{DOCUMENT}: {variable} is not in the table of environment variables"
    beside = project.code("local", "tools")
    for variable, said in sorted(table.items()):
        if variable not in everything and f'"{variable}"' not in beside:
            yield f"{DOCUMENT}: {variable} is in the table, but nothing reads it"
        functions = set(project.function_names().values())
        said = functions if "all functions" in said else {name for name in functions if name in said}
        if variable in readers and said != readers[variable]:
            yield f"{DOCUMENT}: {variable} is read by {', '.join(sorted(readers[variable]))}; the table differs"
    if "{{resolve:" in project.source:
        yield "a value that CloudFormation resolves when it deploys is not seen when the secret changes"


def secret(project, logical, function, name, needed):
    """Checks that each function with secrets has a separate one, and that the parameter's description lists its keys."""
    given = target(function.get("Environment", {}).get("Variables", {}).get("SECRET_ID"))
    expected = f"{name.capitalize()}SecretArn" if needed else None
    if given != expected:
        yield f"{logical}: SECRET_ID is {given}, but must be {expected}"
    if expected is None:
        return
    description = project.template["Parameters"].get(expected, {}).get("Description", "")
    if set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", description)) != needed:
        yield f"{expected}: its description must name what {name} reads: {', '.join(sorted(needed))}"
    rules = str(project.template.get("Rules", {}))
    if f"{{'Ref': '{expected}'}}" not in rules:
        yield f"no rule requires {expected} to be another secret than those of other functions"


def is_exempt(variable):
    return variable in IN_THE_SECRET or BY_LAMBDA.match(variable) or FOR_EMULATORS.match(variable)


def read(code):
    """Returns the environment variables in Rust code. `env!` is the compiler's."""
    code = re.sub(r"\benv!\(\"\w+\"\)", "", code)
    names = set(re.findall(r'"(_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', code))
    return names | ({"RUST_LOG"} if "EnvFilter::DEFAULT_ENV" in code else set())


def rows(document):
    """Returns the readers of each variable, by the table."""
    table = {}
    for line in section(document, TABLE).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for variable in re.findall(r"`(\w+)`", cells[0]) if line.startswith("|") else []:
            table[variable] = cells[1]
    return table
