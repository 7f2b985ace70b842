"""The agent's files: a repository is cloned before the agent, its changes kept, and published after it.

Runs as containers of their own (`python -m agentjobs_runner.workspace clone|publish`) and, in between, in the runner.

    settings     what the job says, and where its files lie
    container    a container of ours, from its first request to its last
    clone        what the one before the agent does
    remote       the repository                   cache        one that outlives pods
    locks        what a killed git leaves        folders       that an agent may have filled
    start        the files in the runner          saved        what an agent changed, kept for later starts
    saving_journal   keeps it before a step is recorded

Git, for all of them:

    git          runs it, with nothing but its arguments to decide
    credentials  for one host                     failures     what Git says went wrong

Publishing, from the agent's files to the host:

    publish       what the container does                  refusals      how it ends without success
    agent_store   what is read of the agent's repository   agent_files   which of its files there are
    destination   the host's repository, and one of ours   commits       what is to be published
    secret_forms  what a secret looks like                 search        whether one is in what is new
    request_text  the words of commits and pull requests   pull_requests asking to merge
    marker        what was last published of a worktree
    hosts         the three hosts that are known           api           requests to one
"""
