"""Addresses of each coin, right and mistyped; placeholders."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import coins
from miner.progpow.keccak import keccak256
from miner.wallets import (
    BASE58,
    BECH32,
    BECH32_CONSTANTS,
    CRYPTONOTE_BLOCKS,
    WRONG_CHECKSUM,
    AddressForm,
    address_problem,
    placeholder_in,
)

SERO_KEY = (
    "SP103ATBFhrrwJhbLGd7PEGZeTg3uFjjknyegqvDyN5pvM4gvp4jyfyGTTLvwEwJhwqBjS2ceaQjN7uHC5Q5biifbRZf"
    "0NF"
)
"""From zero/account/address_test.go in go-sero."""

# Burn and reward addresses in the sources of the nodes (src/chainparams.cpp).
PUBLISHED = [
    ("RVN", "RXBurnXXXXXXXXXXXXXXXXXXXXXXWUo9FV"),
    ("RVN", "RXissueAssetXXXXXXXXXXXXXXXXXhhZGt"),
    ("EVR", "EXBurnXXXXXXXXXXXXXXXXXXXXXXZ8ZjfN"),
    ("EVR", "EXissueAssetXXXXXXXXXXXXXXXXYiYRBD"),
    ("MEWC", "MCBurnXXXXXXXXXXXXXXXXXXXXXXUkdzqy"),
    ("MEWC", "MPyNGZSSZ4rbjkVJRLn3v64pMcktpEYJnU"),
    ("NEOX", "GeNvn7GXr1aLqhDx9HG9aYWnPA5qoRsz9X"),
    ("NEOX", "GTbBCJzqRWyFBMrap2fY39eZaXnLnojJ3F"),
    ("CLORE", "AZuJi37imwSjTFBwExtJ12tG1BvSnUctZg"),
    ("CLORE", "AePr762UcuQrGoa3TRQpGMX6byRjuXw97A"),
    ("PHI", "PkC3bSAjN99cFg9yQbPYn5sQ89Gnvnnmcf"),
    ("TLS", "ToBurnXXXXXXXXXXXXXXXXXXXXXXX57KAq"),
    ("TLS", "TiNHWYdQxW3KXc7B7pE2wQZfSFaiHZiUPF"),
    ("XNA", "NbURNXXXXXXXXXXXXXXXXXXXXXXXT65Gdr"),
    ("VEIL", "3Hkg83bUH68JFsyFaBiAaFbuZWNkyKbxBH"),
    ("SERO", SERO_KEY),
    # EIP-55's own examples
    ("QUAI", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ("QUAI", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
]  # fmt: skip

# BIP 173, BIP 350
BECH32_VECTORS = [
    ("bc", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"),
    ("bc", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y"),
    ("tb", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"),
]


def base58(data: bytes) -> str:
    value, text = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base58check(body: bytes) -> str:
    return base58(body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4])


def cryptonote(body: bytes) -> str:
    data = body + keccak256(body)[:4]
    characters = {size: count for count, size in CRYPTONOTE_BLOCKS.items()}
    text = ""
    for start in range(0, len(data), 8):
        block = data[start : start + 8]
        text += base58(block).lstrip("1").rjust(characters[len(block)], "1")
    return text


def forms(symbol: str) -> tuple[AddressForm, ...]:
    return coins()[symbol].addresses


@pytest.mark.parametrize(("symbol", "address"), PUBLISHED)
def test_published_addresses_are_accepted(symbol: str, address: str) -> None:
    assert address_problem(address, forms(symbol)) is None


@pytest.mark.parametrize(("symbol", "address"), PUBLISHED)
def test_a_mistyped_character_is_noticed(symbol: str, address: str) -> None:
    for place in range(3, len(address)):
        other = address[place].swapcase()
        mistyped = address[:place] + other + address[place + 1 :]
        if other != address[place]:
            assert address_problem(mistyped, forms(symbol)), mistyped
    swapped = address[:-2] + address[-1] + address[-2]
    assert address_problem(swapped, forms(symbol)) == WRONG_CHECKSUM
    assert address_problem(address[:-1], forms(symbol))
    assert address_problem(address + "a", forms(symbol))


@pytest.mark.parametrize(
    ("address", "symbol"),
    [(a, s) for _, a in PUBLISHED for s in ("RVN", "QUAI", "ZANO") if a[0] not in "R0"],
)
def test_an_address_of_another_coin_is_noticed(address: str, symbol: str) -> None:
    assert address_problem(address, forms(symbol)) == "it has another form"


@given(st.binary(min_size=20, max_size=20), st.sampled_from(["RVN", "FIRO", "CLORE", "PHI"]))
def test_every_hash_with_a_known_version_is_accepted(key: bytes, symbol: str) -> None:
    form = forms(symbol)[0]
    for version in form.prefixes:
        assert address_problem(base58check(bytes.fromhex(version) + key), forms(symbol)) is None
    assert address_problem(base58check(b"\x05" + key), forms("RVN")) == "it has another form"


@pytest.mark.parametrize(("prefix", "address"), BECH32_VECTORS)
def test_bech32(prefix: str, address: str) -> None:
    form = (AddressForm("bech32", (prefix,)),)
    assert address_problem(address, form) is None
    last = "q" if address[-1].lower() != "q" else "p"
    assert address_problem(address.lower()[:-1] + last, form) == WRONG_CHECKSUM
    mixed = address.lower()[:-1] + address[-1].upper() if address[-1].isalpha() else ""
    assert not mixed or address_problem(mixed, form)
    assert address_problem(address.lower()[:-1] + "b", form)
    assert address_problem(address, (AddressForm("bech32", ("xx",)),)) == "it has another form"
    assert len(BECH32) == 32
    assert len(BECH32_CONSTANTS) == 2


@given(st.binary(min_size=64, max_size=64))
def test_zano(keys: bytes) -> None:
    for tag, start in ((b"\xc5\x01", "Zx"), (b"\xf8\x6c", "iZ"), (b"\xc8\xb1\x02", "aZx")):
        address = cryptonote(tag + keys)
        assert address.startswith(start)
        assert address_problem(address, forms("ZANO")) is None
        swapped = address[:40] + ("x" if address[40] != "x" else "y") + address[41:]
        assert address_problem(swapped, forms("ZANO")) in (WRONG_CHECKSUM, "it has another form")
    monero = cryptonote(b"\x12" + keys)
    assert address_problem(monero, forms("ZANO")) == "it has another form"


def test_keys_of_early_sero_wallets_have_no_checksum() -> None:
    for size in (64, 96):
        assert address_problem(base58(bytes(range(1, size + 1))), forms("SERO")) is None
    for size in (63, 65, 20):
        problem = address_problem(base58(bytes(range(1, size + 1))), forms("SERO"))
        assert problem == "it has another form"


def test_hex_addresses_without_mixed_case_have_no_checksum() -> None:
    address = PUBLISHED[-1][1]
    for text in (address.lower(), "0x" + address[2:].upper()):
        assert address_problem(text, forms("QUAI")) is None
    assert address_problem(address[:-1], forms("QUAI")) == "it has 39 hex digits instead of 40"


@given(st.text(alphabet=st.characters(max_codepoint=0x250), max_size=120))
def test_any_text_can_be_checked(text: str) -> None:
    for coin in coins().values():
        problem = address_problem(text, coin.addresses)
        assert problem is None or problem


def test_names_of_accounts_have_no_form() -> None:
    for name in ("", "x", "practice", "my-account", "me@mail.example", "a" * 24, "a_b" * 10):
        assert address_problem(name, forms("RVN")) is None
    assert address_problem("a" * 34, ()) is None


@pytest.mark.parametrize(
    "user",
    [
        "YOUR_WALLET", "YOUR_WALLET.rig1", "YOUR-WALLET-ADDRESS", "your_wallet_address/rig",
        "YourWalletAddress", "YOUR_RVN_WALLET.rig", "yourwallet", "PUT_YOUR_WALLET_HERE",
        "WALLET.worker", "WALLET_ADDRESS", "ADDRESS", "your account", "<wallet>", "<RVN address>.r",
        "[wallet]", "{wallet}", "${WALLET}", "$WALLET.rig", "%WAL%.%WORKER_NAME%", "wallet_here",
        "MY_WALLET", "my-address.rig", "RVN_ADDRESS", "rvn_wallet", "wallet_address",
        "USERNAME.rig", "changeme", "XXXXX.rig", "«wallet»",
    ],
)  # fmt: skip
def test_placeholders(user: str) -> None:
    found = placeholder_in(user)
    assert found
    assert user.startswith(found)


def test_a_placeholder_after_the_coin_to_be_paid_is_found() -> None:
    assert placeholder_in("RVN:YOUR_WALLET.rig1") == "YOUR_WALLET"
    assert placeholder_in("myname:WALLET") is None  # a password, perhaps


@pytest.mark.parametrize(
    "user",
    [
        "", "w", "wallet", "wallet.rig1", "practice.rig1", "myaccount.your", "me+rvn@mail.example",
        "RXBurnXXXXXXXXXXXXXXXXXXXXXXWUo9FV.rig1", "sero1", "a$b", "5%", "youri.rig", "my_wallets",
        "my_rvn", "walletaddress1", "XX",
    ],
)  # fmt: skip
def test_names_that_are_not_placeholders(user: str) -> None:
    assert placeholder_in(user) is None
