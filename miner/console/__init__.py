"""What a person reads of a run: in the terminal, in a pipe, in the log."""

from miner.console.console import ConsoleView, Kind, open_console
from miner.console.json_lines import JsonConsole
from miner.console.logfile import LogFile
from miner.console.plain import PlainConsole, device_line, full_status, status_line, summary

__all__ = [
    "ConsoleView",
    "JsonConsole",
    "Kind",
    "LogFile",
    "PlainConsole",
    "device_line",
    "full_status",
    "open_console",
    "status_line",
    "summary",
]
