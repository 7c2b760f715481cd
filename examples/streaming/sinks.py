"""Where the parts go: to S3, or to a file, to try it without an account."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


class Sink(Protocol):
    """Takes one part after the other."""

    def put(self, part: bytes) -> None:
        """Send it off, and return when it is there."""


class S3Object:
    """A multipart upload: the object is there after the `with` block, whole, or not at all."""

    def __init__(self, bucket: str, key: str) -> None:
        import boto3  # type: ignore[import-untyped]  # late for its weight

        self._client: Any = boto3.client("s3")
        self._object = {"Bucket": bucket, "Key": key}
        self._upload: dict[str, str] = {}
        self._put: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        begun = self._client.create_multipart_upload(**self._object, ContentType="text/csv")
        self._upload = {**self._object, "UploadId": begun["UploadId"]}
        return self

    def put(self, part: bytes) -> None:
        """Upload the part; S3 wants 5 MiB or more of each but the last, and 10,000 at most."""
        number = len(self._put) + 1
        answer = self._client.upload_part(**self._upload, PartNumber=number, Body=part)
        self._put.append({"PartNumber": number, "ETag": answer["ETag"]})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._client.complete_multipart_upload(
                **self._upload, MultipartUpload={"Parts": self._put}
            )
        else:  # parts that nobody completes are paid for until they are aborted
            self._client.abort_multipart_upload(**self._upload)


class File:
    """A file, written anew."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def put(self, part: bytes) -> None:
        """Append the part."""
        self._file.write(part)

    def __exit__(self, *_: object) -> None:
        self._file.close()
