"""The share ledger: a file with every candidate and its outcome."""

from miner.ledger.ledger import Ledger
from miner.ledger.ledger_reader import LedgerReader
from miner.ledger.schema import LEDGER_FILE
from miner.ledger.share_record import GROUPS, OUTCOMES, Filter, RunRecord, ShareRecord, Sum

__all__ = [
    "GROUPS", "LEDGER_FILE", "OUTCOMES", "Filter", "Ledger", "LedgerReader", "RunRecord",
    "ShareRecord", "Sum",
]  # fmt: skip
