"""Secrets in settings: reading their files, warnings of readable files, hiding."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from miner.errors import ConfigError
from miner.net.address import DEFAULT_PASSWORD
from miner.resources import QUOTED, is_quoted, read_text
from miner.safe_text import HIDDEN, shortened_user, without_login
from miner.settings.field_types import token_problem
from miner.settings.loading import Loaded
from miner.settings.model import ApiSettings, Settings
from miner.settings.toml_lines import Place


def expand_home(path: Path | None, what: str) -> str | None:
    """Return `path` with "~" replaced by a home directory; `ConfigError` if the user is unknown."""
    try:
        return str(path.expanduser()) if path is not None else None
    except RuntimeError as error:
        raise ConfigError(f"{what} {path}: unknown user; write the whole path") from error


def file_to_write(path: Path | None, purpose: str = "the log") -> Path | None:
    """Return `path` with a home directory in place of "~"; raises `ConfigError` for a folder."""
    expanded = expand_home(path, "file")
    if expanded is None:
        return None
    if os.path.isdir(expanded):
        raise ConfigError(f"{path}: is a folder; name a file in it for {purpose}")
    return Path(expanded)


def check_new_recording(path: Path | None) -> None:
    """Raise `ConfigError` if no recording can be created at `path`: a file is there already, or its
    folder is missing."""
    expanded = expand_home(path, "file")
    if expanded is None:
        return
    if os.path.lexists(expanded):
        raise ConfigError(f"recording {path}: the file exists already; name another one")
    folder = Path(expanded).parent
    if not os.path.isdir(folder):
        raise ConfigError(f"recording {path}: the folder {folder} does not exist; create it")


def read_secret(path: Path, what: str) -> str:
    """Return the first line of a file, without blanks around it.

    Raises `ConfigError`, whose message calls the file `what`.
    """
    text = read_text(Path(expand_home(path, what) or path), f"{what} {path}")
    first = text.split("\n", 1)[0].strip()
    if not first:
        raise ConfigError(f"{what} {path}: its first line is empty")
    if is_quoted(first):
        raise ConfigError(f"{what} {path}: its first line {QUOTED}")
    return first


def api_token(api: ApiSettings) -> str | None:
    """Return the API token, from its file if one is named; raises `ConfigError`."""
    if api.token_file is not None:
        token = read_secret(api.token_file, "token file")
        if problem := token_problem(token, api.is_reachable()):
            raise ConfigError(f"token file {api.token_file}: the token {problem}")
        return token
    return api.token.get_secret_value().strip() if api.token is not None else None


def secret_file_warnings(settings: Settings) -> list[str]:
    """Return a sentence for each password or token file that every user of this machine can
    read."""
    files = [("password file", pool.password_file) for pool in settings.pools]
    files.append(("token file", settings.api.token_file))
    warnings = []
    for what, path in dict.fromkeys(files):
        if path is None:
            continue
        try:
            readable = _is_world_readable(path.expanduser())
        except (OSError, RuntimeError):
            continue  # reported when it is read
        if readable:
            warnings.append(f"{what} {path}: every user of this machine can read it; chmod 600 it")
    return warnings


def settings_file_warnings(loaded: Loaded) -> list[str]:
    """Return a sentence if the settings file holds a secret and every user of this machine can
    read it."""
    path = loaded.raw.path
    if path is None or not _is_world_readable(path):
        return []
    secrets: dict[Place, SecretStr | None] = {
        ("pools", i, "password"): pool.password for i, pool in enumerate(loaded.settings.pools)
    }
    secrets["api", "token"] = loaded.settings.api.token
    for place, secret in secrets.items():
        if secret is None or secret.get_secret_value() in ("", DEFAULT_PASSWORD):
            continue
        if loaded.origin(place).kind == "file":
            key = place[-1]
            danger = f"it holds a {key} and every user of this machine can read it"
            return [f"{path}: {danger}; chmod 600 it, or name a {key}_file"]
    return []


def _is_world_readable(path: Path) -> bool:
    # Windows sets this bit for every file.
    return sys.platform != "win32" and bool(path.stat().st_mode & stat.S_IROTH)


def without_secret(name: str, value: Any) -> Any:
    """Return the value of the key `name` as it may be shown."""
    if value is None or value == "":
        return value
    if isinstance(value, SecretStr):
        return HIDDEN
    if name == "user":
        return shortened_user(value)
    return without_login(value) if name in ("url", "proxy") else value
