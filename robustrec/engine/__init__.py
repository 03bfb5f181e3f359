"""Where the work of a command runs: in this process, in several, or on the machines of a Ray cluster."""
