"""The share ledger: each candidate's whole life, kept in a file."""

from miner.ledger.ledger import Ledger
from miner.ledger.reader import LedgerReader
from miner.ledger.share import GROUPS, OUTCOMES, Filter, RunOfShares, Share, Sum

__all__ = [
    "GROUPS",
    "OUTCOMES",
    "Filter",
    "Ledger",
    "LedgerReader",
    "RunOfShares",
    "Share",
    "Sum",
]
