"""AgentJobs: durable background jobs for AI agents on Kubernetes.

This package is the control side: operator, gateway, command line and the development cluster. What runs inside a
job's pod is `agentjobs_runner`; the two meet in `agentjobs.contract` and nowhere else.
"""

__version__ = "0.1.0"
