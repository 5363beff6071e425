"""Commands about who may do what: accounts, tokens, keys."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dicomweb_box import settings
from dicomweb_box.cli.grammar import Parser, command, scope_flags, scope_of
from dicomweb_box.cli.running import FAILED, existing, print_json, run
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.box import Box


def user_add(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make an account; print its password where none was given."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    password = _password_given(asked)
    made = run(
        chosen,
        lambda box: users.add(
            box,
            asked["name"],
            role=asked["as_role"],
            full_name=asked["full_name"],
            scope=scope_of(asked),
            password=password,
            must_change=password is None,
            actor=SYSTEM,
        ),
    )
    if password is None:
        print(made)
    return 0


def user_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the accounts."""
    from dicomweb_box.accounts import users

    found = run(existing(chosen), users.every)
    if asked["json"]:
        print_json([asdict(one) for one in found])
        return 0
    for one in found:
        print(f"{one.name}: {one.role}{', disabled' if one.disabled else ''}")
    return 0


def user_disable(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Let an account log in no more, or again."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    disabled = not asked["enable"]
    run(
        existing(chosen),
        lambda box: users.set_disabled(box, asked["name"], disabled=disabled, actor=SYSTEM),
    )
    return 0


def user_passwd(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Give an account a password; print it where none was given."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    password = _password_given(asked)
    given = run(
        existing(chosen),
        lambda box: users.set_password(
            box, asked["name"], password, must_change=password is None, actor=SYSTEM
        ),
    )
    if password is None:
        print(given)
    return 0


def user_reset_factor(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Take the second factor off an account, and end its log-ins."""
    from dicomweb_box.accounts import second_factor
    from dicomweb_box.accounts.access import SYSTEM

    run(existing(chosen), lambda box: second_factor.reset(box, asked["name"], actor=SYSTEM))
    return 0


def token_create(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a token; print its secret, which is told nowhere else."""
    from dicomweb_box.accounts import tokens
    from dicomweb_box.accounts.access import SYSTEM

    rights = [name.strip() for name in asked["rights"].split(",") if name.strip()]
    _, secret = run(
        chosen,
        lambda box: tokens.create(
            box,
            asked["name"],
            rights=rights,
            actor=SYSTEM,
            expires=tokens.life(asked["expires"]) if asked["expires"] else None,
            scope=scope_of(asked),
            peer=asked["peer"],
        ),
    )
    print(secret)
    return 0


def token_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the tokens, never their secrets."""
    from dicomweb_box.accounts import tokens

    found = run(existing(chosen), tokens.every)
    if asked["json"]:
        print_json([asdict(one) for one in found])
        return 0
    for one in found:
        state = "revoked" if one.revoked_at else f"until {one.ends_at}" if one.ends_at else "without end"
        print(f"{one.id} {one.name}: {','.join(one.rights)}, {state}, last used {one.used_at or 'never'}")
    return 0


def token_revoke(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Let a token be valid no more, by its name or key."""
    from dicomweb_box.accounts import tokens
    from dicomweb_box.accounts.access import SYSTEM

    async def job(box: "Box") -> None:
        meant = [
            one
            for one in await tokens.every(box)
            if asked["name"] in (one.name, one.id) and one.revoked_at is None
        ]
        if not meant:
            raise BadSetting("there is no valid token of this name")
        for one in meant:
            await tokens.revoke(box, one.id, actor=SYSTEM)

    run(existing(chosen), job)
    return 0


def key_rotate(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a new master key and seal everything with it anew."""
    from dicomweb_box.accounts import key_rotation

    rotated = run(existing(chosen), key_rotation.rotate)
    print(f"{rotated.key} seals; sealed anew {rotated.sealed}")
    return 0


def key_check(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Say which master keys there are and what they seal; 1 if something cannot be unsealed."""
    from dicomweb_box.accounts import key_rotation

    report = run(existing(chosen), key_rotation.check)
    if asked["json"]:
        print_json(asdict(report))
    else:
        print(f"keys from {report.origin}")
        for key in report.keys:
            print(f"{key.id} seals {key.sealed}")
        print(f"lost {len(report.lost)}", *report.lost, sep="\n  ")
    return FAILED if report.lost else 0


def _password_given(asked: dict[str, Any]) -> str | None:
    if not asked["password_stdin"]:
        return None
    return sys.stdin.readline().rstrip("\r\n")


def grammar(commands: Any) -> None:
    """Add these commands."""
    _user_grammar(commands)
    _token_grammar(commands)
    _key_grammar(commands)


def _user_grammar(commands: Any) -> None:
    user = commands.add_parser("user", help="accounts of people")
    nested = user.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    one = command(nested, "add", user_add, "make one; prints its one-time password")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--role", dest="as_role", metavar="ROLE", required=True)
    one.add_argument("--full-name", default="", metavar="NAME")
    one.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    scope_flags(one)

    one = command(nested, "list", user_list, "print them")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = command(nested, "disable", user_disable, "let one log in no more")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--enable", action="store_true", help="let it log in again")

    one = command(nested, "passwd", user_passwd, "give one a password; prints a one-time password")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    one = command(nested, "reset-factor", user_reset_factor, "take the second factor off one")
    one.add_argument("name", metavar="NAME")


def _token_grammar(commands: Any) -> None:
    token = commands.add_parser("token", help="tokens for programs and peers")
    nested = token.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    one = command(nested, "create", token_create, "make one; prints its secret once")
    one.add_argument("--name", required=True)
    one.add_argument(
        "--scope", required=True, dest="rights", metavar="RIGHT,…", help="what it may do, as read,store"
    )
    one.add_argument("--peer", metavar="PEER", help="the peer that acts with it")
    one.add_argument("--expires", metavar="TIME", help="as 12h, 90d, 4w, 1y; never if not given")
    scope_flags(one)

    one = command(nested, "list", token_list, "print them, never their secrets")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = command(nested, "revoke", token_revoke, "let one be valid no more")
    one.add_argument("name", metavar="NAME|KEY")


def _key_grammar(commands: Any) -> None:
    key = commands.add_parser("key", help="master keys that seal secrets")
    nested = key.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    command(nested, "rotate", key_rotate, "make a new one and seal everything with it anew")
    one = command(nested, "check", key_check, "say which there are and what they seal, never themselves")
    one.add_argument("--json", action="store_true", help="print it as JSON")
