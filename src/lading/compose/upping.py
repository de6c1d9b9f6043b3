"""``lading compose up``, ``create`` and ``scale``."""

from __future__ import annotations

import signal
import sys
import time

from lading.compose import conditions, ending, follow, state
from lading.compose.application import Application, with_needs
from lading.compose.converge import Convergence, Wishes, scales
from lading.errors import InvalidInput, LadingError, NotFound, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project


def up(context: Context, parsed: Parsed) -> int:
    """Make and start what the file says; then show its output until it ends, or with --detach leave it."""
    app = Application(context, parsed)
    wishes = _wishes(parsed)
    _contradictions(parsed)
    named = list(parsed.args)
    wishes.start = not parsed["no-start"]
    wishes.no_needs = parsed["no-deps"]
    wishes.force_needs = parsed["always-recreate-deps"]
    wishes.renew_volumes = parsed["renew-anon-volumes"]
    wishes.timeout = ending.seconds(parsed["timeout"])
    project = app.load(named)
    if parsed["exit-code-from"] and parsed["exit-code-from"] not in project.services:
        raise NotFound(
            f"--exit-code-from {parsed['exit-code-from']}: there is no such service", reason="no-service"
        )
    if parsed["wait"] and parsed["wait-timeout"] is not None:
        wishes.wait_until = time.monotonic() + parsed["wait-timeout"]
    work = Convergence(app, project, named, wishes)
    if parsed["no-start"] or parsed["detach"] or parsed["wait"]:
        work.run()
        if parsed["wait"]:
            wait_settled(app, work, wishes.wait_until)
        return 0
    return Attached(app, project, work, parsed).run()


def _contradictions(parsed: Parsed) -> None:
    stops = (
        parsed["abort-on-container-exit"] or parsed["abort-on-container-failure"] or parsed["exit-code-from"]
    )
    if parsed["detach"] and (stops or parsed["attach"] or parsed["watch"]):
        raise InvalidInput("--detach does not go with flags about what is attached to")
    if parsed["wait"] and stops:
        raise InvalidInput("--wait does not go with --abort-on-container-exit and its like")
    if parsed["abort-on-container-exit"] and parsed["abort-on-container-failure"]:
        raise InvalidInput("--abort-on-container-exit and --abort-on-container-failure contradict each other")


def _wishes(parsed: Parsed) -> Wishes:
    made = Wishes()
    if parsed["force-recreate"] and parsed["no-recreate"]:
        raise InvalidInput("--force-recreate and --no-recreate contradict each other")
    if parsed["build"] and parsed["no-build"]:
        raise InvalidInput("--build and --no-build contradict each other")
    made.build, made.no_build = parsed["build"], parsed["no-build"]
    made.pull, made.quiet_pull = parsed["pull"], parsed["quiet-pull"]
    made.quiet_build = parsed["quiet-build"]
    made.force, made.keep = parsed["force-recreate"], parsed["no-recreate"]
    made.remove_orphans = parsed["remove-orphans"]
    made.scale = scales(parsed["scale"])
    return made


def create(context: Context, parsed: Parsed) -> int:
    """Make the containers without starting them."""
    app = Application(context, parsed)
    wishes = _wishes(parsed)
    wishes.start = False
    Convergence(app, app.load(parsed.args), list(parsed.args), wishes).run()
    return 0


def scale(context: Context, parsed: Parsed) -> int:
    """Give services as many containers as is said."""
    app = Application(context, parsed)
    wishes = Wishes()
    wishes.scale = scales(parsed.args)
    wishes.no_needs = parsed["no-deps"]
    wishes.keep = True
    named = list(wishes.scale)
    Convergence(app, app.load(named), named, wishes).run()
    return 0


def wait_settled(app: Application, work: Convergence, end: float | None) -> None:
    """Return when everything runs, and is healthy where it has a health check. Raises Failed and TimedOut."""
    identities = [identity for found in work.ids.values() for identity in found]
    while True:
        records = [app.context.node.inspect(identity) for identity in identities]
        try:
            if conditions.settled(records):
                for record in records:
                    app.say(
                        f" Container {record.name}  {'Healthy' if record.container.health else 'Started'}"
                    )
                return
        except conditions.Failed as error:
            conditions.tell_last_lines(app, error)
            raise
        if end is not None and time.monotonic() > end:
            late = [
                r.name for r in records if r.container.health == "starting" or r.container.state != "running"
            ]
            raise TimedOut(f"not everything runs and is healthy in time: {', '.join(late)}")
        time.sleep(0.1)


class Attached:
    """``up`` in the foreground: what the containers write, until they end, or Ctrl-C stops them in good order.

    A second Ctrl-C kills them.
    """

    def __init__(self, app: Application, project: Project, work: Convergence, parsed: Parsed) -> None:
        self.app = app
        self.project = project
        self.work = work
        self.parsed = parsed
        self.begun = time.time()
        self.audible = self._audible()
        self.shown = follow.Follower(
            app.context.node,
            colour=follow.coloured(app.globals["ansi"], parsed["no-color"] or app.globals["no-ansi"]),
            prefix=not parsed["no-log-prefix"],
            stamps=parsed["timestamps"],
            names=self._heard(),
        )
        self.status = 0
        self.first: state.Member | None = None

    def _heard(self) -> list[str]:
        """The containers whose output is shown."""
        wishes, services = self.work.wishes, self.project.services
        return [
            f"{name}-{number}"
            for name in sorted(self.audible & set(self.work.services))
            for number in range(1, 1 + wishes.scale.get(name, services[name].replicas))
        ]

    def _audible(self) -> set[str]:
        parsed, services = self.parsed, self.project.services
        for flag in ("attach", "no-attach"):
            for name in parsed[flag]:
                if name not in services:
                    raise NotFound(f"--{flag} {name}: there is no such service", reason="no-service")
        if parsed["attach"]:
            names = set(
                with_needs(self.project, parsed["attach"])
                if parsed["attach-dependencies"]
                else parsed["attach"]
            )
        elif parsed.args and not parsed["attach-dependencies"]:
            names = set(parsed.args)
        else:
            names = set(services)
        names = {name for name in names if services[name].attach is not False or name in parsed["attach"]}
        return names - set(parsed["no-attach"])

    def run(self) -> int:
        """The status: 130 after Ctrl-C, else what the flags say."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            try:
                self._say(f"Attaching to {', '.join(self._heard())}")
                self.work.run(meanwhile=self._show, started=self._started)
                if self.parsed["watch"]:
                    from lading.compose.watching import Watcher

                    Watcher(self.app, self.project, list(self.parsed.args)).start(self._show)
                self._until_end()
            except KeyboardInterrupt:
                self.status = 130
                sys.stderr.write("\nGracefully stopping... (press Ctrl+C again to force)\n")
                self._stop()
            except LadingError:
                self._show()
                raise
        finally:
            self.shown.close()
            signal.signal(signal.SIGTERM, before)
        return self.status

    def _started(self, identity: str) -> None:
        member = state.Member(self.app.context.node.inspect(identity))
        if member.service in self.audible:
            self.shown.add(member.record, f"{member.service}-{member.number}", since=self.begun)

    def _show(self) -> None:
        self.shown.show()

    def _members(self) -> list[state.Member]:
        return state.members(self.app.context.node, self.project.name, self.work.services)

    def _until_end(self) -> None:
        parsed = self.parsed
        on_exit = parsed["abort-on-container-exit"] or bool(parsed["exit-code-from"])
        told: set[str] = set()
        while True:
            found = self._members()
            for member in found:
                if (
                    member.id not in told
                    and member.state == "exited"
                    and member.record.container.finished >= self.begun
                ):
                    told.add(member.id)
                    self._told(member)
                    self.first = self.first or member
            failed = next((m for m in found if m.id in told and m.record.container.exit_code), None)
            if self.first is not None and (
                on_exit or (parsed["abort-on-container-failure"] and failed is not None)
            ):
                self._abort(failed or self.first)
                return
            if not any(m.running for m in found):
                self._show()
                return
            if not self.shown.show():
                time.sleep(0.1)

    def _say(self, text: str) -> None:
        """One line between those of the containers."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def _told(self, member: state.Member) -> None:
        self._show()
        self._say(f"{member.service}-{member.number} exited with code {member.record.container.exit_code}")

    def _abort(self, member: state.Member) -> None:
        self.app.say("Aborting on container exit...")
        self.status = member.record.container.exit_code
        running = {m.id for m in self._members() if m.running}
        self._stop()
        for ended in self._members():
            if ended.id in running:
                self._told(ended)
        service = self.parsed["exit-code-from"]
        if service:
            codes = [m.record.container.exit_code for m in self._members() if m.service == service]
            self.status = codes[0] if codes else 0

    def _stop(self) -> None:
        found = self._members()
        try:
            ending.stop(
                self.app,
                found,
                timeout=self.work.wishes.timeout,
                services=self.project.services,
                meanwhile=self._show,
            )
        except KeyboardInterrupt:
            for member in found:
                try:
                    self.app.context.node.kill(member.id, 9)
                except LadingError:
                    continue  # it has ended
                self.app.say(f" Container {member.name}  Killed")
        self._show()
