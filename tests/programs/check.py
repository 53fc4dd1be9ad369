"""The programs of examples/ with bad input, held against a table: input, exit code, message.

`check.py --update` writes the table anew; read the difference before you commit it.
"""
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

import nodes

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BIN = pathlib.Path(os.environ["SYNAPSE_BIN"])
MODEL = pathlib.Path(os.environ["SYNAPSE_MODEL_FILE"])
TABLE = HERE / "expected.txt"
PROGRAMS = ("subnet", "custom_module", "chat", "openai_upstream", "keys", "devchain", "register", "validator", "miner")


def cases(work, taken):
    whole = MODEL.read_bytes()
    files = {
        "half.gguf": whole[: len(whole) // 2],
        "head.gguf": whole[:1000],
        "empty.gguf": b"",
        "text.gguf": b"This is no model.\n" * 100,
    }
    for name, content in files.items():
        (work / name).write_bytes(content)
    (work / "folder.gguf").mkdir()
    (work / "a-file").write_text("not a folder")
    good = ["--model", str(MODEL)]

    yield "a GGUF cut in half", "subnet", ["--model", work / "half.gguf"]
    yield "a GGUF cut in its head", "subnet", ["--model", work / "head.gguf"]
    yield "an empty file for a model", "subnet", ["--model", work / "empty.gguf"]
    yield "a text file for a model", "subnet", ["--model", work / "text.gguf"]
    yield "a folder for a model", "subnet", ["--model", work / "folder.gguf"]
    yield "a model that is missing", "subnet", ["--model", work / "missing.gguf"]
    yield "no model at all", "subnet", []
    yield "a port in use", "subnet", [*good, "--listen", f"127.0.0.1:{taken}"]
    yield "an address that is none", "subnet", [*good, "--listen", "nowhere"]
    yield "no miners", "subnet", [*good, "--miners", "0"]
    yield "an option that is none", "subnet", [*good, "--fast"]
    yield "a cache that cannot be written", "scripts/demo", []
    yield "a port in use, custom module", "custom_module", ["--listen", f"127.0.0.1:{taken}"]
    yield "nobody to chat with", "chat", ["--url", "http://127.0.0.1:9"]
    yield "an address without a scheme", "chat", ["--url", "example"]
    yield "an upstream that is no address", "openai_upstream", ["--upstream", "http://"]
    yield "no upstream", "openai_upstream", []


def row(work, port, pid, name, program, arguments):
    script = program.startswith("scripts/")
    environment = dict(os.environ, NO_COLOR="1", RUST_LOG="error", RUST_BACKTRACE="0")
    if script:
        environment["XDG_CACHE_HOME"] = str(work / "a-file")
        environment.pop("CARGO_TARGET_DIR", None)
    command = [ROOT / program if script else BIN / program, *arguments]
    # In a session of its own it has no terminal to ask at, wherever this runs.
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=20, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    said = run.stderr.strip().replace(str(work), "WORK").replace(f":{port}", ":PORT").replace(str(MODEL), "MODEL")
    said = re.sub(r"WORK/\S*?synapse", "CACHE/synapse", said)
    said = re.sub(rf"\bprocess {pid} on host \S+(?=[;,])", "process PID on host HOST", said)
    said = re.sub(r"\b0\.0\.0\.0:[1-9]\d*", "0.0.0.0:PORT", said)
    assert run.returncode != 0, f"{name}: exit code 0"
    assert run.returncode > 0, f"{name}: ended by signal {-run.returncode}"
    assert "panicked" not in said, f"{name}: {said}"
    return f"## {name}: {program} exits {run.returncode}\n{said}\n"


def main():
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        nodes.prepare(work, BIN)
        with nodes.held(work, BIN) as pid:
            rows = [row(work, port, pid, *case) for case in [*cases(work, port), *nodes.cases(work, port, MODEL)]]
    for program in PROGRAMS:
        run = subprocess.run([BIN / program, "--help"], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0 and "Usage:" in run.stdout, f"{program} --help"
    table = "\n".join(rows)
    if "--update" in sys.argv:
        TABLE.write_text(table)
    elif TABLE.read_text() != table:
        import difflib

        sys.stderr.writelines(difflib.unified_diff(TABLE.read_text().splitlines(True), table.splitlines(True), "expected", "found"))
        sys.exit("error: the programs answer otherwise than tests/programs/expected.txt says")
    print(f"{len(rows)} passed, 0 failed")


if __name__ == "__main__":
    main()
