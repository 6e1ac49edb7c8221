"""The subcommands of ``ugicm-train``, one file each."""
