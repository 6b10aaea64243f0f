"""Makes a virtual environment and puts wheels into it, with nothing but Python's standard library.

Reads from standard input {"env": folder, "wheels": [files], "compile": [files]}, the last being those of the wheels
that are compiled at once. The wheels have been checked against their hashes and fit this Python; what they need besides
is among them.
"""

import configparser
import json
import os
import py_compile
import shutil
import stat
import sys
import zipfile
from pathlib import Path, PurePosixPath

try:
    import venv
except ImportError:
    sys.exit("this Python has no module venv: on Debian, apt-get install python3-venv")


def main():
    job = json.load(sys.stdin)
    env = Path(job["env"])
    venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False).create(env)
    python = env / "bin" / "python"
    site = env / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for wheel in job["wheels"]:
        install(Path(wheel), env, site, python)
    for wheel in job["compile"]:
        with zipfile.ZipFile(wheel) as content:
            sources = [site / name for name in content.namelist() if name.endswith(".py") and ".data/" not in name]
        for source in sources:
            py_compile.compile(str(source))


def install(wheel, env, site, python):
    name, version = wheel.name.split("-")[:2]
    data = f"{name}-{version}.data/"
    places = {
        "purelib": site,
        "platlib": site,
        "scripts": env / "bin",
        "headers": env / "include" / name,
        "data": env,
    }
    with zipfile.ZipFile(wheel) as content:
        for member in content.infolist():
            if member.is_dir():
                continue
            target, script = site / member.filename, False
            if member.filename.startswith(data):
                kind, _, rest = member.filename[len(data) :].partition("/")
                if kind not in places:
                    sys.exit(f"{wheel.name}: unknown folder {kind!r} in {data}")
                target, script = places[kind] / rest, kind == "scripts"
            check(wheel, member.filename)
            put(content, member, target, script, python)
    entry_points = site / f"{name}-{version}.dist-info" / "entry_points.txt"
    if entry_points.is_file():
        write_scripts(entry_points, env, python)


def check(wheel, member):
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member:
        sys.exit(f"{wheel.name}: {member!r} leaves the environment")


def put(content, member, target, script, python):
    target.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, open(target, "wb") as out:
        if script:
            first = source.readline()
            out.write(f"#!{python}\n".encode() if first.startswith(b"#!python") else first)
        shutil.copyfileobj(source, out)
    if script or (member.external_attr >> 16) & stat.S_IXUSR:
        target.chmod(0o755)


def write_scripts(entry_points, env, python):
    declared = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    declared.optionxform = str
    declared.read_string(entry_points.read_text(encoding="utf-8"))
    if not declared.has_section("console_scripts"):
        return
    for name, where in declared.items("console_scripts"):
        module, _, function = where.partition("[")[0].strip().partition(":")
        script = env / "bin" / name
        script.write_text(
            f"#!{python}\nimport sys\n\nfrom {module} import {function.split('.')[0]}\n\nsys.exit({function}())\n",
            encoding="utf-8",
        )
        script.chmod(0o755)


main()
