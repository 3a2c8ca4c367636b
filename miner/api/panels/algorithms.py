"""Our variants by the names that farm systems know."""

from __future__ import annotations

NAMES = {
    "evrprogpow": "evrprogpow",
    "firopow": "firopow",
    "kawpow": "kawpow",
    "meowpow": "meowpow",
    "phihash": "phihash",
    "progpow-0.9.2": "progpow",
    "progpow-0.9.3": "progpow",
    "progpow-0.9.4": "progpow",
    "progpow-quai": "progpow-quai",
    "progpow-sero": "progpow-sero",
    "progpow-veil": "progpow-veil",
    "progpowz": "progpowz",
    "telestai": "progpow-telestai",
}


def algorithm(variant: str) -> str:
    """Return a panel's name of `variant`; a variant of the user's own keeps its name."""
    return NAMES.get(variant, variant)
