"""Runs the documents' shell blocks in order, and reports the called commands."""

import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import commands

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RECORDED = ("aws", "sam", "supabase", "curl", "cargo")
# The values that the reader fills in: `NAME=…`.
FILLED_IN = {
    "WAMID": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQ0QTY5", "WABA_ID": "102290129340398", "ACCESS_TOKEN": "token",
    "VERIFY_TOKEN": "token",
}


def shell_blocks(document):
    """Returns the fenced shell blocks of a document."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    return [filled_in(block) for block in blocks]


def filled_in(block):
    for name, value in FILLED_IN.items():
        block = re.sub(rf"\b{name}=[\w.]*…", f"{name}={value}", block)
    return block.replace("<ref>", "abcdefghijklmnopqrst")


def run(name, blocks):
    """Runs the blocks as one script, as if pasted one after the other. Returns the recorded commands."""
    with tempfile.TemporaryDirectory() as folder:
        programs, work = pathlib.Path(folder, "bin"), pathlib.Path(folder, "work")
        programs.mkdir()
        work.mkdir()
        for program in RECORDED:
            (programs / program).symlink_to(HERE / "recorder")
        for file in ("template.yaml", "samconfig.toml", "parameters.example.yaml"):
            (work / file).write_bytes((ROOT / file).read_bytes())
        log = pathlib.Path(folder, "log")
        log.touch()
        # Under another umask the output of `sam build` cannot be executed on Lambda.
        script = "set -euo pipefail\numask 022\n" + "\n".join(blocks) + "\n[ \"$(umask)\" = 0022 ]"
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "RECORDER_LOG": str(log)}
        done = subprocess.run(
            ["bash", "-c", script], cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60,
        )
        calls = [call.split("\036")[:-1] for call in log.read_text().split("\035\036")[:-1]]
        left = [path.name for path in work.iterdir() if path.name.endswith(".json") and path.stat().st_mode & 0o077]
    faults = [f"others may read {file}" for file in left]
    if done.returncode != 0:
        faults.append(f"exit status {done.returncode} after {' '.join(calls[-1]) if calls else 'nothing'}: {done.stderr}")
    faults += [f"{' '.join(call)}: {fault}" for call in calls for fault in commands.faults(call)]
    for fault in faults:
        print(f"{name}: {fault}", file=sys.stderr)
    return calls, not faults


def main():
    fine = True
    for name in ("docs/RUNBOOK.md", "docs/DEPLOYING.md"):
        blocks = shell_blocks(name)
        calls, ran = run(name, blocks)
        # A changed heading or fence must not result in an empty run.
        fine &= ran and bool(calls)
        counts = collections.Counter(call[0] for call in calls)
        called = ", ".join(f"{count} of {program}" for program, count in sorted(counts.items()))
        print(f"{name}: {len(blocks)} blocks, {len(calls)} commands: {called}")
    return 0 if fine else 1


sys.exit(main())
