"""Every operation, from what the real servers answered."""

from tests.operations import bodies
from tests.operations.fixtures import *  # noqa: F403

globals().update(bodies())
