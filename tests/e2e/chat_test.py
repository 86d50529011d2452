#!/usr/bin/env python3
"""`tutti run` in a terminal, as somebody who types has it: chat_test.py PROGRAM SOURCE_DIRECTORY.

What reached the chat is read from the files that /save writes, to the byte, not from the screen.
"""

import json
import os
import re
import stat
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
import script_model
from cli_test import Case, environment
from terminal import Terminal

# So slow that there is time to press Ctrl-C, and an answer that goes on behind its thinking.
SLOW = ["--reference-ops", "--threads", "1", "--min-tokens", "1500"]
THINKING = "\x1b[2m"
ANSWERING = "\x1b[0m\n\n".replace("\n", "\r\n")


class ChatCase(Case):
    TERM = "xterm"

    def chat(self, *flags, variables=None, model=()):
        """A chat that waits for its first line."""
        args = [cli_test.PROGRAM, "run", *model, "--device", "cpu", "--temperature", "0", *flags]
        inherited = {k: v for k, v in environment(self.folder.name).items() if k != "NO_COLOR"}
        out = Terminal(self, args, {**inherited, "TERM": self.TERM, **(variables or {})})
        out.until("ends the chat.\r\n")
        out.until("> ")
        return out

    def saved(self, chat, name="saved.json"):
        """The chat's messages, at a prompt; the prompt after it has come."""
        chat.type(f"/save {self.path(name)}\r")
        chat.until("messages written to")
        chat.until("> ")
        with open(self.path(name), encoding="utf-8") as f:
            messages = json.load(f)
        os.remove(self.path(name))
        return messages

    def system(self, chat):
        return self.saved(chat)[0]["content"]

    def answered(self, chat, line, end="tok/s]"):
        chat.type(line)
        out = chat.until(end)
        chat.until("> ")
        return out


class Commands(ChatCase):
    def test_clear_forgets_and_bye_ends(self):
        chat = self.chat()
        first = self.answered(chat, "What is 3+4?\r")
        chat.type("/clear\r")
        chat.until("> ")
        again = self.answered(chat, "What is 3+4?\r")
        self.assertEqual(re.findall(r"\[\d+ tokens", first), re.findall(r"\[\d+ tokens", again))
        self.assertEqual(len(self.saved(chat)), 2)
        chat.type("/bye\r")
        chat.ends()
        self.assertEqual(chat.modes(), (True, True), "the terminal is as it was")

    def test_thinking_is_dim_and_the_speed_is_told(self):
        out = self.answered(self.chat(), "What is 3+4?\r")
        self.assertRegex(out, r"\x1b\[2m[^\x1b]+\x1b\[0m\r\n\r\n[^\x1b]*7")
        self.assertRegex(out, r"\[\d+ tokens, \d+ tok/s\]")

    def test_without_colour_thinking_stands_between_marks(self):
        out = self.answered(self.chat(variables={"NO_COLOR": "1"}), "What is 3+4?\r")
        self.assertNotIn(THINKING, out)
        self.assertRegex(out, r"(?s)<think>\r\n.+\r\n</think>\r\n\r\n[^\r]*7")

    def test_help_names_every_command(self):
        chat = self.chat()
        chat.type("/help\r")
        out = chat.until("is never a command")
        for command in ("/bye", "/clear", "/system TEXT", "/save FILE", "/help"):
            self.assertIn(command, out)

    def test_the_system_message(self):
        chat = self.chat("--system", "Be brief.")
        chat.type("/system\r")
        chat.until("Be brief.")
        chat.until("> ")
        chat.type("/system  Be kind. \r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.saved(chat), [{"role": "system", "content": "Be kind."}])
        self.answered(chat, "What is 3+4?\r")
        chat.type("/clear\r")
        chat.until("> ")
        self.assertEqual(self.system(chat), "Be kind.")

    def test_what_was_saved_is_what_the_api_takes(self):
        chat = self.chat()
        self.answered(chat, "What is 3+4?\r")
        messages = self.saved(chat)
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"])
        self.assertIn("7", messages[1]["content"])
        path = self.write("messages.json", json.dumps(messages))
        out, _ = self.run_tutti("template", cli_test.tiny_r1(), "--messages", path)
        self.assertIn("What is 3+4?", out)
        chat.type(f"/save {path}\r")
        chat.until("is there already")
        chat.until("> ")
        chat.type("/save\r")
        chat.until("names no file")

    def test_mistyped_commands_are_not_sent(self):
        chat = self.chat()
        chat.type("/claer\r")
        chat.until("did you mean /clear?")
        chat.until("> ")
        self.assertEqual(self.saved(chat), [])
        self.answered(chat, " /claer\r")
        self.answered(chat, "/etc/hosts?\r")
        self.assertEqual([m["content"] for m in self.saved(chat)[::2]], [" /claer", "/etc/hosts?"])

    def test_a_full_context_is_explained_with_its_numbers(self):
        chat = self.chat()
        self.answered(chat, "What is 3+4?\r")
        chat.type("7" * 5000 + "\r")
        out = chat.until("/clear forgets it.")
        self.assertRegex(out, r"prompt has \d{4} tokens, the context is 2048")
        self.assertRegex(out, r"chat so far counts too, \d+ of these tokens")
        chat.until("> ")
        self.assertEqual(len(self.saved(chat)), 2, "the chat goes on without that prompt")

    def test_an_answer_that_fills_the_context_says_so(self):
        out = self.answered(self.chat("--min-tokens", "1900", "--context", "300"), "What is 3+4?\r", "forgets the chat]")
        numbers = re.search(r"(\d+) tokens of the chat and (\d+) of the answer fill the context of (\d+)", out)
        self.assertTrue(numbers, out)
        prompt, answer, context = map(int, numbers.groups())
        self.assertEqual((prompt + answer, context), (300, 300))
        self.answered(self.chat("--max-tokens", "5"), "What is 3+4?\r", "limit: --max-tokens 5]")


class Editing(ChatCase):
    def test_keys(self):
        left, home, end, delete = "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~"
        chat = self.chat()
        for typed, wanted in (
            ("helo" + left + "l", "hello"),
            ("hellox\x7f", "hello"),
            ("ello" + home + "\x1b[C" * len("/system ") + "h", "hello"),
            ("xhello" + left * 6 + delete, "hello"),
            ("one two three\x17\x17", "one"),  # Ctrl-W
            ("one two\x1b[1;5D" + "and ", "one and two"),  # Ctrl-Left
            ("abc" + left * 2 + "\x0b", "a"),  # Ctrl-K
            ("abc" + home + end + "d", "abcd"),
            ("grün é â ÿ ß 漢字 🙂" + left + "!", "grün é â ÿ ß 漢字 !🙂"),
            ("漢字\x7f", "漢"),
            ("one\x1b\rtwo", "one\ntwo"),  # Alt-Enter
            ("a\tb", "a\tb"),
        ):
            with self.subTest(typed=typed):
                chat.type("/system " + typed + "\r")
                chat.until("is set")
                chat.until("> ")
                self.assertEqual(self.system(chat), wanted)

    def test_three_pasted_lines_are_one_prompt(self):
        chat = self.chat()
        chat.paste("Which is larger,\n\t3 or 4?\nSay it.\n")
        self.answered(chat, " Now\r")
        self.assertEqual([m["content"] for m in self.saved(chat) if m["role"] == "user"],
                         ["Which is larger,\n\t3 or 4?\nSay it. Now"])

    def test_a_paste_of_100_kb(self):
        text = "".join(f"{i:05} grün 漢\n" for i in range(6500)).rstrip()
        self.assertGreater(len(text.encode()), 100 * 1024)
        chat = self.chat()
        chat.type("/system ")
        chat.paste(text)
        chat.type("\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), text)
        chat.type("/system x\r")
        chat.until("> ")
        chat.paste(text)
        chat.type("\r")
        chat.until("the context is 2048")
        chat.until("> ")
        self.answered(chat, "What is 3+4?\r")

    def test_a_typed_line_of_20_kb(self):
        text = "0123456789abcdef" * 1280
        chat = self.chat()
        chat.type("/system " + text + "\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), text)

    def test_a_paste_brings_no_keys_with_it(self):
        chat = self.chat()
        chat.type("/system ")
        chat.type("\x1b[200~a\x1b[Db\x04c\x15d\x00e\r\nf\x1b[201~")
        chat.type("\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), "a[Dbcde\nf")

    def test_what_comes_during_an_answer_waits_for_its_end(self):
        chat = self.chat("--reference-ops", "--threads", "1")
        chat.type("What is 3+4?\r")
        chat.until(THINKING)
        self.assertEqual(chat.modes(), (False, False), "nothing is echoed into the answer")
        chat.paste("What is\n" + "1" * 6000 + "?")
        chat.type("\r")
        chat.until("tok/s]")
        chat.until("the context is 2048")
        chat.until("> ")
        chat.type("\x1b[A\x01/system \r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), "What is\n" + "1" * 6000 + "?")

    def test_another_size_of_the_window(self):
        chat = self.chat()
        chat.type("/system " + "x" * 200)
        chat.resize(30, 40)
        chat.type("y\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), "x" * 200 + "y")


class Interrupts(ChatCase):
    """Ctrl-C stops an answer, and never ends the chat."""

    def goes_on(self, chat):
        chat.type("/system still here\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), "still here")
        chat.type("\x04")
        chat.ends()

    def test_at_an_empty_prompt_however_often(self):
        chat = self.chat()
        for _ in range(3):
            chat.type("\x03")
            chat.until("Ctrl-D or /bye ends the chat.")
            chat.until("> ")
        self.goes_on(chat)

    def test_in_a_line(self):
        chat = self.chat()
        chat.type("/system half a l")
        chat.until("half a l")
        chat.type("\x03")
        chat.until("> ")
        self.goes_on(chat)

    def test_in_a_paste(self):
        chat = self.chat()
        chat.type("\x1b[200~half\ra paste")
        chat.type("\x03")
        chat.until("^C")
        chat.until("> ")
        self.goes_on(chat)

    def test_while_it_thinks(self):
        chat = self.chat(*SLOW)
        chat.type("What is 3+4?\r")
        chat.until(THINKING)
        chat.type("\x03")
        out = chat.until("[stopped; the chat goes on as before this question]")
        self.assertIn("\x1b[0m", out, "what follows is not dim")
        chat.until("> ")
        self.assertEqual(self.saved(chat), [])
        self.goes_on(chat)

    def test_while_it_answers(self):
        chat = self.chat(*SLOW)
        chat.type("What is 3+4?\r")
        chat.until(ANSWERING)
        chat.type("\x03")
        chat.until("[stopped")
        chat.until("> ")
        self.goes_on(chat)

    def test_twice_in_an_answer(self):
        chat = self.chat(*SLOW)
        chat.type("What is 3+4?\r")
        chat.until(THINKING)
        chat.type("\x03\x03")
        chat.until("[stopped")
        chat.until("> ")
        self.goes_on(chat)


class Tools(ChatCase):
    def test_what_a_tool_returned_is_typed_and_ctrl_c_drops_the_question(self):
        model = script_model.make(self.path("calls"), {
            "Look it up": ["<tool_call>{\"na", "me\": \"look\", \"arguments\": {}}</", "tool_call>"],
            "forty-two": ["It is ", "42."],
        })
        tools = self.write("tools.json", json.dumps([{"type": "function", "function": {"name": "look"}}]))
        chat = self.chat("--tools", tools, model=[model])
        chat.type("Look it up\r")
        chat.until("look returns> ")
        chat.type("half\x03")
        chat.until("[stopped")
        chat.until("> ")
        self.assertEqual(self.saved(chat), [])
        chat.type("Look it up\r")
        chat.until("look returns> ")
        chat.type("forty-two\r")
        chat.until("It is 42.")
        chat.until("> ")
        self.assertEqual([m["role"] for m in self.saved(chat)], ["user", "assistant", "tool", "assistant"])


class Suspended(ChatCase):
    def test_the_line_is_still_there_when_the_chat_comes_back(self):
        shell = Terminal(self, ["/bin/bash", "--norc", "--noprofile", "-i"],
                         {**environment(self.folder.name), "TERM": "xterm", "PS1": "ready$ "})
        shell.until("ready$ ")
        shell.type(f"{cli_test.PROGRAM} run --device cpu\r")
        shell.until("ends the chat.")
        shell.until("> ")
        shell.type("/system he")
        shell.until("/system he")
        shell.type("\x1a")
        shell.until("Stopped")
        shell.until("ready$ ")
        shell.type("fg\r")
        shell.until("> /system he")
        shell.type("llo")
        shell.until("llo")  # drawn before Enter: keys come one by one again
        shell.type("\r")
        shell.until("is set")
        shell.until("> ")
        self.assertEqual(self.system(shell), "hello")
        shell.type("\x04")
        shell.until("ready$ ")


class Histories(ChatCase):
    def file(self):
        return self.path(".local/state/tutti/history")

    def test_over_runs(self):
        chat = self.chat()
        self.answered(chat, "What is 3+4?\r")
        chat.paste("two\nlines")
        self.answered(chat, "\r")
        chat.type("\x04")
        chat.ends()
        self.assertEqual(stat.S_IMODE(os.stat(self.file()).st_mode), 0o600)
        chat = self.chat()
        self.answered(chat, "\x1b[A\r")
        self.answered(chat, "\x12is 3\r\r")  # Ctrl-R
        self.assertEqual([m["content"] for m in self.saved(chat)[::2]], ["two\nlines", "What is 3+4?"])

    def test_what_is_too_long_to_keep_is_there_in_its_own_chat(self):
        chat = self.chat()
        chat.type("/system " + "x" * 20000 + "\r")
        chat.until("is set")
        chat.until("> ")
        chat.type("/system y\r")
        chat.until("is set")
        chat.until("> ")
        chat.type("\x1b[A\x1b[A\r")
        chat.until("is set")
        chat.until("> ")
        self.assertEqual(self.system(chat), "x" * 20000)
        with open(self.file(), encoding="utf-8") as f:
            self.assertEqual([json.loads(line)[:9] for line in f][0], "/system y")

    def test_none_can_be_kept(self):
        self.write(".local", "a file where a folder should be")
        chat = self.chat()
        self.answered(chat, "What is 3+4?\r")
        chat.type("\x1b[A\r")
        chat.until("tok/s]")

    def test_the_state_folder_is_where_xdg_says(self):
        chat = self.chat(variables={"XDG_STATE_HOME": self.path("state")})
        self.answered(chat, "What is 3+4?\r")
        self.assertTrue(os.path.exists(self.path("state/tutti/history")))


class NoText(ChatCase):
    def test_what_is_no_text_does_not_end_the_chat(self):
        chat = self.chat()
        chat.type(b"\xff\xfe\r")
        chat.until("UTF-8")
        chat.until("> ")
        self.answered(chat, "What is 3+4?\r")
        chat.type("\x04")
        chat.ends()


class Dumb(NoText):
    """A terminal without a cursor that moves: no editing, everything else."""

    TERM = "dumb"

    def test_the_chat(self):
        chat = self.chat()
        self.assertIn("<think>", self.answered(chat, "What is 3+4?\r"))
        chat.type("half a line\x03")
        chat.until("Ctrl-D or /bye ends the chat.")
        chat.until("> ")
        chat.type("\x03")
        chat.until("ends the chat.")
        chat.until("> ")
        self.assertEqual(len(self.saved(chat)), 2)
        chat.type("/bye\r")
        chat.ends()


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
