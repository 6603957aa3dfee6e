"""Checks a template for rules beyond cfn-lint. Prints the faults, one per line.

    check.py [TEMPLATE]
"""

import sys

import alarms
import functions
import permissions
import queues
import samconfig
import variables
import versions
from project import Project

CONCERNS = [queues, permissions, functions, alarms, variables, versions, samconfig]


def faults(project):
    return [fault for concern in CONCERNS for fault in concern.check(project)]


if __name__ == "__main__":
    template = sys.argv[1]
    found = faults(Project(template))
    for fault in found:
        print(f"{template}: {fault}", file=sys.stderr)
    sys.exit(bool(found))
