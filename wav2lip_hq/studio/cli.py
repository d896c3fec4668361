"""``wav2lip-hq studio``: start the web page, and who may use it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import importlib.util
import socket
import sys
from typing import Any

from .. import arguments
from ..errors import InputError, OptionError
from .choices import StudioOptions

NEEDED = ("starlette", "uvicorn")


def add_studio(commands: Any) -> None:
    """The command ``studio``."""
    one = commands.add_parser("studio", help="a web page on this machine: upload or record, dub, compare, download")
    arguments.option_arguments(one, StudioOptions)
    one.add_argument(
        "--share-with",
        nargs="+",
        default=[],
        metavar="NAME",
        help="let others use it from their machines, with accounts: those that are not there yet are made, and their "
        "passwords shown once; it then listens at 0.0.0.0 unless --host says otherwise",
    )
    one.add_argument("--accounts", action="store_true", help="list the accounts, and do nothing else")
    one.add_argument("--password", metavar="NAME", help="give an account a new password, and do nothing else")
    one.add_argument("--remove-account", metavar="NAME", help="remove an account, and do nothing else; files stay")


def studio(args: argparse.Namespace) -> int:
    """Run the command."""
    chosen = arguments.chosen_options(args, StudioOptions)
    if args.accounts or args.password or args.remove_account:
        return _accounts(args, chosen)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise OptionError(f"the studio needs {' and '.join(missing)}: pip install 'wav2lip-hq[studio]'")
    if bool(chosen.certificate) != bool(chosen.key):
        raise OptionError("--certificate and --key belong together")
    if args.share_with and args.host is None:
        chosen = dataclasses.replace(chosen, host="0.0.0.0")
    return _serve(chosen, args.share_with)


def _serve(chosen: StudioOptions, people: list[str]) -> int:
    import uvicorn

    from .accounts import Accounts, check_name
    from .app import build
    from .database import Database
    from .studio import Studio, folder

    shared = bool(people) or not chosen.local
    accounts = Accounts(Database(folder(chosen.folder)))
    for name in people:
        check_name(name)
    for name in [n for n in people if n not in accounts.names()]:
        print(f"account {name}: password {accounts.add(name)} (shown this once)", flush=True)
    listening = _listen(chosen)
    made = Studio(chosen, shared=shared)
    try:
        app = build(made)
        port = listening.getsockname()[1]
        host = "localhost" if chosen.host in ("0.0.0.0", "::") else chosen.host
        scheme = "https" if chosen.certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        print(f"the studio is at {scheme}://{shown}:{port}/ (Ctrl-C ends it)", flush=True)
        if shared:
            print(f"accounts: {', '.join(accounts.names())}; everybody sees only their own files", flush=True)
            if not chosen.certificate:
                print(
                    "warning: without --certificate and --key passwords and footage travel unencrypted, and browsers "
                    "give no microphone to pages from other machines",
                    file=sys.stderr,
                    flush=True,
                )
        else:
            print("only this machine can reach it; nothing is sent anywhere", flush=True)
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ssl_certfile=chosen.certificate or None,
            ssl_keyfile=chosen.key or None,
            timeout_graceful_shutdown=3,
        )
        with contextlib.suppress(KeyboardInterrupt):  # how it is ended
            uvicorn.Server(settings).run(sockets=[listening])
    finally:
        made.close()
        listening.close()
    return 0


def _listen(chosen: StudioOptions) -> socket.socket:
    """The port, so that one that is taken is one clear line. Raises OptionError."""
    try:
        family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((chosen.host, chosen.port))
        made.listen(100)  # whoever reads the address may ask at once
        return made
    except OSError as error:
        raise OptionError(
            f"{chosen.host}:{chosen.port} cannot be listened at ({error.strerror or error}); choose another --port"
        ) from error


def _accounts(args: argparse.Namespace, chosen: StudioOptions) -> int:
    from .accounts import Accounts
    from .database import Database
    from .studio import folder

    accounts = Accounts(Database(folder(chosen.folder)))
    if args.password:
        if args.password not in accounts.names():
            raise OptionError(f"there is no account '{args.password[:40]}'; make one with --share-with")
        accounts.add(args.password, _typed(args.password))
        print(f"account {args.password}: the password is changed, and sessions are ended")
    elif args.remove_account:
        accounts.remove(args.remove_account)
        print(f"account {args.remove_account} is removed")
    else:
        print("\n".join(accounts.names()) or "there are no accounts; --share-with makes them")
    return 0


def _typed(name: str) -> str:
    """A new password, asked for on a terminal, else the first line of stdin. Raises InputError."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass(f"new password of {name}: ")
    if getpass.getpass("again: ") != first:
        raise InputError("these are two different passwords; nothing was changed")
    return first
