from hypothesis import settings

# A busy machine is no failure; pytest-timeout ends what hangs.
settings.register_profile("ugicm", deadline=None)
settings.load_profile("ugicm")
