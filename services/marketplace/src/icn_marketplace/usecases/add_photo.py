"""Adds a photo to a resource or an offer."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.fields import check_bytes, field_invalid
from icn_marketplace.domain.limits import DIGEST_BYTES, IDENTIFIER_BYTES
from icn_marketplace.domain.offer import not_your_offer
from icn_marketplace.domain.photo import check_photo
from icn_marketplace.domain.resource import add_photo as with_photo
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import name
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.permissions import check_may_add
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def add_photo(command: Command[pb.AddPhoto], content: bytes, context: Context) -> pb.AddPhotoResponse:
    """Keep a photo whose digest was signed, sealed for who added it.

    Raises:
        InvalidArgument: FIELD_INVALID, PHOTO_TOO_LARGE, PHOTO_DIGEST_MISMATCH, PHOTO_KIND_UNKNOWN.
        NotFound: RESOURCE_UNKNOWN, OFFER_UNKNOWN.
        PermissionDenied: NOT_A_MEMBER, NOT_YOUR_OFFER.
        FailedPrecondition: RESOURCE_REMOVED.
        ResourceExhausted: TOO_MANY_PHOTOS, BLOB_QUOTA_EXCEEDED.
    """
    request = command.request
    check_bytes("digest", request.digest, DIGEST_BYTES)
    if bool(request.resource) == bool(request.offer):
        raise field_invalid("resource", "exactly one of resource and offer is set")
    check_bytes(
        "resource" if request.resource else "offer", request.resource or request.offer, IDENTIFIER_BYTES
    )
    media_type = check_photo(content, request.digest)

    async def add(uow: UnitOfWork) -> pb.AddPhotoResponse:
        if request.resource:
            resource = found(await uow.resources.lock(request.resource), "resource", request.resource)
            check_may_add(command.principal, resource.owner, context.permissions)
            resource.check_there()
            photos = with_photo(resource.photos, request.digest)
            await uow.resources.set_photos(request.resource, photos)
        else:
            offer = found(await uow.offers.lock(request.offer), "offer", request.offer)
            if command.principal != offer.provider:
                raise not_your_offer()
            photos = with_photo(offer.photos, request.digest)
            await uow.offers.set_photos(request.offer, photos)
        await uow.photos.put(content, media_type, command.principal)
        return pb.AddPhotoResponse(
            photo=name("photos", request.digest), photos=[photo.hex() for photo in photos]
        )

    return await once(command, pb.AddPhotoResponse, context, add)
