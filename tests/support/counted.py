"""`train.py` in a fork of the test server that counts calls of chosen functions."""

from __future__ import annotations

import importlib
import json

from support.forked import TRAIN, _run, server


def count(names, file, *arguments, cwd):
    """Runs `train.py` and returns how often each function `module:name` was called through that module."""
    child = server.Process(target=_counted, args=(names, str(file), arguments, str(cwd)))
    child.start()
    child.join(timeout=300)
    assert child.exitcode == 0, (cwd / "out").read_text()
    return json.loads(file.read_text())


def _counted(names, file, arguments, cwd):
    calls = dict.fromkeys(names, 0)

    def counted(name, function):
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    for name in names:
        module, _, function = name.partition(":")
        module = importlib.import_module(module)
        setattr(module, function, counted(name, getattr(module, function)))
    try:
        _run(TRAIN, arguments, cwd, {}, True, f"{cwd}/out", f"{cwd}/out")
    finally:
        with open(file, "w") as target:
            json.dump(calls, target)
