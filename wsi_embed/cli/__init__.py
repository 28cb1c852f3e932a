"""Command line: thin commands that parse, call one function, and map errors to exit codes."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from wsi_embed.cli import (
    bench,
    cluster,
    compare,
    convert,
    doctor,
    embed,
    eval,
    export,
    finalize,
    info,
    plot,
    predict,
    tile,
    train,
    verify,
    view,
)
from wsi_embed.cli.command import Command, Group
from wsi_embed.cli.dead_threads import end_with_dead_threads
from wsi_embed.cli.lasting_output import LastingOutput, discard
from wsi_embed.cli.least_memory import check_memory
from wsi_embed.cli.lines import echo, say_error
from wsi_embed.cli.wording import errors_in_flags, use_flags_of
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.cpu import limit_library_threads
from wsi_embed.util.limits import limit_error
from wsi_embed.util.memory import use_one_pool

app = typer.Typer(
    name="wsi-embed",
    cls=Group,
    help="Whole-slide images to tile embeddings and cluster assignments.\n\n"
    "`wsi-embed SLIDES... --out STORE` is short for `wsi-embed embed SLIDES... --out STORE`.",
    epilog="Every option of embed and tile can also be set as WSI_EMBED_<OPTION>, "
    "WSI_EMBED_MIN_TISSUE for example.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "embed": embed.command,
    "tile": tile.command,
    "info": info.command,
    "verify": verify.command,
    "cluster": cluster.command,
    "finalize": finalize.command,
    "plot": plot.command,
    "view": view.command,
    "doctor": doctor.command,
    "bench": bench.command,
    "train": train.command,
    "export": export.command,
    "compare": compare.command,
    "convert": convert.command,
    "predict": predict.command,
}
GROUPS: dict[str, typer.Typer] = {"eval": eval.app}
NAMES = (*COMMANDS, *GROUPS)
# Options without a command.
ALONE = ("-h", "--help", "--version", "--install-completion", "--show-completion")
# Commands that go on when their output cannot be written.
LASTING = ("embed", "tile", "train")
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)
use_flags_of(app)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    if version:
        from wsi_embed import __version__

        echo(f"wsi-embed {__version__}")
        raise typer.Exit


def with_default_command(args: Sequence[str]) -> list[str]:
    """Insert `embed` before arguments that do not name a command; `help COMMAND` is `COMMAND --help`.

    Raises:
        UsageError: If an argument is empty, or the first one looks like a mistyped command.
    """
    _check_filled(args)
    if args and args[0] == "help" and not Path("help").exists():
        return [*args[1:], "--help"]
    if not args or args[0] in NAMES or args[0] in ALONE:
        return list(args)
    first = args[0]
    looks_typed = not first.startswith("-") and not set(first) & set("/.\\")
    if looks_typed and not Path(first).exists() and (close := difflib.get_close_matches(first, NAMES, n=1)):
        raise UsageError(f"no command and no file is called {first!r}; did you mean `wsi-embed {close[0]}`?")
    return ["embed", *args]


def _check_filled(args: Sequence[str]) -> None:
    """Check that no argument is empty: an unset variable would otherwise mean the current folder.

    Raises:
        UsageError: If one is.
    """
    for before, argument in zip(("", *args), args, strict=False):
        name, _, value = argument.partition("=")
        if not argument or (name.startswith("--") and "=" in argument and not value):
            place = name or (before if before.startswith("-") else None)
            raise UsageError("an argument is empty", where=place, remedy="is a variable unset?")


def _wants_json() -> bool:
    """Return whether errors are logged as JSON lines, even if parsing the arguments failed."""
    return "--log-json" in sys.argv or os.environ.get("WSI_EMBED_LOG_JSON", "").lower() in (
        "1",
        "true",
        "yes",
    )


@contextlib.contextmanager
def _limits_named() -> Iterator[None]:
    """Raise a limit on threads or memory that was met as a user error."""
    try:
        yield
    except (RuntimeError, MemoryError, ImportError, OSError) as error:
        limit = limit_error(error)
        if limit is None:
            raise
        # threads of libraries that were not started cannot be ended either, and Python would tell
        sys.unraisablehook = lambda _: None
        warnings.simplefilter("ignore")
        with errors_in_flags():
            raise limit from error


def main() -> None:
    """Run the command line; user errors are printed as one line, bugs with their traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _limits_named():
            end_with_dead_threads()
            use_one_pool()
            limit_library_threads()
            arguments = with_default_command(sys.argv[1:])
            check_memory(arguments)
            if arguments and arguments[0] in LASTING:
                sys.stdout = LastingOutput(sys.stdout)  # has what is used of a stream
            app(arguments, prog_name="wsi-embed")
    except WsiEmbedError as error:
        if _wants_json():
            from wsi_embed.cli.log import log_error  # loads what a job needs

            log_error(error, sys.argv[1:])
            sys.exit(error.exit_code)
        say_error(f"error: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # the reader of the pipe (head, less) has exited, which is no error
        discard(sys.stdout)
        sys.exit(0)
    finally:
        if isinstance(sys.stdout, LastingOutput):
            sys.stdout.flush()
