"""The pages for people: plain documents, the same content without scripts, the same numbers as REST."""

from icn_gateway.api.pages.router import pages_router
from icn_gateway.api.pages.website import Website, moment

__all__ = ["Website", "moment", "pages_router"]
