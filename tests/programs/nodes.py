"""Bad input for the programs of a subnet's nodes. Nothing here waits for a chain: whatever would is no row."""
import contextlib
import os
import subprocess
import time

SEED = "0x" + "11" * 32

# A mistyped option, one of another type, one out of range, and a section that is none.
WRONG = """\
data_dirs = "node"

[key]
name = 7

[server]
drain = "2 weeks"

[chian]
subnet = 7
"""


def prepare(work, binaries):
    """A keystore with the key `node`, whose seed and so whose address are known, and files that are not as they should be."""
    (work / "passphrase").write_text("correct horse battery staple\n")
    (work / "another-passphrase").write_text("not this one\n")
    (work / "open-passphrase").write_text("correct horse battery staple\n")
    (work / "empty-passphrase").write_text("\n")
    for name in ("passphrase", "another-passphrase", "empty-passphrase"):
        os.chmod(work / name, 0o600)
    os.chmod(work / "open-passphrase", 0o644)
    (work / "certificate.pem").write_text("no certificate\n")
    (work / "key.pem").write_text("no key\n")
    (work / "wrong.toml").write_text(WRONG)
    (work / "broken.toml").write_text("[key\nname = \"node\"\n")
    (work / "no-status").mkdir()
    (work / "foreign").mkdir()
    (work / "foreign" / "status.json").write_text("{}\n")
    command = [binaries / "keys", "--dir", work / "keys", "--passphrase-file", work / "passphrase", "import", "node"]
    subprocess.run(command, input=SEED, text=True, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def held(work, binaries):
    """The data directory `held` in use by a miner that waits for its chain; gives its process id."""
    command = [binaries / "miner", *node(work, data_dir=work / "held", listen="127.0.0.1:0"), "--custom"]
    miner = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lock, until = work / "held" / "lock", time.monotonic() + 30
        while not lock.exists() or str(miner.pid) not in lock.read_text().split():
            assert miner.poll() is None and time.monotonic() < until, "the miner does not take its directory"
            time.sleep(0.01)
        yield miner.pid
    finally:
        miner.kill()
        miner.wait()


def node(work, **options):
    """A node's options: these over the usual ones, whose chain nobody would find."""
    usual = {"chain": "http://127.0.0.1:9", "keys": work / "keys", "key": "node", "passphrase_file": work / "passphrase"}
    return [word for name, value in (usual | options).items() for word in (f"--{name.replace('_', '-')}", value)]


def cases(work, taken, model):
    taken = f"127.0.0.1:{taken}"
    store = ["--dir", work / "keys"]
    unlocked = [*store, "--passphrase-file", work / "passphrase"]
    yield "a key that is there already", "keys", [*unlocked, "create", "node"]
    yield "a key that is not there", "keys", [*unlocked, "export", "nobody"]
    yield "a name that leaves the keystore", "keys", [*unlocked, "create", "../node"]
    yield "a wrong passphrase", "keys", [*store, "--passphrase-file", work / "another-passphrase", "export", "node"]
    yield "a passphrase that others can read", "keys", [*store, "--passphrase-file", work / "open-passphrase", "export", "node"]
    yield "an empty passphrase", "keys", [*store, "--passphrase-file", work / "empty-passphrase", "create", "new"]
    yield "a passphrase's file that is missing", "keys", [*store, "--passphrase-file", work / "missing", "create", "new"]
    yield "a passphrase's variable that is not set", "keys", [*store, "--passphrase-env", "NOT_SET", "create", "new"]
    yield "no passphrase and no terminal", "keys", [*store, "create", "new"]
    yield "nothing to import", "keys", [*unlocked, "import", "new"]
    yield "a scheme that is none", "keys", [*unlocked, "create", "new", "--scheme", "rsa"]
    yield "a keystore that is a file", "keys", ["--dir", work / "a-file", "list"]
    yield "an address that is none", "keys", ["verify", "5Nobody", "0x" + "00" * 64, "message"]

    chain = ["run", "--data-dir", work / "chain"]
    yield "no directory", "devchain", ["run"]
    yield "a port in use, chain", "devchain", [*chain, "--listen", taken]
    yield "a chain over plain HTTP for other machines", "devchain", [*chain, "--listen", "0.0.0.0:0"]
    yield "a chain's directory that is a file", "devchain", ["run", "--data-dir", work / "a-file", "--listen", "127.0.0.1:0"]
    yield "a block time without its unit", "devchain", [*chain, "--block-time", "5"]
    yield "funds for nobody", "devchain", [*chain, "--fund", "nobody=5"]
    yield "the status of no chain", "devchain", ["status", "--chain", "127.0.0.1:9933"]
    yield "the status of a chain over https without its key", "devchain", ["status", "--chain", "https://127.0.0.1:9"]
    yield "a chain whose key is not there", "devchain", [*chain, "--listen", "127.0.0.1:0", "--keys", work / "keys", "--key", "nobody", "--passphrase-file", work / "passphrase"]
    yield "a check of no chain", "devchain", ["verify", "--data-dir", work / "missing"]

    def member(**options):
        return "register", node(work, **{"role": "miner", "stake": "100"} | options)

    another = "5Gv8YYFu8H1btvmrJy9FjjAWfb99wrhV3uhPFoNEr918utyR"
    yield "no role", "register", node(work, stake="100")
    yield "a role that is none", *member(role="king")
    yield "a stake that is no number", *member(stake="all")
    yield "a member without a key", *member(key="nobody")
    yield "a member with a wrong passphrase", *member(passphrase_file=work / "another-passphrase")
    yield "a coldkey that is not there", *member(coldkey="node/coldkey")
    yield "a chain without a scheme", *member(chain="127.0.0.1:9933")
    yield "a chain over plain HTTP on another machine", *member(chain="http://198.51.100.1:9933")
    yield "a chain over https without its key", *member(chain="https://127.0.0.1:9")
    yield "a chain's key over plain HTTP", *member(chain_key=another)
    yield "a chain's key that is no address", *member(chain_key="5Nobody")
    yield "a faucet that is not there", "register", [*member()[1], "--faucet"]
    yield "a faucet over https", "register", [*member(chain="https://127.0.0.1:9", chain_key=another)[1], "--faucet"]

    def validator(*flags, **options):
        usual = {"data_dir": work / "validator", "listen": "127.0.0.1:0"}
        return "validator", [*node(work, **usual | options), *flags]

    pem = {"tls_certificate": work / "certificate.pem", "tls_key": work / "key.pem"}
    yield "no key", "validator", ["--data-dir", work / "validator"]
    yield "a validator without a key", *validator(key="nobody")
    yield "a validator whose passphrase others can read", *validator(passphrase_file=work / "open-passphrase")
    yield "a validator without a passphrase", *validator(passphrase_file=work / "missing")
    yield "a validator whose chain is on another machine", *validator(chain="http://198.51.100.1:9933")
    yield "a port in use, validator", *validator(listen=taken)
    yield "users over plain HTTP from other machines", *validator(listen="0.0.0.0:0")
    yield "a certificate without its key", *validator(tls_certificate=pem["tls_certificate"])
    yield "a certificate that is none", *validator(**pem)
    yield "a certificate and none", *validator("--allow-plain-http", **pem)
    yield "a tokenizer without its model", *validator(tokenizer="model.gguf")
    yield "a tokenizer that is missing", *validator(tokenizer=f"smollm2-135m={work / 'missing.gguf'}")
    yield "a validator in another's directory", *validator(data_dir=work / "held")
    yield "no requests a minute", *validator(requests_per_minute="0")
    yield "a deadline of another unit", *validator(deadline="10 fortnights")
    yield "a validator's address without a scheme", *validator(advertise="validator.example.com")

    for program in ("validator", "miner"):
        yield f"a configuration that is missing, {program}", program, ["--config", work / "missing.toml"]
        yield f"a configuration that is no TOML, {program}", program, ["--config", work / "broken.toml"]
        yield f"a check of a wrong configuration, {program}", program, ["config", "check", "--config", work / "wrong.toml"]
        yield f"no question about the configuration, {program}", program, ["config"]
        yield f"the status of no {program}", program, ["status", "--data-dir", work / "missing"]
        yield f"the status of a {program} that never ran", program, ["status", "--data-dir", work / "no-status", "--json"]
        yield f"the status of something else, {program}", program, ["status", "--data-dir", work / "foreign"]
        yield f"two directories, {program}", program, ["status", "--data-dir", work / "held", "--config", work / "wrong.toml"]
    yield "epochs of a wrong configuration", "validator", ["epochs", "--config", work / "broken.toml"]

    def miner(*flags, **options):
        usual = {"data_dir": work / "miner", "listen": "127.0.0.1:0"}
        return "miner", [*node(work, **usual | options), *flags]

    yield "no engine", *miner()
    yield "two engines", *miner("--custom", llama=model)
    yield "an option of another engine", *miner("--custom", threads="2")
    ollama = "http://127.0.0.1:9"
    yield "several of an engine that there is one of", *miner(ollama=ollama, max_replicas="2")
    yield "a program for an engine that is not started here", *miner(vllm=ollama, start="vllm")
    yield "threads of an engine that has none", *miner(ollama=ollama, threads="1")
    yield "GPUs of an engine that runs already", *miner(ollama=ollama, gpus="0")
    yield "a miner without a key", *miner("--custom", key="nobody")
    yield "a miner with a wrong passphrase", *miner("--custom", passphrase_file=work / "another-passphrase")
    yield "a miner without a passphrase", "miner", ["--keys", work / "keys", "--key", "node", "--custom", "--data-dir", work / "miner"]
    yield "a port in use, miner", *miner("--custom", listen=taken)
    yield "an advertised address without a scheme", *miner("--custom", advertise="miner.example.com:8091")
    yield "every address and none to advertise", *miner("--custom", listen="0.0.0.0:0")
    public = {"listen": "0.0.0.0:0", "advertise": "http://198.51.100.1:8091"}
    yield "validators over plain HTTP from other machines", *miner("--custom", "--plain-http", **public)
    yield "metrics for other machines", *miner("--custom", metrics="0.0.0.0:0")
    yield "a miner whose model is missing", *miner(llama=work / "missing.gguf")
    yield "a miner whose model is none", *miner(llama=work / "text.gguf")
    yield "a miner whose upstream is none", *miner(upstream="localhost")
    yield "an upstream's key that is not set", *miner(upstream="http://127.0.0.1:9", upstream_key_env="NOT_SET")
    yield "a miner in another's directory", *miner("--custom", data_dir=work / "held")
    yield "a registration at another time", *miner("--custom", register="sometimes")
    yield "a preflight without an engine", "miner", ["preflight", *node(work)]
    score = ["score", *node(work)]
    yield "a score of nobody's", "miner", score
    yield "a score of a validator that is not there", "miner", [*score, "--validator", "http://127.0.0.1:9", "--validator-key", another]
    yield "a score of an epoch that is none", "miner", [*score, "--validator", "http://127.0.0.1:9", "--epoch", "last"]
