"""Engines: what carries work to workers. The ledger alone decides about money.

`perform` does a piece of work, and is all that a recipe for another engine calls: see
docs/cluster.md.
"""

from ..jobs.work import Engine, Save, Submit, Tend, Work
from .finding import outstanding
from .inline import InlineEngine
from .performing import perform

__all__ = ["Engine", "InlineEngine", "Save", "Submit", "Tend", "Work", "outstanding", "perform"]
