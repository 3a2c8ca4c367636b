"""Lets child processes use the fake driver's compiler: trials of devices, the miner,
and the steps of the first run on a card."""

import sys

USERS = ("miner.devices", "miner", "benchmarks/card_checks.py", "benchmarks/card_rates.py",
         "benchmarks/limits.py")  # fmt: skip

if any(word in USERS for word in sys.orig_argv):
    import tests.harness.fake_driver_plugin  # noqa: F401
