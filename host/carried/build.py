"""Fills files/ with what a kre executable carries.

That is wheels of the Python SDK, of what it needs, of pytest and of what installs them, and the source of the Go SDK.
Does nothing when no input has changed. Needs Go, and a Python from 3.10 on with pip or venv; whatever is fetched is
pinned by hash in locks/.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILES = HERE / "files"
LOCKS = HERE / "locks"
STAMP = FILES / "inputs.sha256"
FETCHED = ROOT / "build" / "carried"  # what was fetched for a lock, so that a change of the SDK fetches nothing
PYTHON_SDK = ROOT / "runner-sdk" / "python"
GO_SDK = ROOT / "runner-sdk" / "go"
PACKED_ON = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same bytes on every day


class BuildError(Exception):
    """Something a person has to mend; its text says what."""


def main() -> None:
    if sys.version_info < (3, 10):
        raise BuildError(f"Python {sys.version.split()[0]} is too old: 3.10 or later is needed")
    inputs = digest()
    if STAMP.is_file() and STAMP.read_text() == inputs:
        return
    with tempfile.TemporaryDirectory(prefix="kre-carried-") as folder:
        work = Path(folder)
        python = python_with_pip(work)
        fetch(python, "runtime.lock", work / "wheels")
        fetch(python, "installer.lock", work / "installer")
        fetch(
            python,
            "dev.lock",
            work / "dev",
            "--platform=any",
            "--implementation=py",
            "--abi=none",
            "--python-version=3.10",
        )
        build_wheel(python, work, work / "wheels")
        pack_go_sdk(work, work / "go-sdk.zip")
        STAMP.unlink(missing_ok=True)
        for name in ("wheels", "dev", "installer"):
            shutil.rmtree(FILES / name, ignore_errors=True)
            shutil.copytree(work / name, FILES / name)
        shutil.copyfile(work / "go-sdk.zip", FILES / "go-sdk.zip")
    STAMP.write_text(inputs)


def python_sources() -> list[Path]:
    """The files that the wheel is made from."""
    source = [p for p in (PYTHON_SDK / "src").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    return sorted([*source, PYTHON_SDK / "pyproject.toml", PYTHON_SDK / "README.md"])


def go_sources() -> list[Path]:
    """The files of the Go SDK's module, tests and modules below it aside."""
    below = {p.parent for p in GO_SDK.rglob("go.mod")} - {GO_SDK}
    return sorted(
        p
        for p in GO_SDK.rglob("*")
        if p.is_file()
        and not p.name.endswith("_test.go")
        and "testdata" not in p.relative_to(GO_SDK).parts
        and below.isdisjoint(p.parents)
    )


def digest() -> str:
    """What changes whenever the result would."""
    total = hashlib.sha256(sysconfig.get_platform().encode())
    for path in [*python_sources(), *go_sources(), *sorted(LOCKS.iterdir()), Path(__file__)]:
        if not path.is_file():
            raise BuildError(f"{path.relative_to(ROOT)} is missing")
        total.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def python_with_pip(work: Path) -> str:
    """This interpreter, or one in a virtual environment where this one comes without pip (Debian's)."""
    if run_quietly(sys.executable, "-m", "pip", "--version"):
        return sys.executable
    if not run_quietly(sys.executable, "-m", "venv", str(work / "venv")):
        raise BuildError(f"{sys.executable} has neither pip nor ensurepip: on Debian, apt-get install python3-venv")
    return str(work / "venv" / "bin" / "python")


def fetch(python: str, lock: str, target: Path, *options: str) -> None:
    """Puts the wheels of a lock into target."""
    key = f"{sysconfig.get_platform()} {sys.version} ".encode() + (LOCKS / lock).read_bytes()
    fetched = FETCHED / hashlib.sha256(key).hexdigest()
    if not fetched.is_dir():
        FETCHED.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=FETCHED))
        pip(
            python,
            "download",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            *options,
            "-r",
            str(LOCKS / lock),
            "-d",
            str(partial),
        )
        partial.rename(fetched)
    shutil.copytree(fetched, target)


def build_wheel(python: str, work: Path, target: Path) -> None:
    """Builds from a copy, so that nothing is written into the source, with a backend that is pinned whole."""
    wheels, backend, copy = work / "build", work / "backend", work / "python"
    fetch(python, "build.lock", wheels)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as content:
            content.extractall(backend)
    for path in python_sources():
        put(path, copy / path.relative_to(PYTHON_SDK))
    pip(
        python,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(copy),
        env={"PYTHONPATH": str(backend), "SOURCE_DATE_EPOCH": "315532800"},
    )


def pack_go_sdk(work: Path, target: Path) -> None:
    """Packs the module with no more requirements than it has without its tests."""
    copy = work / "go"
    for path in go_sources():
        put(path, copy / path.relative_to(GO_SDK))
    run("go", "mod", "tidy", cwd=copy, env={"GOWORK": "off", "GOFLAGS": "-mod=mod"})
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(p for p in copy.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(path.relative_to(copy).as_posix(), PACKED_ON)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            out.writestr(info, path.read_bytes())


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def pip(python: str, *args: str, env: dict[str, str] | None = None) -> None:
    run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", *args, env=env)


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout.strip()}")


def run_quietly(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"carried: {error}")
