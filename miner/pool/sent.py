"""What a pool was sent already."""

from __future__ import annotations

KEPT_HEADERS = 64
"""Headers whose nonces are remembered, so that none is sent twice."""


class SentNonces:
    """What one pool was sent, over all connections: no nonce goes out twice for one header."""

    def __init__(self) -> None:
        self._sent: dict[bytes, set[int]] = {}

    def add(self, header_hash: bytes, nonce: int) -> bool:
        """Note a nonce that is about to be sent; False where it was sent before."""
        nonces = self._sent.setdefault(header_hash, set())
        if nonce in nonces:
            return False
        nonces.add(nonce)
        while len(self._sent) > KEPT_HEADERS:
            del self._sent[next(iter(self._sent))]
        return True

    def forget(self, header_hash: bytes, nonce: int) -> None:
        """Note that a nonce was not sent after all."""
        self._sent.get(header_hash, set()).discard(nonce)
