from __future__ import annotations

from commander.plugin.command import Arguments
from commander.plugin.context import Context


async def run_files(context: Context, arguments: Arguments) -> None:
    """Run files in order; the first error ends it."""
    for path in arguments.texts("file"):
        await context.shell.run_file(
            path,
            keep_going=arguments.flag("keep_going"),
            dry_run=arguments.flag("dry_run"),
            trust_file=arguments.flag("trust_file"),
            format=arguments.format,
        )
