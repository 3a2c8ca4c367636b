"""What a person reads of a run: in the terminal, in a pipe, in the log."""

from miner.console.choice import ConsoleView, Kind, open_console
from miner.console.logfile import LogFile
from miner.console.plain import PlainConsole
from miner.console.records import JsonConsole
from miner.console.redaction import Redactor
from miner.console.status import device_line, full_status, status_line, summary

__all__ = [
    "ConsoleView",
    "JsonConsole",
    "Kind",
    "LogFile",
    "PlainConsole",
    "Redactor",
    "device_line",
    "full_status",
    "open_console",
    "status_line",
    "summary",
]
