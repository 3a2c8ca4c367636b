"""Replace identical files of one folder by links to one of them: a wheel has no links, so Intel's
runtime holds each library under two or three names.

share_files.py FOLDER
"""

from __future__ import annotations

import sys
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

SMALLEST = 1 << 16
"""Bytes of the smallest file that is worth a link."""


def main(folder: Path) -> None:
    """Keep the file with the longest name of each group, the one with the full version."""
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= SMALLEST:
            groups[sha256(path.read_bytes()).digest()].append(path)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda path: (-len(path.name), path.name))
        for path in others:
            path.unlink()
            path.symlink_to(kept.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
