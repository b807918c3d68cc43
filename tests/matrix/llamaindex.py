"""The environment that LlamaIndex lives in, made once and kept in `.venv-llamaindex`, and its program run there."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "llamaindex-requirements.txt"
PROGRAM = HERE / "llamaindex_program.py"
ROOM = HERE.parent.parent / ".venv-llamaindex"

Question = tuple[str, str, str, bool]
"""Class, feature, model, and whether the answer is to be streamed."""


def prepare(room: Path = ROOM, requirements: Path = REQUIREMENTS) -> Path:
    """Give the environment's Python; make it first when there is none, or when the requirements or Python changed."""
    python, stamp = room / "bin" / "python", room / "installed"
    wanted = f"{sys.version}\n{sys.base_prefix}\n{room}\n{requirements.read_text()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(room, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--without-pip", str(room))
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-compile", "-r", str(requirements))
    stamp.write_text(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"LlamaIndex could not be installed (is there a network?): {said}")


async def ask(url: str, key: str, said: str, image: str, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Put all questions to the gateway at `url`; gives what LlamaIndex made of each."""
    python = await asyncio.to_thread(prepare)
    job = {"url": url, "key": key, "said": said, "image": image, "questions": list(questions)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(python, "-I", PROGRAM, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await process.communicate(json.dumps(job).encode())
    if process.returncode != 0:
        raise RuntimeError(f"LlamaIndex's program failed:\n{err.decode(errors='replace')[-2000:]}")
    return [json.loads(line) for line in out.splitlines()]
