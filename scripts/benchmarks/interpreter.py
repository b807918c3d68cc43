"""Whether the Python that runs all this was built with profile-guided optimisation, which makes it up to twice as fast.

Python keeps the arguments of its `configure` (sysconfig, CONFIG_ARGS) and its compiler's flags. Debian and Ubuntu
build /usr/bin/python3 with PGO and LTO by rules of their own (`debian/rules`) and take every trace of it out of
sysconfig. PGO_PROF_USE_FLAG tells nothing: configure fills it in for every build with GCC.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from shutil import which

FLAGS = ("PY_CORE_CFLAGS", "PY_CFLAGS_NODIST", "CFLAGS_NODIST", "CFLAGS", "OPT")


def describe_build() -> dict[str, str | bool | None]:
    """`optimized` (None: cannot be told) and `why`, of the Python that runs."""
    optimized, why = judge(sysconfig.get_config_vars(), distributor(Path(sys.executable).resolve()))
    return {"optimized": optimized, "why": why}


def judge(settings: Mapping[str, object], packaged_by: str | None) -> tuple[bool | None, str]:
    """Judge by the build's settings, and by whose package the interpreter is (None: nobody's).

    Gives whether it is optimised, None if that cannot be told, and what says so.
    """
    arguments = str(settings.get("CONFIG_ARGS") or "")
    if "--enable-optimizations" in arguments:
        return True, "built with --enable-optimizations"
    if any("-fprofile-use" in str(settings.get(name) or "") for name in FLAGS):
        return True, "compiled with -fprofile-use"
    if packaged_by:
        return True, f"{packaged_by}, which is built with PGO and LTO by the distribution's own rules"
    if not arguments:
        return None, "its build settings say nothing of how it was built"
    return False, "configured without --enable-optimizations, and no distribution's package"


def distributor(interpreter: Path) -> str | None:
    """The package of Debian (or of its kin) that an interpreter's file belongs to, None if there is none."""
    if which("dpkg-query") is None:
        return None
    found = subprocess.run(["dpkg-query", "-S", str(interpreter)], capture_output=True, text=True, check=False)
    owner = found.stdout.partition(":")[0].strip()
    return f"the package {owner}" if found.returncode == 0 and owner.startswith("python3") else None
