"""The tables of ``lading image sign``, ``verify``, ``keys`` and ``trust``."""

from __future__ import annotations

from lading.cli.tables import INSECURE, LIST_FORMAT
from lading.flags import Command, Flag

_KEYLESS = "keyless signing is not supported (certificates, transparency logs and their services): use --key"
_ANNOTATIONS = ("annotation", "a", "list", "NAME=VALUE")
_OUTPUT = Flag(
    "output-prefix",
    "",
    "str",
    "PATH",
    "Write PATH.key and PATH.pub, which must not be there",
    default="lading",
)


def _keyless(*names: str) -> list[Flag]:
    return [Flag(name, "", "str", refuse=_KEYLESS) for name in names]


def _where() -> list[Flag]:
    return [
        Flag("local", "", "bool", help="The image in the store, or none"),
        Flag("remote", "", "bool", help="The image at its registry, even if one of this name is here"),
        INSECURE,
        Flag("tls-verify", "", "bool", help="Verify the registry", default=True, hidden=True),
        Flag("creds", "", "str", "USER[:PASSWORD]", "Credentials for this once"),
    ]


def sign() -> list[Flag]:
    """``lading image sign``."""
    return [
        Flag("key", "", "str", "FILE", "The private key, as `lading image keys generate` and cosign make it"),
        Flag(*_ANNOTATIONS, "Sign this too"),
        Flag("recursive", "r", "bool", help="Of an image for several platforms, sign each of them too"),
        Flag(
            "identity",
            "",
            "str",
            "NAME",
            "The name that the signature says (default: the image's)",
            aliases=("sign-identity", "sign-container-identity"),
        ),
        Flag(
            "form",
            "",
            "str",
            "FORM",
            "tag: cosign's, read by all; referrer: the same beside the image (OCI 1.1); bundle: cosign 3's",
            default="tag",
            choices=("tag", "referrer", "bundle"),
        ),
        Flag("push", "", "bool", help="Send the signature of an image in the store to its registry as well"),
        Flag("quiet", "q", "bool", help="Print only what was signed"),
        *_where(),
        *_keyless(
            "fulcio-url", "rekor-url", "identity-token", "oidc-issuer", "oidc-client-id", "signing-config"
        ),
        *_keyless("certificate", "certificate-chain", "timestamp-server-url", "issue-certificate"),
        Flag("tlog-upload", "", "bool", hidden=True, refuse=_KEYLESS),
        Flag("sk", "", "bool", refuse="hardware keys are not supported: use --key FILE"),
        Flag("attachment", "", "str", refuse="attachments are not supported: sign the image itself"),
    ]


def verify() -> list[Flag]:
    """``lading image verify``."""
    return [
        Flag("key", "", "list", "FILE", "A public key; a signature of any of them counts"),
        Flag(*_ANNOTATIONS, "Demand that this was signed too"),
        Flag(
            "identity",
            "",
            "str",
            "NAME",
            "Demand a signature for this name instead of the image's repository",
        ),
        Flag("policy", "", "bool", help="Ask what the policy for images asks, instead of --key"),
        Flag("format", "", "str", "FORMAT", "json: what was signed; or Python format fields such as '{key}'"),
        Flag("quiet", "q", "bool", help="Print nothing, the exit status tells"),
        *_where(),
        *_keyless("certificate", "certificate-identity", "certificate-identity-regexp", "certificate-chain"),
        *_keyless("certificate-oidc-issuer", "certificate-oidc-issuer-regexp", "rekor-url", "trusted-root"),
        Flag(
            "insecure-ignore-tlog",
            "",
            "bool",
            help="Nothing but keys is ever looked at, so this is always so",
            hidden=True,
        ),
        Flag("sk", "", "bool", refuse="hardware keys are not supported: use --key FILE"),
        Flag("attachment", "", "str", refuse="attachments are not supported: verify the image itself"),
    ]


def keys() -> list[Command]:
    """The verbs of ``lading image keys``."""
    return [
        Command(
            "generate",
            "Make a key pair",
            flags=[
                _OUTPUT,
                Flag(
                    "type",
                    "t",
                    "str",
                    "TYPE",
                    "What kind of key; the default is what every reader of cosign's signatures knows",
                    default="ecdsa-p256",
                    choices=(
                        "ecdsa-p256",
                        "ecdsa-p384",
                        "ecdsa-p521",
                        "rsa-2048",
                        "rsa-3072",
                        "rsa-4096",
                        "ed25519",
                    ),
                ),
            ],
            action="lading.cli.signingkeys:generate",
            description="The password is asked for, or is what COSIGN_PASSWORD holds (which may be empty).",
        ),
        Command(
            "import",
            "Make a key pair of another tool's private key",
            flags=[Flag("key", "k", "str", "FILE", "The key: PKCS #8, PKCS #1 or SEC 1 in PEM"), _OUTPUT],
            action="lading.cli.signingkeys:import_",
        ),
        Command(
            "public",
            "Print the public key of a key file",
            "FILE",
            action="lading.cli.signingkeys:public",
        ),
    ]


def trust() -> list[Command]:
    """The verbs of ``lading image trust``."""
    transport = Flag(
        "transport",
        "",
        "str",
        "NAME",
        "Where images come from: docker (registries), oci, oci-archive, docker-archive …",
        default="docker",
    )
    return [
        Command(
            "show",
            "Show which images are accepted, and whose signatures they need",
            "[NAME]",
            flags=[
                LIST_FORMAT,
                Flag("raw", "", "bool", help="Print the policy file"),
                Flag("json", "j", "bool", help="As --format json", hidden=True),
            ],
            action="lading.cli.signingtrust:show",
            description="With NAME, an image's name: only what counts for it.",
        ),
        Command(
            "set",
            "Say what is asked of images",
            "SCOPE",
            flags=[
                Flag(
                    "type",
                    "t",
                    "str",
                    "TYPE",
                    "accept, reject or sigstoreSigned",
                    default="sigstoreSigned",
                ),
                Flag(
                    "key",
                    "f",
                    "list",
                    "FILE",
                    "A public key; a signature of any of them counts",
                    aliases=("pubkeysfile",),
                ),
                Flag(
                    "match",
                    "",
                    "str",
                    "RULE",
                    "How the name in the signature must match the image's; matchRepository for signatures of cosign",
                    default="matchRepoDigestOrExact",
                    choices=("matchExact", "matchRepoDigestOrExact", "matchRepository"),
                ),
                transport,
            ],
            action="lading.cli.signingtrust:set_",
            description="SCOPE is HOST[/PATH[:TAG]], *.DOMAIN, or default for all that no scope speaks of.",
        ),
        Command(
            "remove",
            "Take back what was asked of a scope",
            "SCOPE...",
            flags=[transport],
            action="lading.cli.signingtrust:remove",
            aliases=("rm",),
        ),
    ]
