from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from commander.tasks import cancel_and_wait, spawn


async def test_task_is_named_and_gives_its_result() -> None:
    """The caller may await it like any task."""

    async def work() -> int:
        return 7

    task = spawn(work(), name="seven")

    assert task.get_name() == "seven"
    assert await task == 7


async def test_task_is_kept_alive_without_a_reference() -> None:
    """Nobody needs to hold a background task for it to finish."""
    done = asyncio.Event()
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    reference = weakref.ref(spawn(work(), name="lonely"))
    await asyncio.sleep(0)
    gc.collect()
    assert reference() is not None

    go.set()

    await asyncio.wait_for(done.wait(), 10)


async def test_failure_is_logged_by_type_and_still_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log names task and type; the text of the error, which may quote a peer, is no message."""
    caplog.set_level(logging.DEBUG, logger="commander.tasks")

    async def work() -> None:
        raise RuntimeError("secret words")

    with pytest.raises(RuntimeError, match="secret words"):
        await spawn(work(), name="faulty")
    await asyncio.sleep(0)

    (record,) = caplog.records
    assert record.getMessage() == "task faulty ended with RuntimeError"


async def test_cancel_and_wait_returns_when_all_have_ended() -> None:
    """Their clean-up has run, finished and missing tasks do not matter, and it can be repeated."""
    cleaned: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(name)

    async def quick() -> None:
        return

    tasks = [spawn(work(name), name=name) for name in ("a", "b")]
    finished = spawn(quick(), name="quick")
    await finished
    await asyncio.sleep(0)

    await cancel_and_wait(*tasks, finished, None)
    await cancel_and_wait(*tasks)
    await cancel_and_wait()

    assert sorted(cleaned) == ["a", "b"]
    assert all(task.cancelled() for task in tasks)


async def test_error_while_cancelling_does_not_reach_the_canceller() -> None:
    """A task that fails in its clean-up is that task's matter."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("clean-up failed")

    task = spawn(work(), name="faulty")
    await asyncio.sleep(0)

    await cancel_and_wait(task)

    assert isinstance(task.exception(), RuntimeError)


async def test_own_cancellation_goes_through() -> None:
    """Who is cancelled while waiting is cancelled, not held up."""
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    inner = spawn(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    waiting = spawn(cancel_and_wait(inner), name="waiting")
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting

    release.set()
    await inner
