"""What a twin of ComfyUI keeps in memory has an end, by files and by bytes."""

from heddle.twins.comfyui import queue


def test_files_when_there_are_too_many_bytes_then_the_oldest_go() -> None:
    kept = queue.Queue(now_s=lambda: 0.0)
    third = bytes(queue.FILES_BYTES_MAX // 3)

    for name in ("a", "b", "c", "d", "d"):
        kept.store(kind="input", subfolder="", filename=name, data=third)

    assert [name for _, _, name in kept.files] == ["b", "c", "d"]
