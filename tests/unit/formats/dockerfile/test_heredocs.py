"""Inline documents: which words announce them, where they end, and who gets them."""

from __future__ import annotations

import pytest

from lading.formats.dockerfile import Copy, DockerfileError, Run, parse
from lading.formats.dockerfile.heredocs import heredoc, heredocs


@pytest.mark.parametrize(
    ("word", "name", "expand", "chomp", "fd"),
    [
        ("<<EOF", "EOF", True, False, 0), ("<<-EOF", "EOF", True, True, 0), ("<<'EOF'", "EOF", False, False, 0),
        ('<<-"E O"', "E O", False, True, 0), ("3<<EOF", "EOF", True, False, 3), ('<<EO"F"', "EOF", False, False, 0),
        ("<< EOF", "EOF", True, False, 0), ("<< -EOF", "-EOF", True, False, 0), ("<<eo\\'f", "eo'f", True, False, 0),
        ("<<'e'o\\'f", "eo'f", False, False, 0), ("<<$EOF", "$EOF", True, False, 0), ("<<EOF;", "EOF;", True, False, 0),
    ],
)  # fmt: skip
def test_a_word_announces_a_document(word: str, name: str, expand: bool, chomp: bool, fd: int) -> None:
    made = heredoc(word)
    assert made is not None
    assert (made.name, made.expand, made.chomp, made.fd) == (name, expand, chomp, fd)


@pytest.mark.parametrize(
    "word", ["", "EOF", "<<", "<<-", "<EOF", "<<<EOF", "<<EOF sh", "<<'EOF", "x<<EOF", "<<a<b"]
)
def test_another_word_announces_none(word: str) -> None:
    assert heredoc(word) is None


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("RUN <<A cat <<-B | x", ["A", "B"]), ("RUN '<<A'", []), ('RUN "<<A" <<B', ["B"]), ("RUN echo \\<<A", []),
        ("RUN a<<B", []), ("RUN cat <<<A", []), ("RUN it's <<A", []), ("RUN 2<<A 3<<B", ["A", "B"]), ("RUN <<  A  > x", ["A"]),
    ],
)  # fmt: skip
def test_words_in_quotes_announce_none(line: str, names: list[str]) -> None:
    assert [made.name for made in heredocs(line)] == names


def run(text: str) -> Run:
    (made,) = parse(f"FROM x\n{text}\n".encode()).stages[0].instructions
    assert isinstance(made, Run)
    return made


def copy(text: str) -> Copy:
    (made,) = parse(f"FROM x\n{text}\n".encode()).stages[0].instructions
    assert isinstance(made, Copy)
    return made


def test_a_document_ends_with_a_line_that_is_its_name_alone() -> None:
    made = run("RUN <<EOF\n # no comment\n EOF\nEOF \n\\\nEOF")
    assert made.heredocs[0].content == " # no comment\n EOF\nEOF \n\\\n"


def test_tabs_go_where_the_dash_says_so_before_the_end_as_well() -> None:
    made = run("RUN <<-EOF\n\ta\n\t\t b\n c\n\tEOF")
    assert made.heredocs[0].content == "\ta\n\t\t b\n c\n"
    assert made.heredocs[0].text == "a\n b\n c\n"


def test_documents_follow_in_the_order_of_their_words() -> None:
    made = copy("COPY <<X <<Y /d/\nY\nX\nX\nY")
    assert [(d.name, d.content) for d in made.documents] == [("X", "Y\n"), ("Y", "X\n")]


def test_documents_stand_beside_other_sources() -> None:
    made = copy('COPY a.txt <<"B" /d/\n$x\nB')
    assert (made.sources, made.destination) == (["a.txt"], "/d/")
    assert [(d.name, d.expand, d.text) for d in made.documents] == [("B", False, "$x\n")]


def test_one_document_that_is_the_whole_command_is_a_script() -> None:
    made = run("RUN <<EOF\necho hello\nEOF")
    assert (made.shell_text, made.script) == ("echo hello\n", "")
    program = run("RUN --network=none <<-EOF\n\t#!/usr/bin/python3\n\tprint(1)\n\tEOF")
    assert program.script == "#!/usr/bin/python3\nprint(1)\n"
    assert program.shell_text == program.script


def test_other_documents_are_the_shells_own_business() -> None:
    made = run("RUN python3 <<A && cat <<-B\nprint(1)\nA\n\tx\nB")
    assert made.document is None
    assert made.shell_text == "python3 <<A && cat <<-B\nprint(1)\nA\n\tx\nB"


def test_json_and_other_instructions_have_no_documents() -> None:
    file = parse(b'FROM x\nRUN ["<<EOF"]\nUSER <<EOF\nCMD <<EOF\nLABEL a=<<EOF\n')
    assert [i.keyword for i in file.stages[0].instructions] == ["RUN", "USER", "CMD", "LABEL"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RUN <<EOF\nx", "has no end"), ("RUN <<EOF\n EOF", "other characters around it"),
        ("COPY a <<EOF\nEOF", "no destination"),
        ("COPY << EOF /x\nEOF", "apart from <<"), ("COPY <<'a b' /x\na b", "white space"),
        ("RUN " + "<<A " * 300 + "\nA" * 300, "256"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_is_a_mistake(text: str, words: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(f"FROM x\n{text}\n".encode())
    assert words in str(caught.value)
