"""What can go wrong on request: faults, and which request gets which."""

from .fault import NAMES, Fault
from .plan import FaultPlan

__all__ = ["NAMES", "Fault", "FaultPlan"]
