from app.jobs.console import printable


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert printable("a\x1b[31mb\r\n\t\u202ec\x9b") == "a [31mb    c "


def test_other_scripts_are_printed() -> None:
    assert printable("漢字 café 🙂") == "漢字 café 🙂"
