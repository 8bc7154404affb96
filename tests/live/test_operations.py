"""Every operation against the real servers."""

from tests.operations import bodies
from tests.operations.fixtures import *  # noqa: F403

globals().update(bodies())
