"""Package: what a Lambda zip or layer holds, laid out without Docker."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from broker.errors import UsageError

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so", "py.typed", "*.pyi")
RESOLVED = ("METADATA",)  # of a dist-info: pg8000 asks for its own version


@dataclass(frozen=True, slots=True)
class Platform:
    """What the wheels are for that are not pure Python."""

    tags: tuple[str, ...]
    python: str


@dataclass(frozen=True)
class Package:
    """Folders and texts by where they go; distributions as they are installed here.

    `pure` distributions are copied from this environment, so what was tested is what runs. `wheels`
    hold machine code and are fetched with pip for `platform`, at the version installed here.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    pure: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    platform: Platform | None = None
    under: str = ""
    """The folder of the Python path: "python" in a layer, the root in a zip."""
    without: tuple[str, ...] = ()
    """Folders and files of `folders` that stay behind, relative to them."""

    def digest(self) -> str:
        """Return what tells this package from another, from its sources and versions."""
        hashed = hashlib.sha256()
        for name, content in self._content():
            hashed.update(f"{name}\0{len(content)}\0".encode() + content)
        return hashed.hexdigest()

    def _content(self) -> Iterator[tuple[str, bytes]]:
        for target, source in sorted(self.folders.items()):
            for path in self._files(source):
                yield f"{target}/{path.relative_to(source)}", path.read_bytes()
        for target, text in sorted(self.texts.items()):
            yield target, text.encode()
        for name in sorted((*self.pure, *self.wheels)):
            yield name, _version(name).encode()
        yield "platform", repr((self.platform, self.under)).encode()

    def _files(self, source: Path) -> list[Path]:
        return sorted(
            path
            for path in source.rglob("*")
            if path.is_file()
            and "__pycache__" not in path.parts
            and not any(path.is_relative_to(source / each) for each in self.without)
        )

    def lay(self, directory: Path) -> None:
        """Lay everything out in the directory."""
        python = directory / self.under
        for target, source in self.folders.items():
            for path in self._files(source):
                _copy(path, python / target / path.relative_to(source))
        for target, text in self.texts.items():
            (directory / target).parent.mkdir(parents=True, exist_ok=True)
            (directory / target).write_text(text, "utf-8")
        for name in self.pure:
            _copy_distribution(name, python)
        if self.wheels:
            self._fetch(python)

    def _fetch(self, directory: Path) -> None:
        assert self.platform is not None  # noqa: S101  wheels come with one
        wanted = [f"{name}=={_version(name)}" for name in self.wheels]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
        command += ["--disable-pip-version-check", "--no-compile", "--target", str(directory)]
        command += ["--only-binary=:all:", "--implementation=cp", "--no-color"]
        command += [f"--platform={tag}" for tag in self.platform.tags]
        command += ["--python-version", self.platform.python, *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:]
            raise UsageError(f"pip could not fetch {' '.join(wanted)}: {' '.join(last)}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"{name} is not installed here, and goes into what is deployed: "
            "pip install 'lambda-pg-broker[infra]'"
        ) from None


def _version(name: str) -> str:
    return _distribution(name).version


def _copy_distribution(name: str, directory: Path) -> None:
    for file in _distribution(name).files or ():
        if file.parts[0].endswith(".dist-info"):
            wanted = file.name in RESOLVED
        else:
            wanted = file.parts[0] != ".." and "__pycache__" not in file.parts
        if wanted:
            _copy(Path(str(file.locate())), directory / file)
