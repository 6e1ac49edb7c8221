"""The ``ugicm`` command: its subcommands, and what becomes of their errors.

Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ugicm_client.commands.analyze import analyze
from ugicm_client.commands.camera import camera
from ugicm_client.commands.decode import decode
from ugicm_client.commands.demo import demo
from ugicm_client.commands.encode import encode
from ugicm_client.commands.inspect import inspect
from ugicm_client.commands.models import models
from ugicm_client.commands.refused import refused
from ugicm_client.commands.reload import reload
from ugicm_client.commands.results import results
from ugicm_client.commands.serve import serve
from ugicm_client.commands.status import status
from ugicm_client.commands.token import token
from ugicm_client.commands.view import view
from ugicm_client.commands.watch import watch
from ugicm_client.commands.work import complain
from ugicm_client.errors import ClientError
from ugicm_codec.errors import CodecError
from ugicm_codec.memory import keep_freed_memory
from ugicm_servicekit.errors import ServicekitError

__all__ = ["cli", "main"]

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  ugicm encode photo.jpg                    photo.jpg -> photo.ugi
  ugicm decode photo.ugi --view machine     photo.ugi -> photo.machine.png
  ugicm demo                                the whole system, on this machine

Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.""",
)
@click.version_option(package_name="ugicm-client", prog_name="ugicm")
def cli() -> None:
    """One picture, one stream, two views: for people and for machines."""


for _command in (
    encode,
    decode,
    inspect,
    camera,
    view,
    analyze,
    watch,
    results,
    serve,
    demo,
    models,
    status,
    token,
    refused,
    reload,
):
    cli.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; errors become one line on standard error."""
    # gRPC's own log would add lines such as "Got goaway" to what the command says.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    keep_freed_memory()
    try:
        code = cli.main(argv, prog_name="ugicm", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "ugicm"
        click.echo(f"ugicm: {error.format_message()} ({path} --help tells more)", err=True)
        return BAD_USAGE
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has left. Without this, Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (CodecError, ClientError, ServicekitError, OSError) as error:
        complain(error)
        return FAILED
    return code if isinstance(code, int) else DONE
