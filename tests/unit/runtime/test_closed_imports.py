"""Inside a container nothing can be imported (``command.forbid_imports``): what init may need is loaded before.

An import inside a function is found when that function first runs, in one test of hundreds or at a user's. So all of
them are read here: each names a module that is loaded by then, or stands on the list of those that run before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "src"

BEFORE = {
    ("lading.kernel.cgroups", "manager"): "the creator's",
    ("lading.runtime.birth", "from_outside"): "the creator's",
    ("lading.runtime.birth", "hand_over_listener"): "the creator's",
    ("lading.runtime.container", "delete"): "not the first process's",
    ("lading.runtime.container", "group_of"): "the creator's",
    ("lading.runtime.container", "kill"): "not the first process's",
    ("lading.runtime.container", "start"): "not the first process's",
    ("lading.runtime.container", "_end"): "not the first process's",
    ("lading.runtime.create", "_born"): "the creator's",
    ("lading.runtime.create", "_stopped"): "the creator's",
    ("lading.runtime.deviceaccess", "device_rules"): "the creator's",
    ("lading.runtime.execute", "_help"): "the helper's, before it enters the container",
    ("lading.runtime.execute", "enter"): "the creator's",
    ("lading.runtime.filters", "_compile"): "the creator's",
    ("lading.runtime.filters", "_compiled"): "the creator's",
    ("lading.runtime.job", "__init__"): "the creator's",
    ("lading.runtime.command", "close_descriptors"): "loaded with the job",
    ("lading.runtime.resources", "_apply"): "the creator's",
    ("lading.runtime.resources", "add"): "the creator's",
    ("lading.runtime.resources", "delete"): "the creator's",
    (
        "lading.runtime.resources",
        "join",
    ): "the helper's of an exec, before it enters the container; nobody else's has a scope",
    ("lading.runtime.resources", "make"): "the creator's",
    ("lading.runtime.resources", "plan"): "the creator's",
    ("lading.runtime.resources", "update"): "not the first process's",
    ("lading.kernel.overlay", "_covers"): "the creator's",
    ("lading.kernel.overlay", "_work_as_owner"): "the creator's, which has loaded it with the covers",
    ("lading.runtime.mounts", "make_bind"): "the creator's, of a mount that is idmapped",
    (
        "lading.runtime.security",
        "raise_limits",
    ): "the creator's, or the helper's of an exec before it enters the container",
    ("lading.runtime.rootfs", "_directory"): "the creator's, of a root that is mapped",
    ("lading.runtime.mounts", "_copy_up"): "in the container's namespaces, before its root is changed",
}

LATE_IMPORTS = """
import ast, json, pathlib, sys
import lading.runtime.init, lading.runtime.execute
from lading.formats.oci_runtime import Process
from lading.runtime import command

process = Process(args=["true"])
process.terminal = True
command.preload(process, True)
found = []
root = pathlib.Path(lading.__path__[0]).parent
for name, module in sorted(sys.modules.items()):
    if not name.startswith(("lading.runtime", "lading.kernel")) or not str(module.__file__).endswith(".py"):
        continue
    for function in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                inner = [f"{node.module}.{a.name}" for a in node.names]
                names += [node.module, *(name for name in inner if (root / (name.replace('.', '/') + '.py')).exists())]
            found += [
                (name, function.name, wanted, wanted in sys.builtin_module_names)
                for wanted in names
                if wanted not in sys.modules
            ]
print(json.dumps(found))
"""


def test_what_a_container_s_first_process_imports_late_is_loaded_or_runs_before() -> None:
    said = subprocess.run(
        [sys.executable, "-S", "-c", LATE_IMPORTS],
        env={"PYTHONPATH": str(SOURCE)}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    late = [((module, function), wanted, builtin) for module, function, wanted, builtin in json.loads(said)]
    assert [(place, wanted) for place, wanted, builtin in late if not builtin and place not in BEFORE] == []
    assert set(BEFORE) <= {place for place, _, _ in late}, "the list names what is gone"
