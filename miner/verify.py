"""Light caches kept; candidates and shares proved on the CPU."""
from __future__ import annotations
