"""The licence notices of everything in an archive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_NOTICE = re.compile(r"(licen[cs]es?|copying|notice|authors)([-_.].*)?", re.IGNORECASE)
_RULE = "=" * 78

OWN = """\
progpow-miner itself is under the Apache License 2.0, see LICENSE. This archive also contains the
software listed here, each under its own licence.
"""


def notices(site: Path, python: Path, own: str) -> str:
    """Return the notices of the packages in the folder `site` and of the Python in `python`,
    without the package `own`."""
    parts = [
        OWN,
        _part(f"Python, in {python.name}/", [], _texts(_python_files(python), python)),
    ]
    found = {d.metadata["Name"].lower(): d for d in distributions(path=[str(site)])}
    for name in sorted(found):
        if name != own:
            distribution = found[name]
            files = _texts(_distribution_files(distribution), site)
            parts.append(_part(f"{distribution.name} {distribution.version}",
                               _declared(distribution), files))  # fmt: skip
    return "\n".join(parts)


def _part(title: str, facts: list[str], texts: list[tuple[str, str]]) -> str:
    lines = [_RULE, title, *facts, _RULE, ""]
    for name, text in texts:
        lines += [f"--- {name}", "", text.strip("\n"), ""]
    if not texts:
        lines += ["(The package does not contain its licence text.)", ""]
    return "\n".join(lines)


def _declared(distribution: Distribution) -> list[str]:
    fields = distribution.metadata
    names = ("License-Expression", "License", "Classifier", "Home-page", "Project-URL")
    found = {name: [str(v) for v in fields.get_all(name) or ()] for name in names}
    licences = found["License-Expression"] or [v.split("\n")[0] for v in found["License"]]
    licences = licences or [c for c in found["Classifier"] if c.startswith("License ::")]
    licence, home = ", ".join(licences), next(iter(found["Home-page"] + found["Project-URL"]), "")
    facts = [("Licence: ", licence), ("Home: ", home)]
    return [label + value for label, value in facts if value]


def _distribution_files(distribution: Distribution) -> Iterator[Path]:
    for file in distribution.files or ():
        inside = any(part.endswith(".dist-info") for part in file.parts)
        listed = (inside and "licenses" in file.parts) or _NOTICE.fullmatch(file.name)
        if listed and file.suffix not in (".py", ".pyc", ".so"):
            yield Path(str(distribution.locate_file(file)))


def _python_files(python: Path) -> Iterator[Path]:
    yield from python.glob("LICENSE*")
    yield from python.glob("licenses/*")
    yield from python.glob("lib/python3*/LICENSE*")


def _texts(files: Iterator[Path], root: Path) -> list[tuple[str, str]]:
    found = {path.relative_to(root).as_posix(): path for path in files if path.is_file()}
    return [(n, found[n].read_text(encoding="utf-8", errors="replace")) for n in sorted(found)]
