"""The Dockerfile, checked without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from ctypes.util import find_library
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from threading import Timer

import pytest

from miner.progpow.jit import cache_folder
from tests.harness import fake_driver
from tests.harness.child import captured
from tests.packaging.conftest import lines_until
from tests.packaging.standin import may_mount

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TARGETS = ("cuda", "opencl", "cpu")


@dataclass(frozen=True)
class Step:
    """An instruction of a stage, with its continuation lines joined."""

    stage: str
    word: str
    rest: str


def steps() -> list[Step]:
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Step] = []
    stage = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            rest, _, stage = rest.partition(" AS ")
        found.append(Step(stage, word, " ".join(rest.split())))
    return found


STEPS = steps()
PARENTS = {step.stage: step.rest for step in STEPS if step.word == "FROM"}


def lineage(stage: str) -> list[Step]:
    """Return the steps of `stage` and of the stages that it is based on."""
    before = lineage(PARENTS[stage]) if PARENTS[stage] in PARENTS else []
    return before + [step for step in STEPS if step.stage == stage]


def last(word: str, stage: str) -> str:
    """Return the last instruction `word`, which is the effective one."""
    return [step.rest for step in lineage(stage) if step.word == word][-1]


def sources() -> list[str]:
    """Return all paths of the checkout that are copied or bound."""
    copied = [
        source
        for step in STEPS
        if step.word in ("COPY", "ADD") and "--from=" not in step.rest
        for source in shlex.split(step.rest)[:-1]
    ]
    bound = [
        found[1]
        for step in STEPS
        for found in re.finditer(r"--mount=type=bind,source=([^, ]+)", step.rest)
    ]
    assert copied
    assert bound
    return sorted(set(copied + bound))


def test_cpu_is_the_default_target() -> None:
    assert set(TARGETS) < set(PARENTS)
    assert list(PARENTS)[-1] == "cpu"
    assert {base for base in PARENTS.values() if base not in PARENTS} == {"${PYTHON_IMAGE}"}


def test_hadolint() -> None:
    """Without DL3059: consecutive RUNs are separate layers for the build cache."""
    done = captured(
        [BIN / "hadolint", "--no-color", "--ignore", "DL3059", "Dockerfile"], cwd=CHECKOUT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_contains_only_its_environment(target: str) -> None:
    assert PARENTS[target] == "runtime"
    copied = [s.rest for s in lineage(target) if s.word in ("COPY", "ADD")]
    place = "/opt/progpow-miner"
    assert copied == [f"--from=install-{target} {place} {place}"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_user_is_numeric_and_its_group_owns_the_written_folders(target: str) -> None:
    """Any user of the group 0 can write them, as OpenShift demands."""
    user = last("USER", target)
    assert re.fullmatch(r"[1-9]\d*:0", user)
    done = lineage(target)
    assert done[-1] == Step(target, "USER", user), "no step may follow as another user"
    volumes = json.loads(last("VOLUME", target))
    made = " ".join(s.rest for s in done if s.word == "RUN")
    assert f"chown {user} {' '.join(volumes)}" in made
    assert f"chmod 0775 {' '.join(volumes)}" in made
    environment = " ".join(s.rest for s in done if s.word == "ENV")
    assert f"PROGPOW_MINER_CACHE={volumes[0]} PROGPOW_MINER_STATE={volumes[1]}" in environment
    assert f"HOME={volumes[0]}" in environment


@pytest.mark.parametrize("target", TARGETS)
def test_init_process_and_health_check(target: str) -> None:
    assert json.loads(last("ENTRYPOINT", target)) == ["tini", "--", "progpow-miner"]
    assert isinstance(json.loads(last("CMD", target)), list)
    assert last("STOPSIGNAL", target) == "SIGTERM"
    assert any("install" in s.rest and " tini" in s.rest for s in lineage(target))
    _, _, command = last("HEALTHCHECK", target).partition("CMD ")
    assert json.loads(command) == ["progpow-miner", "health"]
    environment = " ".join(s.rest for s in lineage(target) if s.word == "ENV")
    assert "PROGPOW_MINER_API_ADDRESS_FILE=/tmp/" in environment, "with any --api"


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_package_list(target: str) -> None:
    (written,) = [s.rest for s in STEPS if s.stage == target and "sbom.py" in s.rest]
    assert written.endswith("/usr/share/doc/progpow-miner/sbom.cdx.json")
    # After the last package, so that the list is complete.
    install = [s.rest for s in STEPS if s.stage == f"install-{target}" and s.word == "RUN"]
    assert "cyclonedx-py environment" in install[-1]


def test_opencl_finds_the_nvidia_driver() -> None:
    (registered,) = [s.rest for s in lineage("cuda") if "nvidia.icd" in s.rest]
    assert registered == "echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd"
    environment = last("ENV", "cuda")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in environment


def test_pycuda_is_built_in_the_stage_with_a_compiler() -> None:
    (made,) = [s.rest for s in STEPS if "wheelhouse.py --only-pycuda" in s.rest]
    (taken,) = [s.rest for s in STEPS if s.stage == "install-cuda" and "pip" in s.rest]
    folder = made.split()[-1]
    assert f"--find-links {folder} --only-binary pycuda" in taken
    assert taken.endswith("'progpow-miner[cuda]'"), "only the extra names the packages"
    compiled = [s.stage for s in STEPS if s.word == "RUN" and "g++" in s.rest]
    assert compiled == ["pycuda"]
    for target in TARGETS:
        assert not [s for s in lineage(target) if s.stage in ("wheel", "pycuda")]


@pytest.mark.parametrize("source", sources())
def test_copied_files_exist_and_are_not_ignored(source: str) -> None:
    assert (CHECKOUT / source).exists()
    lines = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = False
    for line in filter(None, lines):
        if not line.startswith("#") and fnmatch(source, line.lstrip("!")):
            ignored = not line.startswith("!")
    assert not ignored


def perform(done: Iterable[Step], root: Path) -> None:
    """Run the steps in a folder in place of /, without installing Debian packages."""
    source = root / "src"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "1",
        "PIP_NO_COMPILE": "1",  # only what the tests run is compiled
    }
    for step in done:
        if step.word == "COPY" and "--from=" not in step.rest:
            *names, to = shlex.split(step.rest)
            for name in names:
                target = source / to / ("" if to != "./" else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                path = CHECKOUT / name
                if path.is_dir():
                    shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(path, target)
        elif step.word == "RUN" and not step.rest.startswith("apt-get "):
            command = re.sub(r"(?<=[ =])/(opt|wheels|pycuda)\b", rf"{root}/\1", f" {step.rest}")
            ran = captured(
                # Keep downloads between test runs; the image does not.
                ["sh", "-ec", command.replace(" --no-cache-dir", "")],
                cwd=source,
                env=environment,
            )
            assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in place of /, after the steps up to `install-opencl`."""
    root = tmp_path_factory.mktemp("image")
    perform(lineage("install-opencl"), root)
    return root


@pytest.fixture(scope="module")
def cuda_image(image: Path) -> Path:
    """`image` after the steps of `pycuda` and `install-cuda`, with the PyCUDA wheel of other tests,
    which takes minutes to build."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++, to build PyCUDA with")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        pytest.skip("needs Python.h, to build PyCUDA with")
    wheels = fake_driver.unpacked_wheel().with_suffix(".wheels")
    if wheels.is_dir():
        shutil.copytree(wheels, image / "pycuda")
    perform([s for s in STEPS if s.stage in ("pycuda", "install-cuda")], image)
    return image


def test_the_build_stage_makes_one_wheel(image: Path) -> None:
    assert [p.name.split("-")[0] for p in (image / "wheels").iterdir()] == ["progpow_miner"]


def test_the_environment_has_the_miner_and_no_pip(image: Path) -> None:
    environment = image / "opt/progpow-miner"
    done = captured([environment / "bin/progpow-miner", "variants"], cwd=image, check=True)
    assert "kawpow" in done.stdout
    assert not list(environment.glob("lib/python*/site-packages/pip"))


# The image's packages in a mount namespace: a root that is read-only, volumes as the image makes
# them, a user that it does not know, who cannot enter root's folders. What numba compiled for other
# tests is there, since compiling takes long. After a line of input the health check runs, then the
# miner is stopped.
CONTAINER = """
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir -m 0775 /mnt/base /mnt/packages /mnt/bin /mnt/cache /mnt/state /mnt/tmp
cp -r "$COMPILED" /mnt/cache/numba
chown -R 12345:0 /mnt/cache/numba
chown 10001:0 /mnt/cache /mnt/state
mount --bind "$0" /mnt/packages
mount --bind "$BASE" /mnt/base
cat >/mnt/bin/progpow-miner <<'END'
#!/bin/sh
export LD_LIBRARY_PATH=/mnt/base/lib PYTHONHOME=/mnt/base PYTHONPATH=/mnt/packages
exec /mnt/base/bin/python3 -m miner "$@"
END
chmod 0755 /mnt/bin/progpow-miner
mount -o remount,bind,ro /
if touch /usr/bin/tried 2>/dev/null; then echo "/ is not read-only"; exit 1; fi
contained() {
  exec setpriv --reuid 12345 --regid 0 --clear-groups --no-new-privs --bounding-set=-all \
    env -i PATH="/mnt/bin:$PATH" "$@"
}
cd /mnt/cache
contained "$@" </dev/null &
miner=$!
read -r go
(contained $HEALTH) && (contained $HEALTH --ready)
kill -TERM $miner
wait $miner
echo "ended with $?"
stat --format '%u:%g' /mnt/cache/* /mnt/state/* | sort -u
"""


@pytest.mark.skipif(not may_mount(), reason="a read-only root takes the right to mount")
def test_any_user_of_the_group_mines_with_a_read_only_root(
    image: Path, pool_url: str, tmp_path: Path
) -> None:
    """With the real miner on the reference device, and the health check as Docker runs it."""
    environment = []
    for step in lineage("opencl"):
        if step.word == "ENV":
            for pair in shlex.split(step.rest):
                name, _, value = pair.partition("=")
                if name != "PATH":
                    moved = re.sub(r"^/(cache|state|tmp)\b", r"/mnt/\1", value)
                    environment.append(f"{name}={moved}")
    assert "HOME=/mnt/cache" in environment
    _, _, check = last("HEALTHCHECK", "opencl").partition("CMD ")
    health = shlex.join([*environment, *json.loads(check)])
    mine = ("progpow-miner", "mine", "-a", "kawpow", "-o", pool_url, "-u", "an-account.rig",
            "--backend", "ref", "-d", "ref", "--api", "127.0.0.1:0")  # fmt: skip
    (packages,) = image.glob("opt/progpow-miner/lib/python3.*/site-packages")
    compiled = tmp_path / "numba"
    compiled.mkdir()
    if folder := cache_folder():
        shutil.copytree(folder, compiled / folder.name)
    run = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", CONTAINER, packages, *environment, *mine],
        env={**os.environ, "HEALTH": health, "BASE": sys.base_prefix, "COMPILED": str(compiled)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert run.stdout
    # A miner that ends at once would leave the script waiting.
    timer = Timer(500, run.kill)
    timer.start()
    before = lines_until(run.stdout, "accepted 1")
    printed, _ = run.communicate("go\n")
    timer.cancel()
    lines = printed.splitlines()
    assert [line for line in lines if line in ("alive", "ready")] == ["alive", "ready"], before
    assert lines[-2:] == ["ended with 0", "12345:0"], printed


def test_the_cpu_image_has_less_than_900_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the packages that the tests run with, without what its build removes."""
    monkeypatch.syspath_prepend(CHECKOUT / "packaging")
    from bundle.components import needed, pinned

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    marks = {
        "sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux",
        "os_name": "posix", "python_version": "3.12", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip
    versions = pinned(CHECKOUT / "packaging/constraints.txt", marks)
    contents: dict[str, int] = {}
    for name in needed([*project["dependencies"], *extras["cpu"]], versions, marks):
        for file in distribution(name).files or ():
            path = Path(str(file.locate())).resolve()
            if path.exists() and path.name != "icx-lto.so":
                key = file.hash.value if file.hash and path.parent.name == "lib" else str(path)
                contents[key] = path.stat().st_size
    base = 135e6  # Debian, Python and tini, unpacked
    total = sum(contents.values())
    assert 600e6 < total + base < 900e6


def test_the_package_list_is_complete_and_valid(image: Path, tmp_path: Path) -> None:
    """With the output of dpkg simulated."""
    dpkg = tmp_path / "bin/dpkg-query"
    dpkg.parent.mkdir()
    dpkg.write_text(
        "#!/bin/sh\nprintf 'tini\\t0.19.0-1+b3\\tamd64\\ttini\\n"
        "libstdc++6:amd64\\t12.2.0-14\\tamd64\\tgcc-12\\n'\n"
    )
    dpkg.chmod(0o755)
    python_list = image / "opt/progpow-miner/share/doc/progpow-miner/python.cdx.json"
    result = tmp_path / "doc/sbom.cdx.json"
    subprocess.run(
        [sys.executable, CHECKOUT / "packaging/image/sbom.py", python_list, result],
        env={**os.environ, "PATH": f"{dpkg.parent}:{os.environ['PATH']}"},
        check=True,
    )
    document = json.loads(result.read_text(encoding="utf-8"))
    versions = {c["name"]: c["version"] for c in document["components"]}
    assert {"numpy", "numba", "pyopencl", "aiohttp", "tini", "libstdc++6"} <= set(versions)
    assert versions["tini"] == "0.19.0-1+b3"
    assert "hatchling" not in versions, "a tool of the build stage is not in the image"
    assert document["metadata"]["component"]["name"] == "progpow-miner"
    code = (
        "import sys\n"
        "from cyclonedx.schema import SchemaVersion\n"
        "from cyclonedx.validation.json import JsonStrictValidator\n"
        "text = open(sys.argv[1], encoding='utf-8').read()\n"
        "sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or '') or 0)\n"
    )
    done = captured([image / "opt/sbom/bin/python", "-c", code, result])
    assert done.returncode == 0, done.stderr


def test_identical_libraries_are_kept_once(tmp_path: Path) -> None:
    for name in ("libx.so.1.2", "libx.so", "libx.so.1", "liby.so"):
        (tmp_path / name).write_bytes(b"x" * (1 << 17) + (b"y" if "y" in name else b"x"))
    for name in ("a.cfg", "b.cfg"):
        (tmp_path / name).touch()
    script = CHECKOUT / "packaging/image/share_files.py"
    for _ in range(2):
        subprocess.run([sys.executable, script, tmp_path], check=True)
        links = {p.name: os.readlink(p) for p in tmp_path.iterdir() if p.is_symlink()}
        assert links == {"libx.so": "libx.so.1.2", "libx.so.1": "libx.so.1.2"}
    assert (tmp_path / "libx.so").read_bytes() == (tmp_path / "libx.so.1.2").read_bytes()
    shared = [s.rest for s in STEPS if "share_files.py" in s.rest]
    assert len(shared) == 1
    assert shared[0].startswith("python packaging/image/share_files.py /opt/progpow-miner/lib ")


LOADED = """
from miner.devices.cuda.cuda_driver import driver
from miner.devices.cuda.cuda_compilers import nvrtc
print(driver().Device(0).name(), "and", nvrtc().name)
"""


def test_the_cuda_extra_lacks_only_the_driver(cuda_image: Path, tmp_path: Path) -> None:
    environment = cuda_image / "opt/progpow-miner/bin"

    def said(*command: str | Path, libraries: Path | None = None) -> str:
        variables = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "FAKE_CUDA_DEVICES": fake_driver.CARDS["3080"],
            **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {}),
        }
        done = captured(command, cwd=tmp_path, env=variables)
        return done.stdout + done.stderr

    driver = fake_driver.built(tmp_path / "driver")
    found = said(environment / "python", "-c", LOADED, libraries=driver)
    assert re.fullmatch(r"NVIDIA Fake 3080 and NVRTC 12\.\d+\n", found)
    if find_library("cuda") is None:
        without = said(environment / "progpow-miner", "devices")
        assert "no NVIDIA driver: libcuda.so.1 not found" in without
