"""`audit verify`: every chain against its producer's key, and against the last check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from commander.audit.chain import ChainHead, Entry
from commander.audit.verify import Finding, Problem, verify
from commander.authority.decide import Action
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Exited, Plain, Result
from commander.vault.session import Vault
from plugins.audit.heads import read_heads, write_heads
from plugins.audit.reading import producer_key, producer_name, read_log
from plugins.pam.gateway.known import list_gateways

# Longer logs are checked in parts, each starting where the part before ended.
PART = 100_000
SHOWN_PROBLEMS = 200


@dataclass
class Check:
    """
    A check in progress: `heads` where each chain ends, `unreadable` positions of broken entries.

    `pinned` are the heads of the last check; `met` those of them that were seen again.
    """

    pinned: Mapping[str, ChainHead]
    heads: dict[str, ChainHead] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    met: dict[str, ChainHead] = field(default_factory=dict)
    entries: int = 0

    def take(self, vault: Vault, part: list[Entry]) -> None:
        """Check the next entries in stored order."""
        producers = {entry.producer for entry in part}
        keys = {uid: key for uid in producers if (key := producer_key(vault, uid)) is not None}
        verdict = verify(part, keys, start=self.heads)
        self.problems += verdict.problems
        self.heads |= verdict.heads
        self.entries += verdict.entries
        for entry in part:
            pinned = self.pinned.get(entry.producer)
            if pinned is not None and entry.sequence == pinned.sequence:
                self.met[entry.producer] = ChainHead.after(entry)

    def finish(self) -> None:
        """Compare with the last check: a head that is gone was cut off, another one is a fork."""
        for producer, pinned in self.pinned.items():
            end = self.heads.get(producer, ChainHead()).sequence
            met = self.met.get(producer)
            if end < pinned.sequence:
                self.problems.append(Problem(producer, end + 1, pinned.sequence, Finding.TRUNCATED))
            elif met is not None and met != pinned:
                self.problems.append(
                    Problem(producer, pinned.sequence, pinned.sequence, Finding.FORKED)
                )
        self.problems.sort()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not self.unreadable


async def audit_verify(context: Context, arguments: Arguments) -> Result:
    """Check everything; remember the heads when all is well."""
    vault, home = context.vault, context.paths.home
    await vault.refresh()
    vault.require(Action.ADMINISTER)
    server = vault.login.device.server.server
    check = Check(read_heads(home, server))
    part: list[Entry] = []
    async for page in read_log(vault):
        check.unreadable += [stored.position for stored in page if stored.entry is None]
        part += [stored.entry for stored in page if stored.entry is not None]
        context.console.progress(f"{check.entries + len(part)} events")
        if len(part) >= PART:
            check.take(vault, part)
            part = []
    check.take(vault, part)
    check.finish()
    names = {gateway.uid: gateway.name for gateway in await list_gateways(context) if gateway.uid}
    document = _document(vault, check, names)
    if not check.is_sound:
        return Exited(1, document)
    write_heads(home, server, check.heads)
    return document


def _document(vault: Vault, check: Check, gateways: dict[str, str]) -> Document:
    producers: list[dict[str, Plain]] = [
        {
            "producer_uid": uid,
            "producer": producer_name(vault, uid, gateways),
            "last_sequence": check.heads[uid].sequence,
            "head": check.heads[uid].hash.hex(),
            "problems": sum(problem.producer == uid for problem in check.problems),
        }
        for uid in sorted(check.heads)
    ]
    problems: list[dict[str, Plain]] = [
        {
            "producer_uid": problem.producer,
            "producer": producer_name(vault, problem.producer, gateways),
            "finding": str(problem.finding),
            "first_sequence": problem.first,
            "last_sequence": problem.last,
        }
        for problem in check.problems
    ]
    values: dict[str, Plain] = {
        "sound": check.is_sound,
        "entries": check.entries,
        "producers": producers,
        "problems": problems,
        "unreadable_positions": list(check.unreadable),
    }
    return Document(values, text="\n".join(_lines(check, producers, problems)))


def _lines(
    check: Check, producers: list[dict[str, Plain]], problems: list[dict[str, Plain]]
) -> list[str]:
    if check.is_sound:
        lines = [f"The audit log is whole: {check.entries} events of {len(producers)} producers."]
    else:
        count = len(problems) + len(check.unreadable)
        lines = [f"THE AUDIT LOG IS NOT WHOLE: {count} findings in {check.entries} events."]
    for problem in problems[:SHOWN_PROBLEMS]:
        first, last = problem["first_sequence"], problem["last_sequence"]
        numbers = f"{first}" if first == last else f"{first} to {last}"
        lines.append(f"  {problem['producer']}: {numbers} {problem['finding']}")
    for position in check.unreadable[:SHOWN_PROBLEMS]:
        lines.append(f"  position {position} unreadable")
    if len(problems) > SHOWN_PROBLEMS or len(check.unreadable) > SHOWN_PROBLEMS:
        lines.append("  ... --format json gives all")
    lines += [
        f"  {item['producer']}: ends at {item['last_sequence']}"
        for item in producers
        if not item["problems"]
    ]
    return lines
