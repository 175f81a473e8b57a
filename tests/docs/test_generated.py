"""What documents repeat from the code is what the code says."""

import re

from tests.docs import generated, markdown


def test_generated_pages_when_compared_with_the_code_then_they_are_current() -> None:
    assert generated.stale() == [], "run `python -m tests.docs.generated`"


def test_states_when_drawn_then_every_move_and_every_end_is_in_the_drawing() -> None:
    drawing = (markdown.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    machines = (generated.run_moves(), generated.step_moves(), generated.attempt_moves())
    drawn = [
        set(re.findall(r"^    (\S+) --> (\w+)$", block.text, re.MULTILINE))
        for block in markdown.blocks(markdown.ROOT / "docs" / "architecture.md", "mermaid")
    ]

    moves = [{(source, target) for source, targets in each.items() for target in targets} for each in machines]

    assert [{pair for pair in each if pair[0] != "[*]"} for each in drawn] == moves
    assert drawing.count("stateDiagram-v2") == len(machines)


def test_settings_page_when_read_then_it_names_every_setting_once() -> None:
    import dataclasses

    from heddle.config import settings

    page = (markdown.ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)

    assert named == [field.name for field in dataclasses.fields(settings.Settings)]
