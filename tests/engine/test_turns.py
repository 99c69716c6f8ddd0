"""What processes of one results directory must not do at the same time: taking files away, and reporting."""

import shutil
import threading

import pytest

import engine
from engine import claim, command_line, config, report, shard, turns


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A finished sweep with what a launch left."""
    out = shutil.copytree(undisturbed, tmp_path / "out")
    (out / "jobs").mkdir()
    return out


def test_the_files_of_a_launch_stay_while_another_has_begun(finished):
    with turns.taken(finished / turns.LAUNCH, shared=True), turns.taken(finished / turns.LAUNCH, shared=True):
        command_line._remove_launch(finished)
        assert (finished / "jobs").exists()
    command_line._remove_launch(finished)
    assert not (finished / "jobs").exists()


def test_where_no_directory_can_be_made_nobody_waits_for_one(tmp_path, monkeypatch):
    """As below /proc, whose error is that of a directory which another process has just removed."""
    monkeypatch.setattr(type(tmp_path), "mkdir", lambda path, **options: path.joinpath("none").stat())
    with turns.taken(tmp_path / "new" / turns.LAUNCH, wait=False) as held:
        assert held and not (tmp_path / "new").exists()


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "nothing began"])
def test_who_begins_while_they_are_taken_away_waits(finished, complete, monkeypatch):
    if not complete:  # then the directory goes too, and with it the lock
        shutil.rmtree(finished)
        (finished / "jobs").mkdir(parents=True)
    rmtree, begins, begun = shutil.rmtree, threading.Event(), []

    def begin():
        begins.set()
        with turns.taken(finished / turns.LAUNCH, shared=True):
            begun.append((finished / "jobs").exists())
            (finished / "jobs").mkdir()

    other = threading.Thread(target=begin)

    def slow(*args, **options):
        other.start()
        begins.wait()
        other.join(0.2)
        assert not begun
        rmtree(*args, **options)

    monkeypatch.setattr(shutil, "rmtree", slow)
    command_line._remove_launch(finished)
    other.join()
    assert begun == [False] and (finished / "jobs").exists()


def run_again(directory):
    """In a thread, a process that goes on with a finished sweep; Hydra composes in one thread at a time."""
    thread = threading.Thread(target=shard.run_share, args=(config.read([f"resume={directory}"]),))
    thread.start()
    return thread


@pytest.fixture
def reported(monkeypatch):
    """Rows of each report that came to its end."""
    rows, real = [], report.report

    def recorded(directory):
        table, figures = real(directory)
        rows.append(table.num_rows)
        return table, figures

    monkeypatch.setattr(report, "report", recorded)
    return rows


def test_no_part_is_taken_away_while_a_report_is_made(finished, reported, monkeypatch):
    path = sorted((finished / "parts").glob("*.parquet"))[4]
    sound, cut = path.read_bytes(), path.read_bytes()[:-7]
    write = claim.write

    def slow(directory):
        if not reported:
            path.write_bytes(cut)
            other = run_again(finished)  # finds a part that is shorter than its journal says
            others.append(other)
            other.join(0.5)
            assert other.is_alive() and path.read_bytes() == cut
            path.write_bytes(sound)
        write(directory)

    others = []
    monkeypatch.setattr(claim, "write", slow)
    shard.run_share(config.read([f"resume={finished}"]))
    others[0].join()
    rows = engine.load(finished).num_rows
    assert reported == [rows, rows] and path.read_bytes() == sound


def test_of_two_that_finish_at_once_and_meet_damage_one_reports_on_the_whole(finished, reported):
    rows, path = engine.load(finished).num_rows, sorted((finished / "parts").glob("*.parquet"))[4]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4  # as long as before: found when its rows are read
    path.write_bytes(content)
    with turns.taken(finished / turns.REPORT):
        both = [run_again(finished), run_again(finished)]
        both[0].join(0.5)
        assert all(one.is_alive() for one in both)
    for one in both:
        one.join()
    assert set(reported) == {rows} and engine.load(finished).num_rows == rows
    assert (finished / report.PAGE).stat().st_mtime_ns > path.stat().st_mtime_ns
