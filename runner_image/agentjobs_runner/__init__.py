"""What runs in the pod of one start: fetch the attempt, run the agent under ADK, report one result.

User code imports three exceptions from here, to say what shall happen to its job:

    from agentjobs_runner import Cancel, Permanent, Snooze
"""

from agentjobs_runner.control import Cancel, Permanent, Snooze

__all__ = ["Cancel", "Permanent", "Snooze"]
