"""A terminal to draw on in tests: rows, a cursor, and the few sequences that are used. Anything else is an error."""

from __future__ import annotations

import re
import unicodedata

_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\x1b)|([\x00-\x1f\x7f-\x9f])|([^\x00-\x1f\x7f-\x9f])")


class Terminal:
    """``screen()`` is what stands there now, ``history`` what scrolled off the top."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, height: int = 24) -> None:
        self.columns = columns
        self.height = height
        self.rows: list[str] = [""]
        self.history: list[str] = []
        self.row = 0
        self.column = 0
        self.hidden = False

    def isatty(self) -> bool:
        return True

    def size(self) -> tuple[int, int]:
        return self.columns, self.height

    def flush(self) -> None:
        pass

    def write(self, text: str) -> int:
        for arguments, command, escape, control, character in _TOKEN.findall(text):
            assert not escape, f"an escape that no terminal should get: {text!r}"
            if command:
                self._command(arguments, command)
            elif control == "\n":
                self._down()
                self.column = 0
            elif control == "\r":
                self.column = 0
            elif control:
                raise AssertionError(f"a control character in {text!r}")
            else:
                self._put(character)
        return len(text)

    def _command(self, arguments: str, command: str) -> None:
        if command == "A":
            assert int(arguments) <= self.row, "the cursor would leave the screen"
            self.row -= int(arguments)
        elif command == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif command == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif (arguments, command) == ("?25", "l"):
            self.hidden = True
        elif (arguments, command) == ("?25", "h"):
            self.hidden = False
        else:
            raise AssertionError(f"unknown sequence {arguments}{command}")

    def _put(self, character: str) -> None:
        cells = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self.column + cells > self.columns:
            self._down()
            self.column = 0
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += cells

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
        while len(self.rows) > self.height:
            self.history.append(self.rows.pop(0))
            self.row -= 1

    def resize(self, columns: int, height: int) -> None:
        """Wrap what is there anew, as terminals do."""
        made: list[str] = []
        row = 0
        for index, line in enumerate(self.rows):
            if index == self.row:
                row = len(made)
            line = line.rstrip()
            made += [line[i : i + columns] for i in range(0, max(len(line), 1), columns)]
        self.columns, self.height = columns, height
        self.rows, self.row = made, row
        while len(self.rows) > height:
            self.history.append(self.rows.pop(0))
            self.row -= 1

    def screen(self) -> list[str]:
        """The rows, without what is empty at the end."""
        rows = [row.rstrip() for row in self.rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def everything(self) -> list[str]:
        return [row.rstrip() for row in self.history] + self.screen()
