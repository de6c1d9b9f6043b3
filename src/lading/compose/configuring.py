"""``lading compose config``: the file, checked, with everything filled in; or one thing of it."""

from __future__ import annotations

import sys

import yaml

from lading.compose import hashing, imaging, resources
from lading.compose.application import Application, with_needs
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.formats.compose import resolving, verbatim
from lading.formats.compose.document import Override
from lading.formats.compose.model import Project, Service
from lading.formats.compose.written import without_blanks, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def config(context: Context, parsed: Parsed) -> int:
    """Check and print. With one of --services, --images and their like only that."""
    app = Application(context, parsed)
    named = list(parsed.args)
    if parsed["environment"]:
        app.load(named)
        return _print(parsed, "".join(f"{k}={v}\n" for k, v in sorted(app.environ.items())))
    if parsed["variables"]:
        return _print(parsed, _variables(app, parsed["format"]))
    if parsed["no-interpolate"]:
        return _print(parsed, _verbatim(app, parsed))
    project = app.load(
        named,
        consistent=not parsed["no-consistency"],
        environments=not parsed["no-env-resolution"],
        normal=not parsed["no-normalize"],
        absolute=not parsed["no-path-resolution"],
    )
    if named:
        kept = with_needs(project, named)
        project.services = {name: service for name, service in project.services.items() if name in kept}
    if not app.globals["all-resources"]:
        resolving.prune(project)
    if parsed["quiet"]:
        return 0
    if parsed["resolve-image-digests"] or parsed["lock-image-digests"]:
        _pin(app, project)
    if parsed["lock-image-digests"]:
        project = Project(services={n: Service(image=s.image) for n, s in project.services.items()})
    text = _part(app, project, parsed, named)
    return _print(parsed, _whole(project, parsed) if text is None else text)


def _part(app: Application, project: Project, parsed: Parsed, named: list[str]) -> str | None:
    """What one of the flags asks for; None when none does."""
    lists = {
        "services": with_needs(project, named),
        "volumes": list(project.volumes),
        "networks": list(project.networks),
        "images": [imaging.name_of(project, name) for name in project.services],
        "models": [model.model for model in project.models.values()],
        "profiles": sorted({p for service in app.services.values() for p in service.profiles}),
    }
    for flag, names in lists.items():
        if parsed[flag]:
            return "".join(f"{name}\n" for name in names)
    if parsed["hash"]:
        wanted = list(project.services) if parsed["hash"] == "*" else parsed["hash"].split(",")
        files = resources.Files(app, project)
        lines = []
        for name in sorted(wanted):
            if name not in project.services:
                raise NotFound(f"--hash {name}: there is no such service", reason="no-service")
            lines.append(f"{name} {hashing.of(project, name, files)}\n")
        return "".join(lines)
    return None


def _pin(app: Application, project: Project) -> None:
    for name, service in project.services.items():
        called = imaging.name_of(project, name)
        image = imaging.is_here(app, project, name)
        if image is None:
            raise NotFound(f"services.{name}: the image {called} is not here", hint="lading compose pull")
        service.image = f"{called.partition('@')[0]}@{image.digest}"


def _whole(project: Project, parsed: Parsed) -> str:
    value = written(project, extended=parsed["format"] != "json")
    if not project.name:
        value.pop("name", None)
    if parsed["format"] != "json":
        without_blanks(value)
    services = value["services"]
    if parsed["format"] == "json" and isinstance(services, dict):
        for service in services.values():
            for field in ("command", "entrypoint"):
                service.setdefault(field, None)
            for field in ("pre_start", "post_start", "pre_stop"):
                for hook in service.get(field, ()):
                    hook.setdefault("command", None)
    return _text(_escaped(value), parsed["format"])


def _verbatim(app: Application, parsed: Parsed) -> str:
    """All of the files with their variables left alone, or the names of the services."""
    name, tree = app.tree(absolute=not parsed["no-path-resolution"])
    for flag in (
        "volumes",
        "networks",
        "images",
        "models",
        "profiles",
        "hash",
        "resolve-image-digests",
        "lock-image-digests",
    ):
        if parsed[flag]:
            raise InvalidInput(f"--{flag} does not go with --no-interpolate")
    if parsed.args:
        app.warn("with --no-interpolate all services are shown")
    services = tree.get("services")
    if parsed["services"]:
        return "".join(f"{service}\n" for service in services) if isinstance(services, dict) else ""
    if parsed["quiet"]:
        return ""
    if not parsed["no-normalize"]:
        tree = verbatim.named(tree, name)
    return _text(verbatim.shown(tree), parsed["format"])


def _text(value: object, form: str) -> str:
    if form == "json":
        return jsontext.dumps(value, indent=2) + "\n"
    text: str = yaml.dump(
        value, Dumper=_dumper(), sort_keys=False, default_flow_style=False, allow_unicode=True, width=80
    )
    return text


def _escaped(value: object) -> object:
    """Dollars doubled, so that what is printed may be read again."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {k.replace("$", "$$"): _escaped(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_escaped(v) for v in value]
    return value


def _dumper() -> type:
    """Text that YAML would take for a number or a truth value is quoted, by YAML 1.1 and 1.2; no value is an alias."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        if value.lower() in _OLD:
            return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'")
        ambiguous = value.lower() in _WORDS or _is_number(value) or not _is_text(dumper, value)
        style = "|" if "\n" in value and not any(line.endswith(" ") for line in value.split("\n")) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if ambiguous else style)

    Plain.add_representer(str, text)
    return Plain


def _is_text(dumper: yaml.SafeDumper, value: str) -> bool:
    """Whether YAML 1.1 takes the bare value for a text."""
    tag: str = dumper.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return tag == "tag:yaml.org,2002:str"


def _is_number(value: str) -> bool:
    """Whether YAML 1.2 takes the bare value for a number."""
    try:
        float(value)
    except ValueError:
        return value[:2] in ("0o", "0x", "0b")
    return True


_WORDS = ("true", "false", "null", "~", "")
_OLD = ("y", "n", "yes", "no", "on", "off")
"""Truth values of YAML 1.1 alone"""


def _variables(app: Application, form: str) -> str:
    import io

    from lading.cli.output import table
    from lading.formats.compose.document import read
    from lading.formats.compose.interpolation import names

    rows: dict[str, tuple[str, str, str, str]] = {}
    for path in app.paths:
        for text in _texts(read(app.data(path), what=path, places={})):
            for name, operator, word in names(text):
                required = "true" if operator.endswith("?") else "false"
                default = word if operator.endswith("-") else ""
                alternate = word if operator.endswith("+") else ""
                rows.setdefault(name, (name, required, default, alternate))
    if form == "json":
        keys = ("Name", "Required", "DefaultValue", "PresenceValue")
        made = {
            n: {**dict(zip(keys, rows[n], strict=True)), "Required": rows[n][1] == "true"}
            for n in sorted(rows)
        }
        return jsontext.dumps(made) + "\n"
    out = io.StringIO()
    table(
        ("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"),
        [rows[name] for name in sorted(rows)],
        out=out,
    )
    return out.getvalue()


def _texts(value: object) -> list[str]:
    """Every text in a tree, keys left out."""
    if isinstance(value, Override):
        value = value.value
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _texts(item)]


def _print(parsed: Parsed, text: str) -> int:
    if parsed["output"]:
        try:
            with open(parsed["output"], "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise LadingError(f"--output {parsed['output']}: {error.strerror}") from None
        return 0
    sys.stdout.write(text)
    return 0
