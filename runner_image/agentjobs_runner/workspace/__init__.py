"""The agent's files: a repository is cloned before the agent runs, its changes are kept, and published afterwards.

Runs in separate containers (`python -m agentjobs_runner.workspace clone|publish`) and, in between, in the runner.

    settings     the job's workspace and its paths
    container    one of our containers, from its first request to its last
    clone        the container before the agent
    remote       the repository                   cache        a cache that outlives pods
    locks        leftovers of a killed git        folders      folders that an agent may have filled
    start        the files in the runner          saved        an agent's changes, kept for later starts
    saving_journal  keeps files before a step is recorded

Git:

    git          runs it with controlled configuration
    credentials  for one host                     failures     the meaning of Git's errors

Publishing, from the agent's files to the host:

    publish       the container after the agent          refusals       endings without success
    agent_store   reads the agent's repository           agent_files    finds the agent's files
    destination   the host's repository, and our copy    commits        the commits to publish
    secret_forms  patterns of secrets                    search         searches new objects for secrets
    request_text  texts of commits and pull requests     pull_requests  creates pull requests
    marker        the last published commit of a worktree
    hosts         the three supported hosts              api            requests to one
"""
