"""Names for containers that got none: an adjective and a thing found in a harbour."""

from __future__ import annotations

import os

_HOW = (
    "able amber bold brave brisk calm clear clever cool deft eager early even fair fast fine firm fresh glad good grand "
    "hardy keen kind late lean light lively loyal lucky merry mild neat nimble noble plain plucky prime proud quick "
    "quiet ready rapid royal sharp shiny silent sleek smart snug solid sound spry stable steady still stout strong "
    "sunny swift tidy tough trim true trusty upbeat vivid warm wise witty young"
).split()
_WHAT = (
    "anchor barge beacon berth boat bollard boom bosun bow breeze bridge brig buoy cabin cable canal capstan cargo cask "
    "clipper coast compass coral cove crane crate crew current cutter davit deck delta derrick dinghy dock dune ebb "
    "ferry fjord fleet float galley gangway gantry gull gust hatch haven hawser helm hold hoist hull island jetty keel "
    "kelp ketch lagoon lantern launch lighter lock lugger mast mate mole moor pallet pier pilot plank pontoon port prow "
    "quay raft reef rigging rope rudder sail schooner sextant shoal sloop spar squall starboard stern surf tackle tide "
    "tiller trawler tug wake wave wharf winch yawl"
).split()


def made_up() -> str:
    """A random name such as ``brisk_capstan_4f1``; the digits make a clash unlikely among thousands."""
    seed = int.from_bytes(os.urandom(6), "little")
    seed, how = divmod(seed, len(_HOW))
    seed, what = divmod(seed, len(_WHAT))
    return f"{_HOW[how]}_{_WHAT[what]}_{seed % 0x10000:04x}"
