"""What runs in the pod of one start: fetch the attempt, run the agent under ADK, report one result."""
