"""The bar and the lines that say how far a sweep is, and what they leave alone."""

import io
import logging

import pytest
from rich.console import Console

from engine import progress


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def shown(request, monkeypatch):
    """Standard error, and whether it is a terminal."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=request.param, width=80)
    monkeypatch.setattr(progress, "CONSOLE", console)
    return file, request.param


def test_a_report_has_standard_output_to_itself(shown, capsys):
    file, terminal = shown
    with progress.Progress(total=3) as bar:
        bar.stage("first")
        bar.advance(2)
        bar.stage("second")
        bar.hide()
        before = file.getvalue()
        print("a table")
        assert file.getvalue() == before
        assert bar.bar is None or not bar.bar.live.is_started
    assert capsys.readouterr().out == "a table\n"
    if not terminal:
        assert before.count("2/3 cells") == 1 and file.getvalue() == before


def test_what_is_done_after_a_report_is_shown_again(shown):
    file, terminal = shown
    with progress.Progress(total=3) as bar:
        bar.stage("first")
        bar.hide()
        bar.stage("anew")
        assert bar.bar is None or bar.bar.live.is_started
        bar.advance(3)
    assert "anew" in file.getvalue()
    assert terminal or "3/3 cells" in file.getvalue().splitlines()[-1]


def test_a_sweep_that_fails_says_no_more(shown):
    file, terminal = shown
    with pytest.raises(RuntimeError), progress.Progress(total=3):
        raise RuntimeError
    assert terminal or file.getvalue() == ""


def test_a_record_that_cannot_be_printed_ends_nothing(monkeypatch, capsys):
    def broken(*words, **options):
        raise ImportError("partially initialized module")

    monkeypatch.setattr(progress.CONSOLE, "print", broken)
    record = logging.LogRecord("engine", logging.WARNING, __file__, 1, "a word", (), None)
    progress.ConsoleHandler().handle(record)
    assert "partially initialized module" in capsys.readouterr().err
