"""From the text of a command line to an image that is here: by name, ID, file, URL, or from a registry.

Looking an image up that is here imports nothing of what fetches one.
"""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.appc.source import FILE, ID, NAME, REGISTRY, source
from lading.formats.appc.values import image_id_of
from lading.rocket.rkt.appimages import app_image, find_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from lading.cli.context import Context
    from lading.formats.appc.source import Source
    from lading.formats.appc.wanted import Wanted
    from lading.images.auth import Credentials
    from lading.images.image import Image
    from lading.rocket.rkt.appimages import AppImage
    from lading.rocket.rkt.insecure import Insecure

    class Values(Protocol):
        """Flags by name."""

        def __getitem__(self, name: str, /) -> Any: ...


NEVER, NEW, UPDATE = "never", "new", "update"
POLICIES = (NEVER, NEW, UPDATE)
_OLDER = {"store-only": NEVER, "no-store": UPDATE}
"""What Rocket's older words mean."""
_PULL = {NEVER: "never", NEW: "missing", UPDATE: "always"}


def policy(values: Values) -> str:
    """The policy that the flags of :func:`lading.rocket.rkt.table.fetching` say. Raises :class:`InvalidInput`."""
    given = {"pull-policy": values["pull-policy"]}
    given |= {name: means for name, means in _OLDER.items() if values[name]}
    said = {name: means for name, means in given.items() if means}
    if len(set(said.values())) > 1:
        raise InvalidInput(f"{' and '.join(f'--{name}' for name in said)} contradict each other")
    return next(iter(said.values()), NEW)


class Chooser:
    """Finds images, and fetches those that are not here as ``policy`` allows: ``never``, ``new`` (the default) or ``update``.

    ``quiet``: where they came from is not told. ``flag`` is what the policy came by.
    """

    def __init__(
        self,
        context: Context,
        policy: str,
        insecure: Insecure,
        *,
        quiet: bool = False,
        flag: str = "--pull-policy",
    ) -> None:
        self._context = context
        self._policy = policy
        self._insecure = insecure
        self._quiet = quiet
        self._flag = flag

    def app(self, text: str, signature: str = "") -> AppImage:
        """The image that ``text`` means, as pods name it. Raises as :meth:`image`."""
        return app_image(self._context.images, self.image(text, signature))

    def image(self, text: str, signature: str = "") -> Image:
        """The image that ``text`` means.

        ``signature``: where its signature is, when it is not beside it. Raises :class:`NotFound`, :class:`InvalidInput`, and
        what fetching raises.
        """
        found = source(text)
        if found.kind == ID:
            image = find_id(self._context.images, text)
            if image is None:
                raise NotFound(
                    f"image {text[:39]} is not here",
                    hint="an ID leads nowhere: fetch it by name, URL or file",
                )
            return image
        if found.kind == REGISTRY:
            return self._of_registry(text, found.text, signature)
        if found.kind == NAME and found.wanted is not None and self._policy != UPDATE:
            here = self._local(found.wanted)
            if here is not None:
                return here
        if self._policy == NEVER:
            if found.kind == FILE:
                raise InvalidInput(f"{self._flag} never means nothing for a file: {text}")
            raise NotFound(f"image {text} is not here, and is not to be fetched ({self._flag} never)")
        if found.kind == FILE and not os.path.exists(found.text):
            raise NotFound(f"image {text}: there is no such file")
        try:
            return self._fetched(found, signature)
        except LadingError as error:
            if found.kind == NAME and self._is_oci(text):
                error.hint = f"the image of that name in the store is docker://{text}"
            raise

    def _is_oci(self, text: str) -> bool:
        """Whether a name that leads nowhere is one of the other format here."""
        try:
            self._context.images.get(text)
        except LadingError:
            return False
        return True

    def _local(self, wanted: Wanted) -> Image | None:
        from lading.images.aci.finding import candidates

        images = self._context.images
        for alias in candidates(images, wanted):
            image = images.resolved.get(alias.target.digest)
            if image is not None:
                return image
        return None

    def _of_registry(self, text: str, reference: str, signature: str) -> Image:
        if signature:
            raise InvalidInput(f"--signature: images of a registry have none that is checked: {text}")
        images = self._context.images
        if self._policy != UPDATE:
            try:
                return images.get(reference)
            except NotFound:
                if self._policy == NEVER:
                    raise
        from lading.cli.deferred import progress
        from lading.images.pull import PullOptions

        self._tell(f"image: from the registry of {reference}")
        unsafe = self._insecure.http or self._insecure.tls
        options = PullOptions(
            config=self._context.roots.config, insecure=unsafe, credentials=self._login(reference)
        )
        return images.pull(reference, options=options, progress=progress(self._quiet))

    def _login(self, reference: str) -> Credentials | None:
        """What Rocket's files say of the registry; None for what the user's own files say."""
        from lading.formats.reference import Reference
        from lading.images.aci.configured import logins
        from lading.images.auth import Credentials

        found = logins(self._context.roots.config).get(Reference.parse(reference).registry)
        return None if found is None else Credentials(found.user, found.password)

    def _fetched(self, found: Source, signature: str) -> Image:
        from lading.cli.deferred import progress
        from lading.images.aci.fetch import FetchOptions, fetch
        from lading.images.aci.trust import TrustStore

        options = FetchOptions(
            self._context.roots.config,
            TrustStore.of(self._context.roots),
            pull=_PULL[self._policy],
            unsigned=self._insecure.image,
            http=self._insecure.http,
            tls=not self._insecure.tls,
            signature=signature,
            trusting=self._insecure.trusting,
            any_keys=self._insecure.pubkey,
        )
        image = fetch(self._context.images, found, options, progress(self._quiet))
        self._tell(f"image: {found.text} is {image_id_of(image.id)[:19]}")
        return image

    def _tell(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)
