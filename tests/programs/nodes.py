"""Bad input for the programs of a subnet's nodes. Nothing here waits for a chain: whatever would is no row."""
import contextlib
import os
import subprocess
import time

SEED = "0x" + "11" * 32


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
    command = [binaries / "keys", "--dir", work / "keys", "--passphrase-file", work / "passphrase", "import", "node"]
    subprocess.run(command, input=SEED, text=True, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def held(work, binaries):
    """The data directory `held` in use by a miner that waits for its chain; gives its process id."""
    command = [binaries / "miner", *node(work), "--custom", "--data-dir", work / "held", "--listen", "127.0.0.1:0"]
    miner = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lock, until = work / "held" / "lock", time.monotonic() + 60
        while not lock.exists() or lock.read_text().strip() != str(miner.pid):
            assert miner.poll() is None and time.monotonic() < until, "the miner does not take its directory"
            time.sleep(0.01)
        yield miner.pid
    finally:
        miner.kill()
        miner.wait()


def node(work, key="node", passphrase="passphrase"):
    return ["--chain", "http://127.0.0.1:9", "--keys", work / "keys", "--key", key, "--passphrase-file", work / passphrase]


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
    yield "a check of no chain", "devchain", ["verify", "--data-dir", work / "missing"]

    member = [*node(work), "--role", "miner", "--stake", "100"]
    yield "no role", "register", [*node(work), "--stake", "100"]
    yield "a role that is none", "register", [*node(work), "--role", "king", "--stake", "100"]
    yield "a negative stake", "register", [*node(work), "--role", "miner", "--stake=-1"]
    yield "a member without a key", "register", [*node(work, key="nobody"), "--role", "miner", "--stake", "100"]
    yield "a member with a wrong passphrase", "register", [*node(work, passphrase="another-passphrase"), "--role", "miner", "--stake", "100"]
    yield "a coldkey that is not there", "register", [*member, "--coldkey", "node/coldkey"]
    yield "a chain without a scheme", "register", [*member, "--chain", "127.0.0.1:9933"]
    yield "a chain over plain HTTP on another machine", "register", [*member, "--chain", "http://198.51.100.1:9933"]

    gateway = [*node(work), "--data-dir", work / "validator", "--listen", "127.0.0.1:0"]
    yield "no key", "validator", ["--data-dir", work / "validator"]
    yield "a validator without a key", "validator", [*node(work, key="nobody"), "--data-dir", work / "validator"]
    yield "a validator whose passphrase others can read", "validator", [*node(work, passphrase="open-passphrase"), "--data-dir", work / "validator"]
    yield "a port in use, validator", "validator", [*gateway, "--listen", taken]
    yield "users over plain HTTP from other machines", "validator", [*gateway, "--listen", "0.0.0.0:0"]
    yield "a certificate without its key", "validator", [*gateway, "--tls-certificate", work / "certificate.pem"]
    yield "a certificate that is none", "validator", [*gateway, "--tls-certificate", work / "certificate.pem", "--tls-key", work / "key.pem"]
    yield "a tokenizer without its model", "validator", [*gateway, "--tokenizer", "model.gguf"]
    yield "a tokenizer that is missing", "validator", [*gateway, "--tokenizer", f"smollm2-135m={work / 'missing.gguf'}"]
    yield "a validator in another's directory", "validator", [*gateway, "--data-dir", work / "held"]

    engine = [*node(work), "--data-dir", work / "miner", "--listen", "127.0.0.1:0"]
    miner = [*engine, "--custom"]
    yield "no engine", "miner", engine
    yield "two engines", "miner", [*miner, "--llama", model]
    yield "an option of another engine", "miner", [*miner, "--threads", "2"]
    yield "a miner without a key", "miner", [*node(work, key="nobody"), "--custom", "--data-dir", work / "miner"]
    yield "a miner without a passphrase", "miner", ["--keys", work / "keys", "--key", "node", "--custom", "--data-dir", work / "miner"]
    yield "a port in use, miner", "miner", [*miner, "--listen", taken]
    yield "an advertised address without a scheme", "miner", [*miner, "--advertise", "miner.example.com:8091"]
    yield "every address and none to advertise", "miner", [*miner, "--listen", "0.0.0.0:0"]
    yield "validators over plain HTTP from other machines", "miner", [*miner, "--plain-http", "--listen", "0.0.0.0:0", "--advertise", "http://198.51.100.1:8091"]
    yield "a miner whose model is missing", "miner", [*engine, "--llama", work / "missing.gguf"]
    yield "a miner whose model is none", "miner", [*engine, "--llama", work / "text.gguf"]
    yield "a miner whose upstream is none", "miner", [*engine, "--upstream", "localhost"]
    yield "an upstream's key that is not set", "miner", [*engine, "--upstream", "http://127.0.0.1:9", "--upstream-key-env", "NOT_SET"]
    yield "a miner in another's directory", "miner", [*miner, "--data-dir", work / "held"]
