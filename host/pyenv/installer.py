"""Makes a virtual environment and puts wheels into it, with Python's standard library and the library installer.

The path of installer's own wheel is the only argument. Reads from standard input {"env": folder, "wheels": [files],
"compile": [files]}, the last being those of the wheels that are compiled at once. The wheels have been checked against
their hashes and fit this Python; what they need besides is among them.

Wheels are written by strangers. Nothing of them runs here, and nothing is written outside of the environment: installer
refuses what leaves it, and so does a second look at all that this process writes.
"""

import json
import os
import posixpath
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

try:
    import venv
except ImportError:
    sys.exit("this Python has no module venv: on Debian, apt-get install python3-venv")

sys.path.append(sys.argv[1])
from installer import install  # noqa: E402
from installer.destinations import SchemeDictionaryDestination  # noqa: E402
from installer.sources import WheelFile  # noqa: E402

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {
    f"os.{change}"
    for change in (
        "link",
        "symlink",
        "rename",
        "remove",
        "rmdir",
        "mkdir",
        "chmod",
        "chown",
        "truncate",
        "utime",
        "setxattr",
    )
}


def main():
    job = json.load(sys.stdin)
    env = Path(job["env"])
    venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False).create(env)
    keep_to(env)
    written = set()
    for wheel in job["wheels"]:
        try:
            put(Path(wheel), env, written, wheel in job["compile"])
        except Exception as error:
            sys.exit(f"{Path(wheel).name}: it cannot be installed: {type(error).__name__}: {error}")


def put(wheel, env, written, compiled):
    site = env / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    with zipfile.ZipFile(wheel) as content, WheelFile.open(wheel) as source:
        check(content.namelist(), source.data_dir)
        places = {
            "purelib": site,
            "platlib": site,
            "scripts": env / "bin",
            "headers": env / "include" / source.distribution,
            "data": env,
        }
        destination = Environment(
            {scheme: str(place) for scheme, place in places.items()},
            interpreter=str(env / "bin" / "python"),
            script_kind="posix",
            bytecode_optimization_levels=(0,) if compiled else (),
            written=written,
        )
        install(source, destination, {"INSTALLER": b"kre\n"})


def check(members, data):
    """Refuses names that may mean something else to whoever reads them."""
    for member in members:
        name = member.removesuffix("/")
        if name != posixpath.normpath(name) or name.startswith(("/", "..")) or "\\" in name or member == data:
            raise ValueError(f"{member!r} is no name of a file in a wheel")


@dataclass
class Environment(SchemeDictionaryDestination):
    """Where wheels go. What several have, the last one's stays; what the environment itself consists of stays too."""

    written: set = field(default_factory=set)

    def write_file(self, scheme, path, stream, is_executable):
        return super().write_file(scheme, path, stream, is_executable or scheme == "scripts")

    def write_to_fs(self, scheme, path, stream, is_executable):
        target = os.path.abspath(os.path.join(self.scheme_dict[scheme], path))
        if target in self.written:
            os.remove(target)
        entry = super().write_to_fs(scheme, path, stream, is_executable)
        self.written.add(target)
        return entry


def keep_to(env):
    """Has this process write in the environment only, whatever the libraries that it uses are talked into."""
    inside = os.path.realpath(env) + os.sep
    folders = {}  # where they really are; asked for once, until something may lie elsewhere

    def real(path):
        folder, name = os.path.split(os.fsdecode(path))
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        there = os.path.join(folders[folder], name)
        return os.path.realpath(there) if os.path.islink(there) else there

    def look(event, args):
        if event == "open":
            paths = args[:1] if args[2] & WRITING else ()
        elif event in CHANGING:
            paths = args[:2]
            if event not in ("os.mkdir", "os.chmod"):
                folders.clear()
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)) and not real(path).startswith(inside):
                raise PermissionError(f"{os.fsdecode(path)!r} is outside of the environment")

    sys.addaudithook(look)


main()
