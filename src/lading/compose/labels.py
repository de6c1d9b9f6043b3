"""What is written on everything that belongs to a project: docker compose's labels, so that its users' tools find them.

They are the only record of a project: ``ps``, ``down`` and the rest work from them without the file.
"""

from __future__ import annotations

_PREFIX = "com.docker.compose."

PROJECT = _PREFIX + "project"
SERVICE = _PREFIX + "service"
NUMBER = _PREFIX + "container-number"
ONEOFF = _PREFIX + "oneoff"
HASH = _PREFIX + "config-hash"
IMAGE = _PREFIX + "image"
FILES = _PREFIX + "project.config_files"
DIRECTORY = _PREFIX + "project.working_dir"
ENVIRONMENT = _PREFIX + "project.environment_file"
DEPENDS = _PREFIX + "depends_on"
REPLACE = _PREFIX + "replace"
NETWORK = _PREFIX + "network"
VOLUME = _PREFIX + "volume"
