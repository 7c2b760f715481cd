"""What stands for the VPC and for ARM64 in a deployed function's process, and nothing else.

Python loads this first in every process of the emulator's; it acts in a function's alone.

- The VPC's names: what ends in one of EMULATOR_NETWORK's (JSON, {"suffix": [address, port]}) is at
  that address, as a load balancer would have it; every other name is unknown, and a connection
  that leaves loopback is refused.
- /opt/…, where a file of certificates is asked for, is that file in the function's layers.
- Packages with machine code, which were deployed for ARM64, are this machine's builds of the same
  versions.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import ssl
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

MACHINE_CODE = ("cryptography", "cffi", "_cffi_backend")


class OfThisMachine:
    """Finds the packages with machine code beside this Python, before the function's own folder."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the package is; None for the other packages, and inside of packages."""
        if path is not None or name not in MACHINE_CODE:
            return None
        return PathFinder.find_spec(name, [sysconfig.get_path("platlib")])


def resolver(names: dict[str, tuple[str, int]]) -> Any:
    """Return a getaddrinfo that knows these names, and loopback."""
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        for suffix, (address, behind) in names.items():
            if str(host).endswith(suffix):
                return system(address, behind, *arguments, **options)
        if host != "localhost" and not _loopback(host):
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: not a name of the emulated VPC")
        return system(host, port, *arguments, **options)

    return getaddrinfo


def _loopback(host: Any) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def from_layers(layers: list[str]) -> Any:
    """Return a load_verify_locations that finds /opt/… in the layers' folders."""
    system = ssl.SSLContext.load_verify_locations

    def load_verify_locations(
        context: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None
    ) -> None:
        below = str(cafile).removeprefix("/opt/")
        found = [path for layer in layers if (path := Path(layer) / below).exists()]
        system(context, found[0] if found else cafile, capath, cadata)

    return load_verify_locations


def stay_on_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection to elsewhere, whoever asks for it."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _loopback(address[0]):
            raise PermissionError(f"{address[0]} is not on loopback")


if "_LAMBDA_FUNCTION_ARN" in os.environ:
    sys.meta_path.insert(0, OfThisMachine)
    socket.getaddrinfo = resolver(json.loads(os.environ.get("EMULATOR_NETWORK", "{}")))
    layers = os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep)
    ssl.SSLContext.load_verify_locations = from_layers(layers)  # type: ignore[method-assign]
    sys.addaudithook(stay_on_loopback)
