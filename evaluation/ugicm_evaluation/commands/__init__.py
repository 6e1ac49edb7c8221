"""The subcommands of ``ugicm-evaluate``, one file each."""
