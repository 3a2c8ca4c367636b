"""Has the child processes in which devices are tried use the fake driver's compiler."""

import sys

if "miner.devices" in sys.orig_argv:
    import tests.harness.fake_driver_plugin  # noqa: F401
