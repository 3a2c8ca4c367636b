"""The run as text: in a terminal, in a pipe, in the log file."""

from miner.console.console import open_console
from miner.console.logfile import LogFile
from miner.console.plain import summary

__all__ = ["LogFile", "open_console", "summary"]
