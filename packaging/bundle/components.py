"""The packages that the miner needs, with their versions and dependencies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundle.runtime import BuildError

WINDOWS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"}
"""What markers of requirements compare with there."""


def pinned(constraints: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the versions in a constraints file, by canonical name."""
    found = {}
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({**environment}):
                (version,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = version.version
    return found


def needed(
    roots: Iterable[str], versions: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return what the requirements `roots` need, all by canonical name: each package with those
    that it needs itself, as the distributions installed here state.

    Markers are evaluated in `environment`, else for this machine. Raises `BuildError` for a package
    without a version in `versions`.
    """
    found: dict[str, list[str]] = {}
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in versions:
            raise BuildError(f"{name}: packaging/constraints.txt has no version of it")
        try:
            stated = distribution(name).requires or []
        except PackageNotFoundError:
            stated = []
        extras = requirement.extras or {""}
        own = [
            r
            for r in map(Requirement, stated)
            if r.marker is None
            or any(r.marker.evaluate({**environment, "extra": e}) for e in extras)
        ]
        known = {*found.get(name, ()), *(canonicalize_name(r.name) for r in own)}
        if name not in found or known != set(found[name]):
            found[name] = sorted(known)
            waiting += own
    return dict(sorted(found.items()))


def bill(
    name: str, version: str, roots: Mapping[str, list[str]], versions: Mapping[str, str],
    timestamp: int,
) -> str:  # fmt: skip
    """Return the bill of materials of the miner as CycloneDX 1.6 in JSON.

    `roots` are its requirements by extra, "" for those without one. The text depends on nothing
    else than the arguments and the distributions installed here.
    """
    scopes: dict[str, str] = {}
    edges: dict[str, list[str]] = {}
    for extra, requirements in sorted(roots.items()):
        for package, others in needed(requirements, versions, {}).items():
            scopes.setdefault(package, "optional" if extra else "required")
            edges[package] = sorted({*edges.get(package, ()), *others})
    own = f"pkg:pypi/{name}@{version}"
    direct = {canonicalize_name(Requirement(r).name) for rows in roots.values() for r in rows}
    refs = {package: f"pkg:pypi/{package}@{versions[package]}" for package in edges}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application", "bom-ref": own, "name": name, "version": version,
                "purl": own, "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [
            {
                "type": "library", "bom-ref": refs[package], "name": package,
                "version": versions[package], "scope": scopes[package], "purl": refs[package],
            }
            for package in sorted(edges)
        ],
        "dependencies": [
            {"ref": own, "dependsOn": sorted(refs[package] for package in direct)},
            *(
                {"ref": refs[package], "dependsOn": sorted(refs[other] for other in edges[package])}
                for package in sorted(edges)
            ),
        ],
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def release_notes(changelog: str, version: str) -> str:
    """Return the section of `version` in the changelog, else the unreleased one, without its
    heading; raises `BuildError` if it is missing or empty."""
    for heading in (version, "Unreleased"):
        found = re.search(rf"^## \[{re.escape(heading)}\].*\n((?:(?!## ).*\n?)*)", changelog, re.M)
        if found and found[1].strip():
            return f"# progpow-miner {version}\n\n{found[1].strip()}\n"
    raise BuildError(f"CHANGELOG.md: has no text for {version}")
