"""The program `keys` at a terminal: what it asks for, and that it shows nothing of the answers."""
import os
import pty
import re
import select
import tempfile
import termios
import time
import unittest

KEYS = os.environ["SYNAPSE_KEYS"]
PHRASE = "caution juice atom organ advance problem want pledge someone senior holiday very"
ADDRESS = "5Gv8YYFu8H1btvmrJy9FjjAWfb99wrhV3uhPFoNEr918utyR"


class Prompt(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def keys(self, *arguments, answers):
        """Runs the program at a terminal of its own: each question with its answer; its status, and all that was shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(KEYS, [KEYS, "--dir", self.folder, *arguments])
        shown, asked, answers = b"", 0, list(answers)
        deadline = time.monotonic() + 60
        while True:
            self.assertTrue(select.select([terminal], [], [], deadline - time.monotonic())[0], shown)
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
            if answers and (question := shown.find(answers[0][0].encode(), asked)) >= 0:
                asked = question + len(answers[0][0])
                # The question comes first, and the echo is turned off after it: people are not that fast.
                while termios.tcgetattr(terminal)[3] & termios.ECHO:
                    self.assertLess(time.monotonic(), deadline, shown)
                    time.sleep(0.001)
                os.write(terminal, answers.pop(0)[1].encode() + b"\n")
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertEqual(answers, [], shown)
        return status, shown.decode()

    def test_a_new_passphrase_is_asked_for_twice_and_not_shown(self):
        twice = [("new passphrase: ", "horse"), ("once more: ", "horse")]
        status, shown = self.keys("import", "node", answers=[("phrase or seed: ", PHRASE), *twice])
        self.assertEqual(status, 0, shown)
        self.assertIn(ADDRESS, shown)
        self.assertNotRegex(shown, r"horse|caution|juice")

        status, shown = self.keys("sign", "node", "hello", answers=[("passphrase: ", "horse")])
        self.assertEqual(status, 0, shown)
        self.assertTrue(re.search("0x[0-9a-f]{128}", shown))

        status, shown = self.keys("sign", "node", "hello", answers=[("passphrase: ", "house")])
        self.assertEqual(status, 4, shown)

    def test_two_passphrases_that_differ_make_no_key(self):
        twice = [("new passphrase: ", "horse"), ("once more: ", "house")]
        status, shown = self.keys("create", "node", answers=twice)
        self.assertEqual(status, 1, shown)
        self.assertIn("the two passphrases differ", shown)
        self.assertEqual(os.listdir(self.folder), [])

    def test_an_empty_passphrase_makes_no_key(self):
        status, shown = self.keys("create", "node", answers=[("new passphrase: ", "")])
        self.assertEqual(status, 1, shown)
        self.assertIn("the passphrase is empty", shown)


if __name__ == "__main__":
    unittest.main()
