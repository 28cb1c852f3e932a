"""The runner of `benchmarks/gpu.sh`, with small real commands: failures, limits, going on, and tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gpu_rows import DRY, Row, Sizes, last_lines, lines_of, make_rows, numbers, tables
from benchmarks.gpu_run import REPO, main, read_results, run_rows

SAY = "import sys; open(sys.argv[1], 'a').write('x'); print('| a |\\n|---|\\n| 1 |')"


def row(name: str, code: str, *arguments: object, limit: float = 60, gpus: int = 0) -> Row:
    command = (sys.executable, "-c", code, *map(str, arguments))
    return Row(name, f"row {name}", command, limit, tables, gpus)


def test_a_row_that_fails_stops_nothing(tmp_path: Path) -> None:
    rows = [
        row("bad", "print('begun'); raise SystemExit('no such slide')"),
        row("none", "x"),
        row("good", SAY, tmp_path / "x"),
        row("gpu", SAY, tmp_path / "y", gpus=2),
        Row("lost", "no program", ("/nowhere/python",), 60, tables, 0),
        Row("odd", "no JSON", (sys.executable, "-c", "print('nothing')"), 60, numbers("rate"), 0),
    ]
    found = run_rows(rows, tmp_path, 60, gpus=1)
    assert {name for name, result in found.items() if result.status == "failed"} == {
        "bad",
        "none",
        "lost",
        "odd",
    }
    assert (found["good"].status, found["gpu"].status) == ("done", "left out")
    assert found["bad"].lines == ["begun", "no such slide"]
    assert "NameError" in found["none"].lines[-1]
    assert found["good"].lines == ["| a |", "|---|", "| 1 |"]
    assert found["gpu"].lines == ["needs 2 GPUs, and PyTorch sees 1"]
    assert "no result in the output" in found["odd"].lines[0]
    assert not (tmp_path / "y").exists()
    assert read_results(tmp_path) == found
    document = json.loads((tmp_path / "results.json").read_text())
    assert list(document["rows"]) == [each.name for each in rows]
    text = (tmp_path / "results.md").read_text()
    assert "| good | row good | done |" in text
    assert "| bad | row bad | failed |" in text
    assert "### good: row good\n\n    python -c " in text
    assert " out/x\n" in text
    assert str(tmp_path) not in text
    assert "\n| a |\n|---|\n| 1 |\n" in text
    assert (tmp_path / "logs" / "bad.txt").read_text() == "begun\nno such slide\n"


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    mark = tmp_path / "x"
    mend = tmp_path / "mended"
    fails = f"import pathlib, sys; sys.exit(not pathlib.Path({str(mend)!r}).exists())"
    rows = [row("a", SAY, mark), row("b", fails)]
    assert run_rows(rows, tmp_path, 60, 0)["b"].status == "failed"
    mend.write_text("")
    assert run_rows(rows, tmp_path, 60, 0)["b"].status == "done"
    assert mark.read_text() == "x"
    other = row("a", SAY + ";pass", mark)  # another command is another measurement
    assert list(run_rows([other], tmp_path, 60, 0)) == ["a", "b"]
    assert mark.read_text() == "xx"


def test_what_an_earlier_try_left_is_removed(tmp_path: Path) -> None:
    made = tmp_path / "run"
    code = "import os, sys; os.mkdir(sys.argv[1]); sys.exit(len(sys.argv) > 2)"
    for argument, status in ((["fail"], "failed"), ([], "done")):
        each = replace(row("run", code, made, *argument), makes=made, shown=last_lines)
        assert run_rows([each], tmp_path, 60, 0)["run"].status == status


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_row_that_takes_too_long_ends_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; print('begun', flush=True); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(60)"
    )
    rows = [row("slow", code, tmp_path / "pid", limit=3), row("next", SAY, tmp_path / "x")]
    began = time.monotonic()
    found = run_rows(rows, tmp_path, 60, 0)
    assert time.monotonic() - began < 30
    assert (found["slow"].status, found["slow"].lines) == ("timed out", ["begun"])
    assert found["next"].status == "done"
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_command_of_a_row_ends_with_the_runner(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks import gpu_run, gpu_rows; "
        "gpu_run.end_with_row(); "
        "sleep = 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getpid())); time.sleep(60)'; "
        "row = gpu_rows.Row('a', 'a', (sys.executable, '-c', sleep, sys.argv[1]), 60, gpu_rows.tables, 0); "
        "gpu_run.run_rows([row], Path(sys.argv[2]), 60, 0)"
    )
    pid = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, pid, tmp_path / "out"], cwd=REPO) as runner:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
        runner.terminate()
        assert runner.wait(30) == 1
    assert ended(int(pid.read_text()))


def ended(pid: int) -> bool:
    """Whether a process ends soon; one without a parent is collected by another process."""
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_rows_beyond_the_time_of_all_are_left_for_the_next_call(tmp_path: Path) -> None:
    rows = [row("a", "import time; time.sleep(30)"), row("b", SAY, tmp_path / "x")]
    found = run_rows(rows, tmp_path, 1, 0)
    assert [found[name].status for name in "ab"] == ["timed out", "left out"]
    assert found["b"].lines == ["no time left; run the command again"]


def test_results_of_outputs() -> None:
    output = 'warning\n{"rate": 3.5, "device": "cuda:0"}\n'
    assert numbers("device", "rate")(output) == ["device: cuda:0", "rate: 3.5"]
    assert lines_of(r"images/s")("x\n12 images/s\n") == ["12 images/s"]
    assert last_lines("1\n2\n3\n4\n") == ["2", "3", "4"]


@pytest.mark.parametrize(("sizes", "dry"), [(Sizes(), False), (DRY, True)])
def test_commands_are_files_and_commands_of_the_repository(tmp_path: Path, sizes: Sizes, dry: bool) -> None:
    folder = tmp_path / "with space"
    rows = make_rows(folder, sizes, dry=dry)
    assert len({each.name for each in rows}) == len(rows)
    for each in rows:
        words = each.command[1:]
        assert (REPO / words[0]).is_file() or words[:2] in (("-m", "wsi_embed"), ("-m", "pytest"))
        assert not any(word.startswith("space") for word in words)
        assert ("cuda" in words) <= (not dry)
    assert {each.gpus for each in rows} == ({0} if dry else {0, 1, 2})


def test_the_script_runs_chosen_rows_and_refuses_unknown_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--rows", "bench-fp61"])
    assert "unknown: bench-fp61; rows are slide, models, " in capsys.readouterr().err
    script = REPO / "benchmarks" / "gpu.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [str(script), str(tmp_path / "o ut"), "--dry", "--rows", "slide"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "slide: slide of real tissue"
    assert (tmp_path / "o ut" / "work" / "slide4000.tif").is_file()
    assert subprocess.run([script], capture_output=True, text=True, check=False).returncode == 2
