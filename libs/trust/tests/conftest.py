"""How long a property may take."""

from hypothesis import settings

# A busy machine is not a bug: time is measured by the benches.
settings.register_profile("trust", deadline=None)
settings.load_profile("trust")
