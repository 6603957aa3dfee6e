"""What the checks look at: a template, and the files of the repository that it must agree with."""

import pathlib
import re

from cfnlint.decode import decode_str

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUNCTION, QUEUE = "AWS::Serverless::Function", "AWS::SQS::Queue"


class Project:
    """The repository, with some files replaced: `replaced` maps a path of the repository to another text."""

    def __init__(self, template="template.yaml", replaced=None):
        self.replaced = replaced or {}
        self.source = self.text(template)
        self.template, faults = decode_str(self.source)
        if faults:
            raise SystemExit(f"{template}: {faults[0]}")
        self.resources = self.template["Resources"]

    def text(self, path):
        """The text of a file: of the repository, or of anywhere when the path is absolute."""
        return self.replaced[path] if path in self.replaced else (ROOT / path).read_text()

    def of_type(self, kind):
        """Logical id and whole resource of each resource of a type."""
        return [(name, resource) for name, resource in self.resources.items() if resource["Type"] == kind]

    def properties(self, name, kind):
        """The properties of a resource, or None when there is none of that name and type."""
        resource = self.resources.get(name) or {}
        return resource.get("Properties", {}) if resource.get("Type") == kind else None

    def functions(self):
        """Logical id and properties of each function, with those that Globals give to all."""
        common = self.template.get("Globals", {}).get("Function", {})
        return [(name, {**common, **function["Properties"]}) for name, function in self.of_type(FUNCTION)]

    def function_names(self):
        """The name of each function's crate by its logical id: `WebhookFunction` is `webhook`."""
        return {name: properties["CodeUri"].rpartition("/")[2] for name, properties in self.functions()}

    def mappings(self):
        """Each event source mapping: the function's logical id, its properties, those of the mapping."""
        for name, function in self.functions():
            for event in function.get("Events", {}).values():
                if event["Type"] == "SQS":
                    yield name, function, event["Properties"]

    def dead_letter_queues(self):
        """The queue that each queue's dead letters go to, by logical ids."""
        return {
            name: target(queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"])
            for name, queue in self.of_type(QUEUE)
            if "RedrivePolicy" in queue["Properties"]
        }

    def code(self, *folders):
        """The Rust code below some folders, without tests."""
        texts = []
        for folder in folders:
            for path in sorted((ROOT / folder).rglob("*.rs")):
                if not re.search(r"(^|_|/)tests?\.rs$", str(path)):
                    name = str(path.relative_to(ROOT))
                    texts.append(self.text(name).partition("#[cfg(test)]\nmod tests {")[0])
        return "\n".join(texts)


def target(value):
    """The logical id that a !GetAtt or !Ref points to."""
    if not isinstance(value, dict):
        return None
    attribute = value.get("Fn::GetAtt") or value.get("Ref")
    if isinstance(attribute, list):
        return attribute[0]
    return attribute.split(".")[0] if attribute else None


def as_list(value):
    """Of a value that may stand alone or in a list."""
    return value if isinstance(value, list) else [value]


def section(markdown, heading):
    """What stands below a heading of a Markdown text, up to the next one of the same level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", markdown, re.M | re.S)
    return match.group(1) if match else ""


def anchor(heading):
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
