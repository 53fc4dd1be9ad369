"""The wallet of Bittensor, unmodified, and the program `keys`: the same addresses, each other's signatures."""
import json
import os
import subprocess
import tempfile
import unittest

from bittensor_wallet import Keypair

KEYS = os.environ["SYNAPSE_KEYS"]
SCHEMES = {"ed25519": 0, "sr25519": 1}
PHRASES = [
    "bottom drive obey lake curtain smoke basket hold race lonely fit walk",
    "caution juice atom organ advance problem want pledge someone senior holiday very",
    "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
    "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
    "abandon " * 23 + "art",
    "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group space point ten "
    "exist slush involve unfold",
]
MESSAGES = [b"", b"hello", bytes(range(256)) * 300]


class Wallet(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def keys(self, *arguments, given=b"", status=0):
        ran = subprocess.run(
            [KEYS, "--dir", self.folder, "--json", "--passphrase-env", "KEY_PASSPHRASE", *arguments],
            env={"KEY_PASSPHRASE": "correct horse"},
            input=given,
            capture_output=True,
        )
        self.assertEqual(ran.returncode, status, ran.stderr.decode())
        return json.loads(ran.stdout) if status == 0 else json.loads(ran.stderr.splitlines()[-1])

    def test_a_phrase_has_the_same_address(self):
        for at, phrase in enumerate(PHRASES):
            for scheme, number in SCHEMES.items():
                with self.subTest(phrase=phrase, scheme=scheme):
                    ours = self.keys("import", f"{scheme}-{at}", "--scheme", scheme, given=phrase.encode())
                    theirs = Keypair.create_from_mnemonic(phrase, crypto_type=number)
                    self.assertEqual(ours["address"], theirs.ss58_address)

    def test_a_seed_has_the_same_address(self):
        seed = "0x" + "5eed" * 16
        for scheme, number in SCHEMES.items():
            with self.subTest(scheme=scheme):
                ours = self.keys("import", scheme, "--scheme", scheme, given=seed.encode())
                self.assertEqual(ours["address"], Keypair.create_from_seed(seed, crypto_type=number).ss58_address)

    def test_a_phrase_of_either_is_read_by_the_other(self):
        ours = self.keys("create", "ours", "--words", "24")
        self.assertEqual(Keypair.create_from_mnemonic(ours["mnemonic"]).ss58_address, ours["address"])
        phrase = Keypair.generate_mnemonic(12)
        theirs = self.keys("import", "theirs", given=phrase.encode())
        self.assertEqual(Keypair.create_from_mnemonic(phrase).ss58_address, theirs["address"])

    def test_signatures_of_either_verify_with_the_other(self):
        for scheme, number in SCHEMES.items():
            address = self.keys("import", scheme, "--scheme", scheme, given=PHRASES[0].encode())["address"]
            theirs = Keypair.create_from_mnemonic(PHRASES[0], crypto_type=number)
            public = Keypair(ss58_address=address, crypto_type=number)
            for message in MESSAGES:
                with self.subTest(scheme=scheme, length=len(message)):
                    signature = self.keys("sign", scheme, given=message)["signature"]
                    self.assertTrue(public.verify(message, signature))
                    self.assertFalse(public.verify(message + b"!", signature))

                    verify = ["verify", "--scheme", scheme, address, "0x" + bytes(theirs.sign(message)).hex()]
                    self.assertTrue(self.keys(*verify, given=message)["good"])
                    refused = self.keys(*verify, given=message + b"!", status=3)
                    self.assertEqual(refused["error"]["code"], "bad_signature")


if __name__ == "__main__":
    unittest.main()
