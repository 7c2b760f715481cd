"""The image as its Dockerfile describes it, laid out in a folder with no Docker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

CONTEXT = Path(__file__).parents[3] / "infra" / "pgbouncer_image"


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions, continuation lines joined."""

    instructions: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls) -> Dockerfile:
        text = (CONTEXT / "Dockerfile").read_text()
        lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
        return cls(tuple(tuple(line.split(None, 1)) for line in lines if line))  # type: ignore[misc]

    def all(self, name: str) -> list[str]:
        return [rest for instruction, rest in self.instructions if instruction == name]

    def only(self, name: str) -> str:
        (rest,) = self.all(name)
        return rest

    @property
    def user(self) -> tuple[int, int]:
        uid, gid = self.only("USER").split(":")
        return int(uid), int(gid)

    @property
    def entrypoint(self) -> list[str]:
        return list(json.loads(self.only("ENTRYPOINT")))

    @property
    def health(self) -> list[str]:
        return list(json.loads(self.only("HEALTHCHECK").partition("CMD ")[2]))

    def lay_out(self, root: Path, given: dict[str, str]) -> None:
        """Do what COPY and `ln` say; `given` are files of the context that are not in the tree."""
        for copy in self.all("COPY"):
            words = [word for word in shlex.split(copy) if not word.startswith("--")]
            mode = re.search(r"--chmod=(\d+)", copy)
            *sources, target = words
            for source in sources:
                self._copy(source, target, root, given, int(mode[1], 8) if mode else 0o755)
        for run in self.all("RUN"):
            if run.startswith("ln -s "):
                *targets, folder = shlex.split(run)[2:]
                inside = root / folder.lstrip("/")
                inside.mkdir(parents=True, exist_ok=True)
                for target in targets:
                    (inside / Path(target).name).symlink_to(target)

    def _copy(self, source: str, target: str, root: Path, given: dict[str, str], mode: int) -> None:
        place = root / target.lstrip("/")
        if (CONTEXT / source).is_dir():
            shutil.copytree(CONTEXT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            return
        place.mkdir(parents=True, exist_ok=True)
        if source in given:
            (place / source).write_text(given[source])
        else:
            shutil.copyfile(CONTEXT / source, place / source)
        (place / source).chmod(mode)
