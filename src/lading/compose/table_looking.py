"""The verbs that only look: names, arguments and flags."""

from __future__ import annotations

from lading.compose.table import verb
from lading.flags import Command, Flag

_SERVICES = "[SERVICE...]"


def commands() -> list[Command]:
    """``ps``, ``logs``, ``config`` and the rest."""
    return [
        verb("ps", "List containers", _SERVICES, [
            Flag("all", "a", "bool", help="Also those that do not run"),
            Flag("format", "", "str", "FORMAT", "table, json, or Python format fields such as {Name}"),
            Flag("filter", "", "list", "status=STATUS", "Only these"),
            Flag("status", "", "list", "STATUS", "Only these: running, exited, …"),
            Flag("quiet", "q", "bool", help="Only print ids"),
            Flag("services", "", "bool", help="Print services in place of containers"),
            Flag("no-trunc", "", "bool", help="Print everything in full"),
            Flag("orphans", "", "bool", help="Include services that the file does not have", default=True),
        ], "looking:ps"),
        verb("logs", "Show what containers wrote", _SERVICES, [
            Flag("follow", "f", "bool", help="Go on with what they write"),
            Flag("tail", "n", "str", "N", "How many lines from the end of each", default="all"),
            Flag("since", "", "str", "TIME", "Only what was written since"),
            Flag("until", "", "str", "TIME", "Only what was written before"),
            Flag("timestamps", "t", "bool", help="Show when each line was written"),
            Flag("no-color", "", "bool", help="No colours"),
            Flag("no-log-prefix", "", "bool", help="No names in front of lines"),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
        ], "logs:logs"),
        verb("top", "Show processes", _SERVICES, [], "looking:top"),
        verb("images", "List the images of the containers", _SERVICES, [
            Flag("format", "", "str", "FORMAT", "table or json"),
            Flag("quiet", "q", "bool", help="Only print ids"),
        ], "looking:images"),
        verb("port", "Show where a port is published", "SERVICE PORT", [
            Flag("protocol", "", "str", "PROTOCOL", "tcp or udp", default="tcp"),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
        ], "looking:port"),
        verb("events", "Show what happens", _SERVICES, [
            Flag("json", "", "bool", help="One JSON object a line"),
            Flag("since", "", "str", "TIME", "From then on"),
            Flag("until", "", "str", "TIME", "And no longer"),
        ], "looking:events"),
        verb("stats", "Show what containers use", "[SERVICE]", [
            Flag("all", "a", "bool", help="Also containers that do not run"),
            Flag("format", "", "str", "FORMAT", "table, json, or Python format fields"),
            Flag("no-stream", "", "bool", help="Once"),
            Flag("no-trunc", "", "bool", help="Print ids in full"),
        ], "looking:stats"),
        verb("ls", "List projects", "", [
            Flag("all", "a", "bool", help="Also those of which nothing runs"),
            Flag("format", "", "str", "FORMAT", "table or json"),
            Flag("filter", "", "list", "name=NAME", "Only these"),
            Flag("quiet", "q", "bool", help="Only print names"),
        ], "projects:ls"),
        verb("volumes", "List the project's volumes", _SERVICES, [
            Flag("format", "", "str", "FORMAT", "table or json"),
            Flag("quiet", "q", "bool", help="Only print names"),
        ], "projects:volumes"),
        Command("config", "Check the file, and print it with everything filled in", _SERVICES, flags=[
            Flag("format", "", "str", "FORMAT", "yaml or json", default="yaml", choices=("yaml", "json")),
            Flag("services", "", "bool", help="Print the services' names"),
            Flag("volumes", "", "bool", help="Print the volumes' names"),
            Flag("networks", "", "bool", help="Print the networks' names"),
            Flag("images", "", "bool", help="Print the images' names"),
            Flag("models", "", "bool", help="Print the models' names"),
            Flag("profiles", "", "bool", help="Print the profiles' names"),
            Flag("environment", "", "bool", help="Print the variables that fill the file"),
            Flag("variables", "", "bool", help="Print the variables that the file has, and their defaults"),
            Flag("hash", "", "str", "SERVICE", "Print the hash of a service's definition (* for all)"),
            Flag("quiet", "q", "bool", help="Only check"),
            Flag("output", "o", "str", "FILE", "Write to a file"),
            Flag("no-interpolate", "", "bool", help="Leave variables as they are"),
            Flag("no-normalize", "", "bool", help="Leave out what goes without saying"),
            Flag("no-path-resolution", "", "bool", help="Leave paths as they are"),
            Flag("no-env-resolution", "", "bool", help="Leave env_file unread"),
            Flag("no-consistency", "", "bool", help="Do not check whether it makes sense"),
            Flag("resolve-image-digests", "", "bool", help="Print images by the digests that are here"),
            Flag("lock-image-digests", "", "bool", help="Print an override file of images by their digests"),
        ], action="lading.compose.configuring:config", aliases=("convert",)),
        verb("version", "Show the version", "", [
            Flag("format", "f", "str", "FORMAT", "pretty or json"),
            Flag("short", "", "bool", help="Only the number"),
        ], "projects:version"),
        Command("publish", refuse="Compose applications in registries are not supported"),
        Command("bridge", refuse="conversions are not supported"),
        Command("alpha", refuse="what is tried out elsewhere is not here"),
    ]  # fmt: skip
