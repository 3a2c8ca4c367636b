"""Checks of wallet addresses by characters, length, prefix and checksum; detects placeholders.

A valid form does not prove that anyone has the key of an address.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SHORTEST_ADDRESS = 25
"""Characters; a shorter name is an account at the pool, which has no form."""

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

BECH32_CONSTANTS = (1, 0x2BC830A3)
"""Checksum constants of Bech32 (BIP 173) and Bech32m (BIP 350)."""

CRYPTONOTE_BLOCKS = {0: 0, 2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8}
"""Bytes by characters of a block of CryptoNote's Base58, which encodes 8 bytes at a time."""

WRONG_CHECKSUM = "its checksum is wrong, so a character is mistyped or missing"


@dataclass(frozen=True, slots=True)
class AddressForm:
    """One form of a coin's addresses."""

    kind: str
    """A key of `KINDS`."""
    prefixes: tuple[str, ...] = ()
    """base58check: the version bytes in hex; bech32: the text before the 1; cryptonote: the tags as
    numbers in hex; hex and sero: none."""


def address_problem(address: str, forms: Sequence[AddressForm]) -> str | None:
    """Return why `address` has none of `forms`; None if it has one of them, if no form is known,
    or if it is an account's name."""
    if not forms or len(address) < SHORTEST_ADDRESS or not re.fullmatch("[0-9A-Za-z]+", address):
        return None
    problems = [KINDS[form.kind](address, form.prefixes) for form in forms]
    if None in problems:
        return None
    return next(filter(None, problems), "it has another form")


def login_parts(user: str) -> list[str]:
    """Return the parts of a login such as WALLET.worker; the first one is the account."""
    return re.split(r"[./:+]", user)


def placeholder_in(user: str) -> str | None:
    """Return the placeholder that `user` has in place of a wallet; None if it has none."""
    account, *others = login_parts(user.strip())
    coin = re.match("[A-Z]{2,5}:", user.strip())  # some pools pay in the coin before a colon
    for name in (account, others[0]) if coin else (account,):
        if _TEMPLATE.fullmatch(name) or _NAMES.fullmatch(name) or _YOURS.search(name):
            return name
    return None


_TEMPLATE = re.compile(r"<.*>|«.*»|\[.*\]|\$?\{.*\}|\$[A-Za-z_]+|%[A-Za-z_]+%")
"""A word in brackets, or a variable that was not replaced."""

_NAMES = re.compile(
    r"(?:[A-Z]+[_-])?(?:WALLET|ADDRESS)|(?i:wallet[_ -]?address|my[_ -]?(?:wallet|address))"
    r"|[a-z]{3,5}_(?:wallet|address)|USERNAME|(?i:change[_-]?me)|X{3,}"
)
"""Names that stand for a wallet in examples; "wallet" alone is an account of the test pool."""

_YOURS = re.compile(
    r"your[_ -]?([a-z]+[_ -]?)?(wallet|address|account|login|username)|wallet[_ -]?here",
    re.IGNORECASE,
)


def _base58check(address: str, versions: Sequence[str]) -> str | None:
    """Check Base58Check of a version and 20 bytes."""
    data = _base58_bytes(address)
    if data is None:
        return ""
    body, checksum = data[:-4], data[-4:]
    known = [v for v in map(bytes.fromhex, versions) if len(body) == len(v) + 20]
    if not body.startswith(tuple(known)):
        return ""
    # A mistyped character changes the checksum, but hardly ever the first characters.
    right = hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] == checksum
    return None if right else WRONG_CHECKSUM


def _base58_bytes(text: str) -> bytes | None:
    """Return the bytes that `text` encodes; None if it has other characters."""
    value = 0
    for character in text:
        digit = BASE58.find(character)
        if digit < 0:
            return None
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


SERO_BYTES = {"SP": 64, "SC": 96}
"""Bytes by prefix: public keys, and addresses derived from them for single use."""

_SERO = re.compile("(SP|SC)([01])0([^0]+)0([^0]{2})")


def _sero(address: str, _: Sequence[str]) -> str | None:
    """Check prefix, version, key and checksum, separated by 0 (zero/account/address.go in go-sero);
    addresses of early wallets are the key alone."""
    found = _SERO.fullmatch(address)
    data = _base58_bytes(found[3] if found else address)
    if data is None or len(data) not in SERO_BYTES.values():
        return ""
    if found is None:
        return None
    prefix, version, _, checksum = found.groups()
    digest = hashlib.md5((prefix + version).encode("ascii") + data, usedforsecurity=False).digest()
    right = SERO_BYTES[prefix] == len(data) and _base58(digest)[:2] == checksum
    return None if right else WRONG_CHECKSUM


def _base58(data: bytes) -> str:
    value, text = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _bech32(address: str, prefixes: Sequence[str]) -> str | None:
    prefix, separator, data = address.lower().rpartition("1")
    if not separator or prefix not in prefixes:
        return ""
    if address not in (address.lower(), address.upper()) or not set(data) <= set(BECH32):
        return "it has characters that such an address does not have"
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = _polymod(values + [BECH32.index(c) for c in data])
    return None if checksum in BECH32_CONSTANTS else WRONG_CHECKSUM


def _polymod(values: Sequence[int]) -> int:
    """Return the checksum of 5-bit values, as BIP 173 defines it."""
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> i & 1 else 0
    return checksum


def _hex(address: str, prefixes: Sequence[str]) -> str | None:
    """Check 20 bytes in hex, and the case of the letters (EIP-55) where it is mixed."""
    if not re.fullmatch("0[xX][0-9A-Fa-f]*", address):
        return ""
    digits = address[2:]
    if len(digits) != 40:
        return f"it has {len(digits)} hex digits instead of 40"
    if digits in (digits.lower(), digits.upper()):
        return None
    from miner.progpow.keccak import keccak256  # importing it loads numba

    checksum = keccak256(digits.lower().encode("ascii")).hex()
    mixed = "".join(
        digit.upper() if int(mark, 16) >= 8 else digit
        for digit, mark in zip(digits.lower(), checksum, strict=False)
    )
    return None if digits == mixed else WRONG_CHECKSUM


def _cryptonote(address: str, tags: Sequence[str]) -> str | None:
    blocks = [address[i : i + 11] for i in range(0, len(address), 11)]
    data = b""
    for block in blocks:
        size = CRYPTONOTE_BLOCKS.get(len(block))
        value = sum(BASE58.find(c) * 58**i for i, c in enumerate(reversed(block)))
        if size is None or not set(block) <= set(BASE58) or value >> 8 * size:
            return ""
        data += value.to_bytes(size, "big")
    known = [_varint(int(tag, 16)) for tag in tags]
    if not data.startswith(tuple(known)) or len(data) > MOST_CRYPTONOTE_BYTES:
        return ""
    from miner.progpow.keccak import keccak256  # importing it loads numba

    return None if keccak256(data[:-4])[:4] == data[-4:] else WRONG_CHECKSUM


MOST_CRYPTONOTE_BYTES = 4 + 2 * 32 + 1 + 8 + 4
"""Bytes of tag, two keys, flags, payment id and checksum."""


def _varint(number: int) -> bytes:
    """Return `number` in groups of 7 bits, the lowest first."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


KINDS: Mapping[str, Callable[[str, Sequence[str]], str | None]] = {
    "base58check": _base58check,
    "bech32": _bech32,
    "hex": _hex,
    "cryptonote": _cryptonote,
    "sero": _sero,
}
"""Each returns None for an address of its form, "" for a text of another form, else the problem."""
