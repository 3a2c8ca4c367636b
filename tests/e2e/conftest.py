from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """KawPow with its sizes written down outright, so that a dataset takes no time."""
    text = (ROOT / "configs/variants/kawpow.toml").read_text()
    head, mark, answers = text.partition("[[known_answers]]")
    head = re.sub(r'name = "kawpow"', 'name = "toy"', head)
    head = re.sub(r"aliases = .*", "aliases = []", head)
    sizes = "[sizes]\nlight_items = 509\ndataset_items = 8191\nseed_epoch = 0\n\n"
    path = tmp_path_factory.mktemp("variant") / "toy.toml"
    path.write_text(head + sizes + mark + answers)
    return str(path)
