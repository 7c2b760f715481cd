"""Release: what is handed out, and what is in it. `make dist` writes it to dist/."""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import licences
from wheels import ROOT, build, install, run

import broker
from infra.layer import layer_package
from infra.options import BUNDLED
from infra.rds_ca import rds_ca

SBOM_MAKER = ROOT / ".setup/release/bin/cyclonedx-py"
DYNAMIC = 'dynamic = ["version"]'
OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip's: the same contents make the same file


def zip_layer(into: Path) -> Path:
    """Zip the layer as it is deployed, with Powertools in it."""
    target = into / f"lambda-pg-broker-{broker.__version__}-layer.zip"
    with tempfile.TemporaryDirectory() as laid:
        layer_package(BUNDLED, rds_ca(start=ROOT)).lay(Path(laid))
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in Path(laid).rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(str(path.relative_to(laid)), OLDEST)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


def listing(archive: Path) -> str:
    """Return each top-level package of a layer with its files and bytes, and their sum."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            under = entry.filename.removeprefix("python/")
            top = under.split("/")[0] if under != entry.filename else entry.filename
            files[top] += 1
            sizes[top] += entry.file_size
    rows = [(top, files[top], sizes[top]) for top in sorted(files)]
    rows.append(("all", files.total(), sizes.total()))
    told = "".join(f"{top:<44}{count:>6} files{size:>10} bytes\n" for top, count, size in rows)
    return f"{told}{'zipped':<44}{archive.stat().st_size:>22} bytes\n"


def sbom(python: Path, into: Path) -> Path:
    """Write what this environment holds in CycloneDX's JSON; ours is its root, at its version."""
    target = into / f"lambda-pg-broker-{broker.__version__}.cdx.json"
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    with tempfile.TemporaryDirectory() as directory:
        about = Path(directory) / "pyproject.toml"
        about.write_text(project.replace(DYNAMIC, f'version = "{broker.__version__}"'), "utf-8")
        options = ("--pyproject", about, "--mc-type", "library", "--output-reproducible")
        run(SBOM_MAKER, "environment", *options, "-o", target, python, cwd=into)
    return target


def write_licences(into: Path) -> Path:
    """Write the licences of what the wheel needs, and of what each extra adds."""
    target = into / "licences.txt"
    always = licences.needed()
    parts = ["What the library needs\n\n", licences.table(always)]
    for extra in licences.extras():
        more = {name: each for name, each in licences.needed(extra).items() if name not in always}
        parts += [f"\nWhat [{extra}] adds\n\n", licences.table(more)]
    target.write_text("".join(parts), "utf-8")
    return target


def main(into: Path) -> None:
    """Make everything, and say what it is."""
    into.mkdir(exist_ok=True)
    for old in into.glob("lambda?pg?broker-*"):
        old.unlink()
    wheel = build(into)
    with tempfile.TemporaryDirectory() as directory:
        parts = json.loads(sbom(install(wheel, Path(directory) / "venv"), into).read_bytes())
    contents = listing(zip_layer(into))
    (into / "layer.txt").write_text(contents, "utf-8")
    write_licences(into)
    say = sys.stdout.write
    say(contents)
    say(f"SBOM: {len(parts['components'])} components\n")
    for path in sorted(into.iterdir()):
        say(f"{into.name}/{path.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
