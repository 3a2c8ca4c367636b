"""Adds the Debian packages of this image to a CycloneDX list of its Python packages.

python sbom.py PYTHON_LIST RESULT
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

FIELDS = "${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\n"


def debian_packages() -> str:
    """Return a line for each installed package: name, version, architecture, source, with tabs."""
    command = ["dpkg-query", "--show", f"--showformat={FIELDS}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def components(packages: str, release: str) -> list[dict[str, Any]]:
    """Return one CycloneDX component for each line of `packages`, sorted by name."""
    found = []
    for line in sorted(packages.splitlines()):
        binary, version, architecture, source = line.split("\t")
        name = binary.partition(":")[0]
        purl = (
            f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}"
            f"?arch={architecture}&distro={quote(release)}"
        )
        found.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "properties": [{"name": "debian:source", "value": source}],
            }
        )
    return found


def with_components(document: dict[str, Any], debian: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `document` with the components `debian` appended."""
    own = [*document.get("components", []), *debian]
    return {**document, "components": own}


def main(python_list: str, result: str) -> None:
    """Write `result` and create its folder."""
    document = json.loads(Path(python_list).read_text(encoding="utf-8"))
    release = platform.freedesktop_os_release()
    name = f"{release['ID']}-{release.get('VERSION_ID', 'unknown')}"
    target = Path(result)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(with_components(document, components(debian_packages(), name)), indent=1)
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
