import json
import os
import platform
import sys
import sysconfig

system = {"darwin": "darwin", "win32": "windows"}.get(sys.platform, sys.platform)
if "musl" in (sysconfig.get_config_var("SOABI") or ""):
    system += "-musl"
machine = platform.machine().lower()
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
kind = {"cpython": "cp", "pypy": "pp"}.get(sys.implementation.name, sys.implementation.name)
print(
    json.dumps(
        {
            "path": os.path.abspath(getattr(sys, "_base_executable", None) or sys.executable),
            "version": platform.python_version(),
            "tag": f"{kind}{sys.version_info[0]}{sys.version_info[1]}{threads}",
            "platform": f"{system}/{machine}",
        }
    )
)
