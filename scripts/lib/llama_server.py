"""Starts llama.cpp's own HTTP server, out of the package xllamacpp, by llama-server's flags.

Flags that the package has no word for are named and refused, so that nobody believes they were heard.
"""
import os
import signal
import sys

import xllamacpp

# llama-server's flag: the parameter's name, and how its text is read.
VALUES = {
    "-c": ("n_ctx", int), "--ctx-size": ("n_ctx", int),
    "-b": ("n_batch", int), "--batch-size": ("n_batch", int),
    "-ub": ("n_ubatch", int), "--ubatch-size": ("n_ubatch", int),
    "-np": ("n_parallel", int), "--parallel": ("n_parallel", int),
    "-n": ("n_predict", int), "--n-predict": ("n_predict", int),
    "-ngl": ("n_gpu_layers", int), "--n-gpu-layers": ("n_gpu_layers", int), "--gpu-layers": ("n_gpu_layers", int),
    "-mg": ("main_gpu", int), "--main-gpu": ("main_gpu", int),
    "--port": ("port", int),
    "--threads-http": ("n_threads_http", int),
    "--slot-save-path": ("slot_save_path", str),
    "--chat-template": ("chat_template", str),
    "--api-prefix": ("api_prefix", str),
    "-to": ("timeout_read", int), "--timeout": ("timeout_read", int),
    "--cache-reuse": ("n_cache_reuse", int),
    "--cache-ram": ("cache_ram_mib", int),
    "-lv": ("verbosity", int), "--verbosity": ("verbosity", int),
}
SWITCHES = {
    "--metrics": ("endpoint_metrics", True), "--slots": ("endpoint_slots", True), "--no-slots": ("endpoint_slots", False),
    "--props": ("endpoint_props", True), "--embedding": ("embedding", True), "--embeddings": ("embedding", True),
    "--jinja": ("use_jinja", True), "--no-jinja": ("use_jinja", False), "--no-warmup": ("warmup", False),
    "--context-shift": ("ctx_shift", True), "--no-context-shift": ("ctx_shift", False),
    "-cb": ("cont_batching", True), "--cont-batching": ("cont_batching", True),
    "--no-webui": ("ui", False), "--no-ui": ("ui", False), "--offline": ("offline", True),
    "-kvu": ("kv_unified", True), "--kv-unified": ("kv_unified", True),
}


def parse(words):
    params = xllamacpp.CommonParams()
    # As the program's own defaults are.
    params.endpoint_metrics = False
    params.hostnames = ["127.0.0.1"]
    params.port = 8080
    words = list(words)
    while words:
        flag, equals, text = words.pop(0).partition("=")
        if flag in SWITCHES and not equals:
            name, value = SWITCHES[flag]
            setattr(params, name, value)
            continue
        if not equals:
            if not words:
                sys.exit(f"error: {flag} is not known here, or its value is missing")
            text = words.pop(0)
        try:
            place(params, flag, text)
        except ValueError:
            sys.exit(f"error: {flag} does not take {text!r}")
    return params


def place(params, flag, text):
    if flag in VALUES:
        name, read = VALUES[flag]
        setattr(params, name, read(text))
    elif flag in ("-m", "--model"):
        params.model.path = text
    elif flag == "--host":
        params.hostnames = [text]
    elif flag in ("-a", "--alias"):
        params.model_alias = {text}
    elif flag == "--api-key":
        params.api_keys = text.split(",")
    elif flag in ("-t", "--threads"):
        params.cpuparams.n_threads = int(text)
    elif flag in ("-tb", "--threads-batch"):
        params.cpuparams_batch.n_threads = int(text)
    else:
        sys.exit(f"error: {flag} is not known here, or not for this server")


def main():
    words = sys.argv[1:]
    if words in (["--version"], ["-v"]):
        print(f"version: {xllamacpp.BUILD_INFO}")
        return
    params = parse(words)
    if not os.path.isfile(params.model.path):
        sys.exit(f"error: failed to load model, {params.model.path!r} is no file")
    server = xllamacpp.Server(params)
    print(f"server is listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    # Its threads may be in the middle of a reply.
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
