"""Started by RaveOS with its own Python, which may be old. Lets the packaged Python write the
settings, and passes RaveOS the miner's command line."""

import json
import os
import shlex
import subprocess
import sys

import ravinos

task = ravinos.get_config()
miner = task.get("miner_dir") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
config = os.path.join(task.get("work_dir") or miner, "progpow-miner.toml")
python = os.path.join(miner, "python", "bin", "progpow-miner")
launcher = os.path.join(miner, "progpow-miner")
for program in (python, launcher):  # not every unzip program keeps the modes
    if not os.access(program, os.X_OK):
        os.chmod(program, 0o755)


def report(reason):
    """Keep the reason for which nothing is mined, which stats.py passes to RaveOS."""
    sys.stderr.write(reason)
    try:
        with open(os.path.join(miner, "progpow-miner.reason"), "w", encoding="utf-8") as file:
            file.write(reason)
    except OSError:  # its folder may be read-only
        pass


try:
    arguments = shlex.split(task.get("args") or "")
except ValueError as error:
    report("progpow-miner: the task's arguments cannot be read: {}\n".format(error))  # noqa: UP032
    sys.exit(2)

command = [python, "-I", "-X", "utf8", os.path.join(miner, "farm"), "raveos-config", config]
configuring = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
_, reason = configuring.communicate(json.dumps(task).encode("utf-8"))
report(reason.decode("utf-8", "replace"))
if configuring.returncode != 0:
    sys.exit(configuring.returncode)

line = [launcher, "mine", "--config", config, *arguments]
ravinos.run(" ".join(shlex.quote(word) for word in line))
