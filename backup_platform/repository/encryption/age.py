"""The age file format, version 1 (c2sp.org/age): X25519 recipients, and the payload in segments that can be sought in.

    file     = header, 16 bytes of nonce, STREAM
    header   = version line, stanzas (the file key, wrapped for one recipient each), `--- ` and the header's HMAC
    STREAM   = segments of 64 KiB, the last one shorter or full, each sealed with ChaCha20-Poly1305 under its number and
               a byte that says whether it is the last: none can be altered, moved, dropped or appended unseen

Every primitive is that of `cryptography`. Damage is always a DamageError; which one it is tells nobody anything.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backup_platform.domain.limits import MAX_HEADER, MAX_RECIPIENTS
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.encryption import bech32

VERSION = b"age-encryption.org/v1\n"
X25519_INFO = b"age-encryption.org/v1/X25519"
RECIPIENT, IDENTITY = "age", "age-secret-key-"
FILE_KEY, NONCE, TAG, SEGMENT = 16, 16, 16, 64 << 10
SEALED = SEGMENT + TAG
HEADER = len(VERSION) + len("--- ") + 43 + 1 + NONCE  # without stanzas
WRAPPED = len("-> X25519 ") + 2 * (43 + 1)  # a stanza of `Recipient.wrap`
STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n")
END = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
PROBE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
Read = Callable[[int, int], Buffer]  # (start, length) -> exactly those bytes
Random = Callable[[int], bytes]


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def _base64(data: bytes) -> bytes:
    return b64encode(data).rstrip(b"=")


def _unbase64(text: bytes) -> bytes:
    """Raises DamageError unless the text is the one encoding of its bytes."""
    with suppress(ValueError):
        data = b64decode(text + b"=" * (-len(text) % 4))
        if _base64(data) == text:
            return data
    raise DamageError("The age header is altered: its base64 is not canonical.")


# Keys


class Recipient:
    """A public key, `age1…`. Raises ValueError for anything else."""

    def __init__(self, text: str) -> None:
        self.point = bech32.decode(RECIPIENT, text)
        if len(self.point) != 32 or text != text.lower():
            raise ValueError("is not a recipient: those begin with age1 and are lower case")
        try:
            PROBE.exchange(X25519PublicKey.from_public_bytes(self.point))
        except ValueError as error:  # the all-zero secret of a point of low order
            raise ValueError("is not a recipient: everybody could read what is encrypted to it") from error
        self.text = text

    def wrap(self, file_key: bytes, random: Random = os.urandom) -> bytes:
        """The stanza with the file key for this recipient."""
        secret = X25519PrivateKey.from_private_bytes(random(32))
        share = secret.public_key().public_bytes_raw()
        shared = secret.exchange(X25519PublicKey.from_public_bytes(self.point))
        key = _hkdf(shared, share + self.point, X25519_INFO)
        body = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
        return b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n"


class Identity:
    """A private key, `AGE-SECRET-KEY-1…`. Raises ValueError for anything else. Never shows itself."""

    def __init__(self, text: str) -> None:
        data = bech32.decode(IDENTITY, text)
        if len(data) != 32:
            raise ValueError("is not an identity: it has the wrong length")
        self._secret = X25519PrivateKey.from_private_bytes(data)
        self._point = self._secret.public_key().public_bytes_raw()

    @property
    def recipient(self) -> str:
        return bech32.encode(RECIPIENT, self._point)

    def unwrap(self, share: bytes, body: bytes) -> bytes | None:
        """The file key of a stanza. None if the stanza is for another recipient."""
        try:
            shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:  # the all-zero secret of a point of low order
            raise DamageError("The age header is altered: its public share is not valid.") from error
        try:
            return ChaCha20Poly1305(_hkdf(shared, share + self._point, X25519_INFO)).decrypt(
                bytes(12), body, None
            )
        except InvalidTag:
            return None


def generate_identity() -> str:
    """The text of a new private key."""
    return bech32.encode(IDENTITY, X25519PrivateKey.generate().private_bytes_raw()).upper()


# Header


@dataclass(frozen=True, slots=True)
class Header:
    """`length` is that of the header with its nonce: where the payload begins."""

    stanzas: tuple[tuple[list[bytes], bytes], ...]
    authenticated: bytes
    mac: bytes
    nonce: bytes
    length: int

    def unwrap(self, identities: Iterable[Identity]) -> bytes | None:
        """The file key; None when no identity opens any stanza. Raises DamageError."""
        shares = [_x25519(arguments, body) for arguments, body in self.stanzas if arguments[0] == b"X25519"]
        for identity in identities:
            for share, body in shares:
                if (key := identity.unwrap(share, body)) is not None:
                    return key
        return None

    def payload_key(self, file_key: bytes) -> bytes:
        """Raises DamageError unless the header is the one that was written with this file key."""
        try:
            _mac(file_key, self.authenticated).verify(self.mac)
        except InvalidSignature as error:
            raise DamageError("The age header is altered.") from error
        return _hkdf(file_key, self.nonce, b"payload")


def _mac(file_key: bytes, authenticated: bytes) -> hmac.HMAC:
    mac = hmac.HMAC(_hkdf(file_key, b"", b"header"), hashes.SHA256())
    mac.update(authenticated)
    return mac


def _x25519(arguments: Sequence[bytes], body: bytes) -> tuple[bytes, bytes]:
    share = _unbase64(arguments[1]) if len(arguments) == 2 else b""
    if len(share) != 32 or len(body) != FILE_KEY + TAG:
        raise DamageError("The age header is altered: a stanza has the wrong form.")
    return share, body


def make_header(
    file_key: bytes, recipients: Sequence[Recipient], random: Random = os.urandom
) -> tuple[bytes, bytes]:
    """The header with its nonce, and the payload's key."""
    stanzas = b"".join(recipient.wrap(file_key, random) for recipient in recipients)
    authenticated = VERSION + stanzas + b"---"
    mac = _mac(file_key, authenticated).finalize()
    nonce = random(NONCE)
    return authenticated + b" " + _base64(mac) + b"\n" + nonce, _hkdf(file_key, nonce, b"payload")


def parse_header(data: bytes) -> Header | None:
    """The header that a file begins with; None when it does not end within `data`. Raises DamageError."""
    if not data.startswith(VERSION[: len(data)]):
        raise DamageError("It is not an age v1 file, or its beginning is altered.")
    found = data.find(b"\n--- ")
    if found > MAX_HEADER or (found < 0 and len(data) > MAX_HEADER + len("\n--- ")):
        raise DamageError(
            f"The age header is larger than {MAX_HEADER >> 10} KiB: it has more than {MAX_RECIPIENTS} recipients, or "
            "it is altered."
        )
    if found < 0 or len(data) < found + 49 + NONCE:
        return None
    position, stanzas = len(VERSION), []
    while stanza := STANZA.match(data, position):
        stanzas.append((stanza[1].split(b" "), _unbase64(stanza[2].replace(b"\n", b""))))
        position = stanza.end()
    end = END.match(data, position)
    if not end or not stanzas:
        raise DamageError("The age header is altered.")
    nonce = data[end.end() : end.end() + NONCE]
    return Header(tuple(stanzas), data[: position + 3], _unbase64(end[1]), nonce, end.end() + NONCE)


# Payload


def stream_length(plain: int) -> int:
    """Length of the STREAM of so many plain bytes."""
    return plain + TAG * max(1, -(-plain // SEGMENT))


def plain_length(stream: int) -> int:
    """Inverse of `stream_length`. Raises DamageError for a length that no STREAM has."""
    plain = stream - TAG * -(-stream // SEALED)
    if plain < 0 or stream_length(plain) != stream:
        raise DamageError("The encrypted data is cut short.")
    return plain


def _nonce(number: int, count: int) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if number == count - 1 else b"\x00")


def write_stream(key: bytes, head: bytes, data: bytearray) -> None:
    """Turn plain bytes into `head` and their STREAM, in their own memory. A key seals one stream only."""
    cipher, size = ChaCha20Poly1305(key), len(data)
    count = max(1, -(-size // SEGMENT))
    data += bytes(len(head) + stream_length(size) - size)
    with memoryview(data) as view:
        # From the last one: a sealed segment begins behind the plain ones that come before it.
        for number in reversed(range(count)):
            segment = bytes(view[number * SEGMENT : min((number + 1) * SEGMENT, size)])
            start = len(head) + number * SEALED
            cipher.encrypt_into(
                _nonce(number, count), segment, None, view[start : start + len(segment) + TAG]
            )
        view[: len(head)] = head


@dataclass(frozen=True, slots=True)
class Stream:
    """A STREAM of `length` bytes that begins `offset` bytes into a stored object. Reads any part of its plain bytes."""

    key: bytes = field(repr=False)
    offset: int
    length: int

    @property
    def plain(self) -> int:
        """Raises DamageError."""
        return plain_length(self.length)

    def read(self, start: int, length: int, read: Read) -> bytearray:
        """Plain bytes; `read` gives those of the object. Raises DamageError when there are not so many, or altered."""
        if start < 0 or start + length > self.plain:
            raise DamageError("The encrypted data is cut short.")
        count = -(-self.length // SEALED)
        first = start // SEGMENT
        last = max(first, (start + length - 1) // SEGMENT)
        begin, end = first * SEALED, min((last + 1) * SEALED, self.length)
        stored = memoryview(read(self.offset + begin, end - begin))
        if len(stored) != end - begin:
            raise DamageError("The encrypted data is cut short.")
        plain = self._open(stored, first, count)
        skipped = start - first * SEGMENT
        if skipped:
            del plain[:skipped]
        del plain[length:]
        return plain

    def _open(self, stored: memoryview, first: int, count: int) -> bytearray:
        cipher = ChaCha20Poly1305(self.key)
        segments = -(-len(stored) // SEALED)
        plain = bytearray(len(stored) - TAG * segments)
        try:
            with memoryview(plain) as out:
                for i in range(segments):
                    sealed = stored[i * SEALED : (i + 1) * SEALED]
                    # Let go of: what reads takes the ends off, whoever else looks at this frame.
                    with out[i * SEGMENT : i * SEGMENT + len(sealed) - TAG] as place:
                        cipher.decrypt_into(_nonce(first + i, count), sealed, None, place)
        except InvalidTag as error:
            raise DamageError("The encrypted data is altered.") from error
        return plain


# Whole files


def encrypt(
    plain: Buffer, recipients: Sequence[Recipient], random: Random = os.urandom
) -> tuple[bytearray, bytes]:
    """A file to all recipients, and its file key. A bytearray becomes the file."""
    file_key = random(FILE_KEY)
    header, key = make_header(file_key, recipients, random)
    file = plain if isinstance(plain, bytearray) else bytearray(plain)
    write_stream(key, header, file)
    return file, file_key


def is_file_length(plain: int, stored: int) -> bool:
    """Whether a file of so many plain bytes, to one recipient or more, can be `stored` bytes long."""
    stanzas, rest = divmod(stored - stream_length(plain) - HEADER, WRAPPED)
    return stanzas > 0 and rest == 0


def open_file(header: Header, file_key: bytes, size: int) -> Stream:
    """The payload of a file of `size` bytes. Raises DamageError."""
    return Stream(header.payload_key(file_key), header.length, size - header.length)


def open_with(file: Buffer, file_key: bytes) -> Stream:
    """The payload of a whole file whose file key is known. Raises DamageError."""
    view = memoryview(file)
    return open_file(whole_header(view), file_key, len(view))


def decrypt_with(file: Buffer, file_key: bytes) -> bytearray:
    """Plain bytes of a whole file whose file key is known. Raises DamageError."""
    view, stream = memoryview(file), open_with(file, file_key)
    return stream.read(0, stream.plain, lambda start, length: view[start : start + length])


def decrypt(file: Buffer, identities: Sequence[Identity]) -> Buffer | None:
    """Decrypt a whole file. None if it is encrypted to other recipients. Raises DamageError."""
    file_key = whole_header(memoryview(file)).unwrap(identities)
    return None if file_key is None else decrypt_with(file, file_key)


def whole_header(file: memoryview) -> Header:
    """Raises DamageError when the file has none."""
    for length in (4 << 10, MAX_HEADER + (1 << 10)):
        header = parse_header(bytes(file[:length]))
        if header:
            return header
    raise DamageError("The age header is cut short.")
