"""Builds the C program that shows the limit of libcurl, against the libcurl that we use.

A libcurl of another version would compare libraries and not what is done with them, so it is
the one in pycurl's wheel, if it comes in one. Its names are hashed and it has no headers: those
of the system serve, libcurl's ABI is stable since 2006 (soname 4).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pycurl

SOURCE = Path(__file__).with_name("reference.c")


def built(folder: Path) -> Path:
    """Compile it.

    Raises:
        RuntimeError: there is no compiler, no header or no library; says what to install.
    """
    program = folder / "reference"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(SOURCE), *_link_flags()]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError("no C compiler: apt-get install gcc libc6-dev") from error
    except subprocess.CalledProcessError as error:
        hint = "is libcurl4-openssl-dev installed?"
        raise RuntimeError(f"reference.c does not compile, {hint}\n{error.stderr}") from error
    return program


def _link_flags() -> list[str]:
    bundled = Path(pycurl.__file__).parent.parent / "pycurl.libs"
    library = next(bundled.glob("libcurl-*.so*"), None)
    if library is None:
        return ["-lcurl"]
    # What libcurl itself needs lies beside it, under hashed names that it knows.
    return [str(library), f"-Wl,-rpath,{bundled}", "-Wl,--allow-shlib-undefined"]
