"""The policy for images, managed: ``lading image trust``."""

from __future__ import annotations

import os
import sys

from lading.cli.output import listing
from lading.cli.output import show as write
from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats.signing import policy as policies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.signing.policy import Policy, Requirement

COLUMNS = (
    ("TRANSPORT", "transport"),
    ("SCOPE", "scope"),
    ("TYPE", "type"),
    ("KEYS", "keys"),
    ("NAME IN THE SIGNATURE", "identity"),
)
_TYPES = {
    "accept": policies.ACCEPT,
    "reject": policies.REJECT,
    policies.ACCEPT: policies.ACCEPT,
    policies.SIGSTORE: policies.SIGSTORE,
    policies.SIGNED_BY: policies.SIGNED_BY,
}
DEFAULT = "default"


def show(context: Context, parsed: Parsed) -> int:
    """Print the policy as a table, one row a requirement, or as it is."""
    from lading.formats.reference import Reference
    from lading.images.signing.policies import load

    path = context.roots.policy
    if not path:
        print("There is no policy for images: all are accepted", file=sys.stderr)
        return 0
    policy = load(path).policy
    if parsed["raw"]:
        from lading.formats import jsontext

        write(jsontext.dumps(policy.encode(), indent=2) + "\n")
        return 0
    if len(parsed.args) > 1:
        raise InvalidInput("one name at most")
    if parsed.args:
        rule = policy.for_name(Reference.parse(parsed.args[0]))
        transport, _, scope = rule.scope.partition(": ")
        rows = _rows("" if transport == DEFAULT else transport, scope or DEFAULT, rule.requirements)
    else:
        rows = _rows("", DEFAULT, policy.default)
        for transport, scopes in sorted(policy.transports.items()):
            for scope, requirements in sorted(scopes.items()):
                rows += _rows(transport, scope, requirements)
    listing(rows, COLUMNS, template="json" if parsed["json"] else parsed["format"])
    return 0


def _rows(transport: str, scope: str, requirements: list[Requirement]) -> list[dict[str, object]]:
    return [
        {
            "transport": transport or "all",
            "scope": scope or "(all)",
            "type": {policies.ACCEPT: "accept"}.get(r.kind, r.kind),
            "keys": ",".join([*r.paths, *("in the policy" for _ in r.data)]),
            "identity": " ".join(str(v) for v in r.identity.encode().values())
            if r.identity is not None
            else "",
            "unsupported": r.unsupported,
        }
        for r in requirements
    ]


def set_(context: Context, parsed: Parsed) -> int:
    """Write what is asked of a scope into the policy; its other scopes stay."""
    from lading.formats.signing.identity import MATCH_DIGEST_OR_EXACT
    from lading.images.signing.keyfiles import read_public

    kind = _TYPES.get(parsed["type"])
    if kind is None:
        raise InvalidInput(f"--type {parsed['type']!r}: accept, reject or sigstoreSigned")
    if kind == policies.SIGNED_BY:
        raise Unsupported(
            "OpenPGP signatures of images cannot be checked, so nothing could ever meet signedBy",
            hint="use sigstoreSigned",
        )
    value: dict[str, object] = {"type": kind}
    if kind == policies.SIGSTORE:
        if not parsed["key"]:
            raise InvalidInput("sigstoreSigned needs --key FILE, a public key")
        paths = [os.path.abspath(path) for path in parsed["key"]]
        for path in paths:
            read_public(path)
        value.update({"keyPath": paths[0]} if len(paths) == 1 else {"keyPaths": paths})
        if parsed["match"] != MATCH_DIGEST_OR_EXACT:
            value["signedIdentity"] = {"type": parsed["match"]}
    elif parsed["key"]:
        raise InvalidInput(f"--key is for sigstoreSigned, not for {parsed['type']}")
    transport, scope = _scope(parsed, parsed.args[0])
    made = policies.requirements([value], where=scope or transport)

    def edit(policy: Policy) -> None:
        if scope == DEFAULT:
            policy.default = made
        else:
            policy.transports.setdefault(transport, {})[scope] = made

    _change(context, edit)
    return 0


def remove(context: Context, parsed: Parsed) -> int:
    """Take scopes out of the policy."""
    wanted = [_scope(parsed, text) for text in parsed.args]

    def edit(policy: Policy) -> None:
        for transport, scope in wanted:
            if scope == DEFAULT:
                raise InvalidInput(
                    "the default cannot be removed", hint="`lading image trust set -t accept default`"
                )
            if policy.transports.get(transport, {}).pop(scope, None) is None:
                raise NotFound(
                    f"the policy says nothing of {transport}: {scope}", hint="`lading image trust show`"
                )

    _change(context, edit)
    return 0


def _scope(parsed: Parsed, text: str) -> tuple[str, str]:
    """Transport and scope; a name is made whole where it is certain what is meant."""
    from lading.formats.reference import Reference

    transport = parsed["transport"]
    if text == DEFAULT or transport != policies.DOCKER or not text or text.startswith("*."):
        return transport, text
    if "/" not in text:
        if "." in text or ":" in text or text == "localhost":
            return transport, text  # a host
        raise InvalidInput(
            f"scope {text!r}: write the whole name",
            hint=f"docker.io/library/{text}, or docker.io for all of that registry",
        )
    reference = Reference.parse(text, default_tag="")
    if reference.canonical != text:
        raise InvalidInput(f"scope {text!r}: write the whole name", hint=reference.canonical)
    return transport, text


def _change(context: Context, edit: Callable[[Policy], None]) -> None:
    from lading.images.signing import policies as files

    path = context.roots.config + "/policy.json"
    there = context.roots.policy
    if there and there != path:
        print(f"{path} takes the place of {there}, and begins as a copy of it", file=sys.stderr)
    files.change(path, edit, there)
