"""Why TensorBoard does not show a run: look at a log directory and say what is wrong.

`check` reads, and never writes. `repair` carries out the cures that lose nothing.
"""

from safewriter.doctor._check import check
from safewriter.doctor._finding import Finding
from safewriter.doctor._repair import Action, repair
from safewriter.doctor._rules import RULES, Rule, Severity

__all__ = ["RULES", "Action", "Finding", "Rule", "Severity", "check", "repair"]
