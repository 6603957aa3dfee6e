"""The input of the checks: a template, and the files of the repository that it must agree with."""

import pathlib
import re

from cfnlint.decode import decode_str

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUNCTION, QUEUE = "AWS::Serverless::Function", "AWS::SQS::Queue"


class Project:
    """The repository, with some files replaced: `replaced` maps a path of the repository to its replacement."""

    def __init__(self, template="template.yaml", replaced=None):
        self.replaced = replaced or {}
        self.source = self.text(template)
        self.template, faults = decode_str(self.source)
        if faults:
            raise SystemExit(f"{template}: {faults[0]}")
        self.resources = self.template["Resources"]

    def text(self, path):
        """Returns the text of a file: of the repository, or of any directory if the path is absolute."""
        return self.replaced[path] if path in self.replaced else (ROOT / path).read_text()

    def of_type(self, kind):
        """Returns the logical id and the complete resource of each resource of a type."""
        return [(name, resource) for name, resource in self.resources.items() if resource["Type"] == kind]

    def properties(self, name, kind):
        """Returns the properties of a resource, or None if no resource has that name and type."""
        resource = self.resources.get(name) or {}
        return resource.get("Properties", {}) if resource.get("Type") == kind else None

    def functions(self):
        """Returns the logical id and the properties of each function, including those of Globals."""
        common = self.template.get("Globals", {}).get("Function", {})
        return [(name, {**common, **function["Properties"]}) for name, function in self.of_type(FUNCTION)]

    def function_names(self):
        """Returns the name of each function's crate by its logical id: `WebhookFunction` is `webhook`."""
        return {name: properties["CodeUri"].rpartition("/")[2] for name, properties in self.functions()}

    def mappings(self):
        """Returns each event source mapping: the function's logical id, its properties, those of the mapping."""
        for name, function in self.functions():
            for event in function.get("Events", {}).values():
                if event["Type"] == "SQS":
                    yield name, function, event["Properties"]

    def dead_letter_queues(self):
        """Returns the dead-letter queue of each queue, by logical ids."""
        return {
            name: target(queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"])
            for name, queue in self.of_type(QUEUE)
            if "RedrivePolicy" in queue["Properties"]
        }

    def code(self, *folders):
        """Returns the Rust code below some folders, without tests."""
        texts = []
        for folder in folders:
            for path in sorted((ROOT / folder).rglob("*.rs")):
                if not re.search(r"(^|_|/)tests?\.rs$", str(path)):
                    name = str(path.relative_to(ROOT))
                    texts.append(self.text(name).partition("#[cfg(test)]\nmod tests {")[0])
        return "\n".join(texts)


def target(value):
    """Returns the logical id of a !GetAtt or !Ref."""
    if not isinstance(value, dict):
        return None
    attribute = value.get("Fn::GetAtt") or value.get("Ref")
    if isinstance(attribute, list):
        return attribute[0]
    return attribute.split(".")[0] if attribute else None


def as_list(value):
    """Returns a list from a value that may be a list or a single element."""
    return value if isinstance(value, list) else [value]


def section(markdown, heading):
    """Returns the text below a heading of a Markdown text, up to the next one of the same level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", markdown, re.M | re.S)
    return match.group(1) if match else ""


def anchor(heading):
    """Returns GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
