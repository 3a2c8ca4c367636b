"""A substitute for a relocatable Python, and an empty root to run it in."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.harness.child import captured

LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "__pycache__"}


def pack_python(target: Path) -> Path:
    """Write this machine's Python to `target`, packed as relocatable Pythons are."""
    base = Path(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tarfile.open(target, "w:gz", compresslevel=1) as packed:
        interpreter = (base / "bin" / name).resolve().read_bytes()
        member = tarfile.TarInfo(f"python/bin/{name}")
        interpreter = _relocatable(interpreter)
        member.size, member.mode = len(interpreter), 0o755
        packed.addfile(member, io.BytesIO(interpreter))
        for library in base.glob("lib/libpython3.*.so.*"):
            packed.add(library, f"python/lib/{library.name}")

        def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            return None if Path(member.name).name in LEFT_OUT else member

        packed.add(base / "lib" / name, f"python/lib/{name}", filter=kept)
    return target


def _relocatable(interpreter: bytes) -> bytes:
    """Let an interpreter with an absolute library path look for its library beside itself."""
    found = f"{sysconfig.get_config_var('LIBDIR')}\0".encode()
    beside = b"$ORIGIN/../lib\0"
    return interpreter.replace(found, beside.ljust(len(found), b"\0"))


def empty_root(root: Path, programs: list[str]) -> None:
    """Create a root that contains only `programs` and their libraries."""
    wanted = [shutil.which(program) for program in programs]
    assert None not in wanted, f"not all of {programs} are here"
    libraries: set[str] = set()
    for program in filter(None, wanted):
        _copy(Path(program), root)
        libraries |= _libraries(program)
    # A relocatable Python contains the libraries of its modules; this machine's does not.
    for module in Path(sys.base_prefix).glob("lib/python3.*/lib-dynload/*.so"):
        libraries |= _libraries(str(module))
    for name in ("libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libm.so.6",
                 "libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libc.so.6"):  # fmt: skip
        libraries |= {str(p) for p in Path("/lib").glob(f"*-linux-gnu/{name}")}
        libraries |= {str(p) for p in Path("/usr/lib").glob(f"*-linux-gnu/{name}")}
    for library in libraries:
        _copy(Path(library), root)
    (root / "etc").mkdir()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
    (root / "bin").symlink_to("usr/bin")
    for name in ("tmp", "root", "dev", "proc", "var/log", "hive/miners/custom"):
        (root / name).mkdir(parents=True, exist_ok=True)


def _copy(source: Path, root: Path) -> None:
    if source.is_relative_to(sys.base_prefix):
        return
    target = root / source.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _libraries(program: str) -> set[str]:
    listed = captured(["ldd", program]).stdout
    return {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}


INSIDE = """
mount --make-rprivate /
mount --bind /proc "$0/proc"
mount --rbind /dev "$0/dev"
exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/bin TERM=dumb "$@"
"""


def inside(root: Path, *command: str) -> list[str]:
    """Return the command that runs `command` in `root` with a clean environment."""
    return ["unshare", "--mount", "sh", "-ec", INSIDE, str(root), *command]


def may_mount() -> bool:
    """Whether `inside` works on this machine."""
    asked = ["unshare", "--mount", "true"]
    return os.geteuid() == 0 and subprocess.run(asked, check=False).returncode == 0
