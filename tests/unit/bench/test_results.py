"""Tables, headline and pictures of what was measured."""

import pathlib
import uuid
from xml.etree import ElementTree

import pytest

from bench import figures, fill, plots, soak, svg
from bench.figures import Summary, Unit
from bench.peers import contenders, tables

SVG = "{http://www.w3.org/2000/svg}"


def _summary(name: str, *values: float) -> Summary:
    return Summary(name=name, unit=Unit.PER_S, values=values)


def test_headline_then_it_has_the_fixed_keys_of_what_was_measured_and_no_other() -> None:
    taken = [_summary("noop_steps_per_s", 1, 2, 3), _summary("noop_steps_ratio", 0.5), _summary("other", 9)]

    assert figures.headline(taken) == {"noop_steps_per_s": 2, "ratio_to_pure_sql": 0.5}


def test_comparison_then_the_fastest_is_first_and_careful_settings_have_a_row_of_their_own() -> None:
    taken = [
        _summary("slow.noop.per_s", 10, 30, 20),
        _summary("fast.noop.per_s", 100),
        _summary("slow.kill.lost", 3),
        _summary("slow.kill_careful.lost", 0),
    ]

    rows = [line for line in tables.every(taken).splitlines() if line.startswith(("| slow", "| fast"))]

    assert [row.split(" | ")[:2] for row in rows] == [
        ["| fast", "100"],
        ["| slow", "20.0 (10.0 to 30.0)"],
        ["| slow, careful settings", "0"],
        ["| slow", "3"],
    ]


def test_bars_then_it_is_a_picture_that_tells_its_values_to_a_screen_reader() -> None:
    rows = [svg.Bar(label="a & b", value=2_000, low=1_500, high=2_200), svg.Bar(label="c", value=0, low=0, high=0)]

    root = ElementTree.fromstring(svg.bars(title="Jobs", note="a note", rows=rows))

    assert root.findtext(f"{SVG}desc") == "a & b 2,000; c 0"
    assert len(root.findall(f"{SVG}rect")) == 3


def test_lines_when_a_sample_is_missing_then_the_line_is_broken_there() -> None:
    text = svg.lines(
        title="t", note="n", x_title="minutes", xs=[1, 2, 3, 4], shaded=(2, 3),
        panels=[svg.Panel(title="p", ys=[1, None, 3, 4])],
    )  # fmt: skip

    path = ElementTree.fromstring(text).find(f"{SVG}path")

    assert path is not None
    assert path.attrib["d"].count("M") == 2
    assert path.attrib["d"].count("L") == 1


def test_plots_when_nothing_was_measured_then_the_status_says_so(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = plots.main(["--results", str(tmp_path), "--pictures", str(tmp_path)])

    assert status == 1
    assert "no document named peers" in capsys.readouterr().err


def test_copies_then_their_ids_are_of_version_7_in_the_template_s_millisecond_and_in_order() -> None:
    template = uuid.UUID("019a0000-1234-7abc-9def-0123456789ab")

    first, second = fill.copy_id(template, 1), fill.copy_id(template, 2)

    assert first < second
    assert first.int >> 80 == template.int >> 80
    assert (first.version, first.variant) == (7, uuid.RFC_4122)


def test_soak_when_memory_grows_then_the_slope_is_told_an_hour() -> None:
    series: dict[str, list[float | None]] = {
        "at_s": [0, 360, 720, 1_080, 1_440],
        "steps": [0, 10, 20, 30, 40],
        "steps_per_s": [1, 1, 1, 1, 1],
        "hot_mib": [5, 4, 4, 4, 8],
        "connections": [9, 9, 9, 9, 9],
        "worker_1_mib": [50, 100, 101, 102, 103],
    }

    found = {figure.name: figure.value for figure in soak.summed(series)}

    assert found["worker_resident_mib_per_hour"] == pytest.approx(10)
    assert found["hot_ratio"] == 2
    assert found["connections_per_hour"] == 0


def test_contenders_then_each_takes_part_in_every_workload_with_a_command_for_it() -> None:
    for contender in contenders.everyone().values():
        assert contender.counts.keys() == contender.commands.keys() == set(contenders.Workload)
