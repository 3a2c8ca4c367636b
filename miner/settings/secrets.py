"""What must not be shown: read from files, and hidden or shortened on screen."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from miner.errors import ConfigError
from miner.net.pool_url import DEFAULT_PASSWORD
from miner.safe_text import HIDDEN, shortened_user, without_login
from miner.settings.key_table import SECRETS
from miner.settings.listen_address import token_problem
from miner.settings.loading import Loaded
from miner.settings.model import ApiSettings, Settings
from miner.settings.toml_lines import Place


def home(path: Path | None, what: str) -> str | None:
    """Return `path` with a home directory in place of its tilde; raises `ConfigError`."""
    try:
        return str(path.expanduser()) if path is not None else None
    except RuntimeError as error:
        raise ConfigError(f"{what} {path}: there is no such user; write the whole path") from error


def first_line(path: Path, what: str) -> str:
    """Return the first line of the file that holds a secret; raises `ConfigError`, in whose
    sentences the file is called `what`."""
    try:
        whole = Path(home(path, what) or path)
        lines = whole.read_text(encoding="utf-8-sig").splitlines()  # some editors begin with a mark
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path}: is not UTF-8 text") from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"{what} {path}: its first line is empty")
    return lines[0].strip()


def token_of(api: ApiSettings) -> str | None:
    """Return the API's token, from its file where it has one; raises `ConfigError`."""
    if api.token_file is not None:
        token = first_line(api.token_file, "token file")
        if problem := token_problem(token, api.is_reachable()):
            raise ConfigError(f"token file {api.token_file}: the token {problem}")
        return token
    return api.token.get_secret_value().strip() if api.token is not None else None


def exposed(settings: Settings) -> list[str]:
    """Return a sentence for each file with a secret that everybody on this machine may read."""
    files = [("password file", pool.password_file) for pool in settings.pools]
    files += [("token file", settings.api.token_file)]
    notes: dict[str, None] = {}
    for what, path in files:
        if path is None:
            continue
        try:
            mode = path.expanduser().stat().st_mode
        except (OSError, RuntimeError):
            continue  # reading it says what is wrong
        if mode & stat.S_IROTH:
            notes[f"{what} {path} can be read by everybody on this machine; chmod 600 it"] = None
    return list(notes)


def exposed_file(loaded: Loaded) -> list[str]:
    """Return a sentence if everybody may read the settings file and it holds a secret itself."""
    path = loaded.gathered.path
    pools = enumerate(loaded.settings.pools)
    secrets: dict[Place, str] = {
        ("pools", i, "password"): pool.password.get_secret_value() for i, pool in pools
    }
    secrets["api", "token"] = "a token" if loaded.settings.api.token is not None else ""
    for place, secret in secrets.items():
        if path is None or loaded.origin(place).kind != "file" or secret in ("", DEFAULT_PASSWORD):
            continue
        if path.stat().st_mode & stat.S_IROTH:
            key = str(place[-1])
            problem = f"holds a {key} and can be read by everybody on this machine"
            return [f"{path} {problem}; chmod 600 it, or name a {key}_file"]
    return []


def shown(name: str, value: Any) -> Any:
    """Return `value` of the key `name` as it may be shown."""
    if value is None or value == "":
        return value
    if name in SECRETS:
        return HIDDEN
    if name == "user":
        return shortened_user(value)
    return without_login(value) if name in ("url", "proxy") else value
