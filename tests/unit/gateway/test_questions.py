from __future__ import annotations

import asyncio
from collections.abc import Sequence

from commander.errors import Unreachable
from commander.gateway.questions import AT_ONCE, MAX_JOINED, Questions


class Server:
    """Answers when told to; `asked` are the questions in their order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.error: Exception | None = None
        self._may_answer = asyncio.Event()

    async def ask(self, uids: tuple[str, ...]) -> dict[str, int]:
        """A record's value is the number of the question that it was asked for with."""
        self.asked.append(uids)
        number = len(self.asked)
        await self._may_answer.wait()
        if self.error is not None:
            raise self.error
        return dict.fromkeys(uids, number)

    def answer(self) -> None:
        """Answer everything from now on."""
        self._may_answer.set()


async def asking(
    questions: Questions[int], *many: Sequence[str]
) -> list[asyncio.Task[dict[str, int]]]:
    """Ask for all of them, one after the other, without waiting for answers."""
    tasks = []
    for uids in many:
        tasks.append(asyncio.ensure_future(questions.ask(uids)))
        await asyncio.sleep(0)
    return tasks


async def test_those_who_come_while_others_are_asked_for_are_joined() -> None:
    """The first go out at once; a hundred after them, of ten records, are one question."""
    server = Server()
    questions = Questions(server.ask)
    first = [(f"first{number}",) for number in range(AT_ONCE)]
    tasks = await asking(questions, *first, *[(f"r{number % 10}",) for number in range(100)])

    assert server.asked == first
    server.answer()
    answers = await asyncio.gather(*tasks)

    assert len(server.asked) == AT_ONCE + 1
    assert server.asked[-1] == tuple(f"r{number}" for number in range(10))
    assert all(answer[f"r{n % 10}"] == AT_ONCE + 1 for n, answer in enumerate(answers[AT_ONCE:]))


async def test_nobody_gets_an_answer_to_a_question_of_before() -> None:
    """The same record, asked for while it is on its way, is asked for again."""
    server = Server()
    questions = Questions(server.ask)
    tasks = await asking(questions, *[("r",)] * (AT_ONCE + 1))
    server.answer()

    answers = await asyncio.gather(*tasks)

    assert [answer["r"] for answer in answers] == list(range(1, AT_ONCE + 2))


async def test_a_joined_question_is_bounded() -> None:
    """So that its answer is not larger than what the server gives; one asker's own is not split."""
    server = Server()
    questions = Questions(server.ask)
    many = tuple(f"m{number}" for number in range(3 * MAX_JOINED))
    busy = [(f"first{number}",) for number in range(AT_ONCE)]
    tasks = await asking(questions, *busy, *[(one,) for one in many], many)
    server.answer()
    await asyncio.gather(*tasks)

    assert [len(uids) for uids in server.asked[AT_ONCE:]] == [MAX_JOINED] * 3 + [len(many)]


async def test_a_failure_is_told_to_all_who_asked_and_nothing_stays_behind() -> None:
    """The next question goes out as if nothing had happened."""
    server = Server()
    server.error = Unreachable("away")
    questions = Questions(server.ask)
    tasks = await asking(questions, *[("r",)] * (AT_ONCE + 5))
    server.answer()

    failed = await asyncio.gather(*tasks, return_exceptions=True)
    server.error = None

    assert all(isinstance(one, Unreachable) for one in failed)
    assert await questions.ask(("r",)) == {"r": len(server.asked)}


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    """Of those who wait for one question the first is cancelled."""
    server = Server()
    questions = Questions(server.ask)
    tasks = await asking(questions, *[(f"r{number}",) for number in range(AT_ONCE + 2)])
    tasks[0].cancel()
    tasks[AT_ONCE].cancel()
    server.answer()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(answer, dict) for answer in answers] == [False] + [True] * (AT_ONCE - 1) + [
        False,
        True,
    ]
