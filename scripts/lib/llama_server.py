"""Starts llama.cpp's own HTTP server, out of the package xllamacpp, by llama-server's flags.

Three kinds of flags: those that the package has a parameter for; those that say what is so anyway, or that only choose how
a log line looks, which are taken and do nothing (NOTHING says why, flag by flag); and all others, which are refused by name,
so that nobody believes they were heard. All that Ollama 0.32.0 passes to a llama-server is among the first two.
"""
import os
import signal
import sys

import xllamacpp


def choice(kind, prefix):
    """Reads a name of one of the package's enumerations: `q8_0`, `none`, `mean`."""
    members = {name[len(prefix):].lower(): getattr(kind, name) for name in dir(kind) if name.startswith(prefix)}

    def read(text):
        if text.lower() not in members:
            raise ValueError(f"it is one of {', '.join(sorted(members))}")
        return members[text.lower()]

    return read


CACHE_TYPE = choice(xllamacpp.ggml_type, "GGML_TYPE_")
SPLIT_MODE = choice(xllamacpp.llama_split_mode, "LLAMA_SPLIT_MODE_")
POOLING = choice(xllamacpp.llama_pooling_type, "LLAMA_POOLING_TYPE_")
REASONING = choice(xllamacpp.common_reasoning_format, "COMMON_REASONING_FORMAT_")
SPECULATION = choice(xllamacpp.common_speculative_type, "COMMON_SPECULATIVE_TYPE_")
FLASH = choice(xllamacpp.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_")
LOAD = choice(xllamacpp.llama_load_mode, "LLAMA_LOAD_MODE_")


def flash(text):
    """`on`, `off` or `auto`, which older releases took as a switch."""
    return FLASH({"on": "enabled", "off": "disabled"}.get(text.lower(), text))


def layers(text):
    """How many layers a GPU gets; -1 and -2 are the package's words for `auto` and `all`."""
    return {"auto": -1, "all": -2}.get(text) or int(text)


# llama-server's flags: the parameter's place, and how the text is read.
VALUES = {
    ("-c", "--ctx-size"): ("n_ctx", int),
    ("-b", "--batch-size"): ("n_batch", int),
    ("-ub", "--ubatch-size"): ("n_ubatch", int),
    ("-np", "--parallel"): ("n_parallel", int),
    ("-n", "--n-predict"): ("n_predict", int),
    ("--keep",): ("n_keep", int),
    ("-ngl", "--n-gpu-layers", "--gpu-layers"): ("n_gpu_layers", layers),
    ("-mg", "--main-gpu"): ("main_gpu", int),
    ("-sm", "--split-mode"): ("split_mode", SPLIT_MODE),
    ("-fa", "--flash-attn"): ("flash_attn_type", flash),
    ("-ctk", "--cache-type-k"): ("cache_type_k", CACHE_TYPE),
    ("-ctv", "--cache-type-v"): ("cache_type_v", CACHE_TYPE),
    ("--pooling",): ("pooling_type", POOLING),
    ("--reasoning-format",): ("reasoning_format", REASONING),
    ("-mm", "--mmproj"): ("mmproj.path", str),
    ("--image-min-tokens",): ("image_min_tokens", int),
    ("--image-max-tokens",): ("image_max_tokens", int),
    ("-m", "--model"): ("model.path", str),
    ("-a", "--alias"): ("model_alias", lambda text: {text}),
    ("--host",): ("hostnames", lambda text: [text]),
    ("--port",): ("port", int),
    ("--api-key",): ("api_keys", lambda text: text.split(",")),
    ("--api-prefix",): ("api_prefix", str),
    ("--threads-http",): ("n_threads_http", int),
    ("-to", "--timeout"): ("timeout_read", int),
    ("-t", "--threads"): ("cpuparams.n_threads", int),
    ("-tb", "--threads-batch"): ("cpuparams_batch.n_threads", int),
    ("--slot-save-path",): ("slot_save_path", str),
    ("--chat-template",): ("chat_template", str),
    ("--cache-reuse",): ("n_cache_reuse", int),
    ("-cram", "--cache-ram"): ("cache_ram_mib", int),
    ("-s", "--seed"): ("sampling.seed", int),
    ("--spec-type",): ("speculative.types", lambda text: [SPECULATION(name.replace("-", "_")) for name in text.split(",")]),
    ("--spec-draft-n-max", "--draft-max"): ("speculative.draft.n_max", int),
    ("--spec-draft-model", "-md"): ("speculative.draft.mparams.path", str),
    ("-lv", "--verbosity", "--log-verbosity"): ("verbosity", int),
}
SWITCHES = {
    ("--metrics",): ("endpoint_metrics", True),
    ("--slots",): ("endpoint_slots", True),
    ("--no-slots",): ("endpoint_slots", False),
    ("--props",): ("endpoint_props", True),
    ("--embedding", "--embeddings"): ("embedding", True),
    ("--jinja",): ("use_jinja", True),
    ("--no-jinja",): ("use_jinja", False),
    ("--warmup",): ("warmup", True),
    ("--no-warmup",): ("warmup", False),
    ("--context-shift",): ("ctx_shift", True),
    ("--no-context-shift",): ("ctx_shift", False),
    ("-cb", "--cont-batching"): ("cont_batching", True),
    ("-nocb", "--no-cont-batching"): ("cont_batching", False),
    ("--webui", "--ui"): ("ui", True),
    ("--no-webui", "--no-ui"): ("ui", False),
    ("--offline",): ("offline", True),
    ("-kvu", "--kv-unified"): ("kv_unified", True),
    ("--mmap",): ("load_mode", LOAD("mmap")),
    ("--no-mmap",): ("load_mode", LOAD("none")),
    ("--mlock",): ("load_mode", LOAD("mlock")),
    ("--mmproj-offload",): ("mmproj_use_gpu", True),
    ("--no-mmproj-offload",): ("mmproj_use_gpu", False),
    ("--no-mmproj",): ("no_mmproj", True),
    ("--spec-draft-backend-sampling",): ("speculative.draft.backend_sampling", True),
    ("-v", "--verbose"): ("verbosity", 5),
}
# Taken, and nothing comes of them.
NOTHING = {
    # The package logs in one format, on stderr, in the colours of none.
    "--no-log-prefix", "--log-prefix", "--no-log-timestamps", "--log-timestamps", "--log-colors", "--no-log-colors",
}

FLAGS = {flag: place for flags, place in VALUES.items() for flag in flags}
SWITCHED = {flag: place for flags, place in SWITCHES.items() for flag in flags}


def put(params, place, value):
    """Sets a parameter by its dotted place."""
    *path, name = place.split(".")
    for part in path:
        params = getattr(params, part)
    setattr(params, name, value)


def parse(words):
    params = xllamacpp.CommonParams()
    # As the program's own defaults are.
    params.endpoint_metrics = False
    params.hostnames = ["127.0.0.1"]
    params.port = 8080
    adapters = []
    words = list(words)
    while words:
        flag, equals, text = words.pop(0).partition("=")
        if flag in NOTHING and not equals:
            continue
        if flag in SWITCHED and not equals:
            put(params, *SWITCHED[flag])
            continue
        if flag not in FLAGS and flag not in ("--lora", "--lora-scaled"):
            sys.exit(f"error: {flag} is not known here, or not for this server")
        if not equals:
            if not words:
                sys.exit(f"error: {flag} lacks its value")
            text = words.pop(0)
        if flag.startswith("--lora"):
            adapters.append(adapter(flag, text))
            continue
        place, read = FLAGS[flag]
        try:
            put(params, place, read(text))
        except (ValueError, TypeError) as error:
            sys.exit(f"error: {flag} does not take {text!r}: {error}")
    params.lora_adapters = adapters
    return params


def adapter(flag, text):
    """`PATH`, or of `--lora-scaled` `PATH:SCALE`."""
    info = xllamacpp.CommonAdapterLoraInfo()
    path, _, scale = text.rpartition(":") if flag == "--lora-scaled" else (text, "", "1")
    info.path, info.scale = path, float(scale)
    return info


def list_devices():
    """As llama-server prints them: accelerators only."""
    print("Available devices:")
    devices = [device for device in xllamacpp.get_device_info() if device["name"] != "CPU"]
    for device in devices:
        total, free = device["memory_total"] >> 20, device["memory_free"] >> 20
        print(f"  {device['name']}: {device['description']} ({total} MiB, {free} MiB free)")
    if not devices:
        print("  (none)")


def main():
    words = sys.argv[1:]
    if words == ["--version"]:
        print(f"version: {xllamacpp.BUILD_INFO}")
        return
    if "--list-devices" in words:
        list_devices()
        return
    params = parse(words)
    if not os.path.isfile(params.model.path):
        sys.exit(f"error: failed to load model, {params.model.path!r} is no file")
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        # Its threads may wait for one that failed.
        print(f"error: the server did not start: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    print(f"server is listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    # Its threads may be in the middle of a reply.
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
