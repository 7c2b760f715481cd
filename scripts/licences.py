"""Licences: what each package that ours needs says of itself, as it is installed here."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "lambda-pg-broker"
CLASSIFIER = "License :: OSI Approved :: "
NO_LICENCE = ("", "UNKNOWN")
LONGEST = 60  # characters of the old License field: some have the whole text there
MIT_BEGINS = "Permission is hereby granted, free of charge, to any"
IDENTIFIERS = {
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages call them, and SPDX does."""


def licences(of: metadata.Distribution) -> tuple[str, ...]:
    """Return its licences, SPDX's names where they are known; none if it does not say.

    A package that names two leaves open which holds where, so both must suit.
    """
    about = of.metadata
    expressions = about.get_all("License-Expression")
    if expressions:
        return tuple(expressions)
    classified = [
        each.removeprefix(CLASSIFIER)
        for each in about.get_all("Classifier") or ()
        if each.startswith(CLASSIFIER)
    ]
    told = (about.get_all("License") or [""])[0].strip()
    if MIT_BEGINS in told:
        told = "MIT"
    if not classified and told not in NO_LICENCE and "\n" not in told and len(told) <= LONGEST:
        classified = [told]
    return tuple(dict.fromkeys(IDENTIFIERS.get(each, each) for each in classified))


def needed(extra: str = "") -> dict[str, metadata.Distribution]:
    """Return every distribution that ours needs with this extra, and what those need, by name.

    PackageNotFoundError: one of them is not installed here.
    """
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(OURS, "")] + ([(OURS, extra)] if extra else [])
    while waiting:
        name, with_extra = waiting.pop()
        if (name, with_extra) in seen:
            continue
        seen.add((name, with_extra))
        distribution = metadata.distribution(name)
        found[name] = distribution
        for line in distribution.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": with_extra}):
                waiting += [(canonicalize_name(wanted.name), each) for each in ("", *wanted.extras)]
    del found[OURS]
    return dict(sorted(found.items()))


def extras() -> list[str]:
    """Return the names of our extras."""
    return metadata.metadata(OURS).get_all("Provides-Extra") or []


def table(distributions: dict[str, metadata.Distribution]) -> str:
    """Return a line for each: name, version, licences."""
    return "".join(
        f"{name:<36}{each.version:<20}{', '.join(licences(each)) or 'unknown'}\n"
        for name, each in distributions.items()
    )
