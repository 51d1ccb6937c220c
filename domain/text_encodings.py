"""In which encoding a text file is written: found from its bytes, for a person to confirm."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from charset_normalizer import from_bytes

from domain.file_problems import FileProblem

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the shorter one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Files that are something else, whatever their name says: first bytes → what they are.
_OTHERS = (
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"RIFF", "a picture or a recording"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x1f\x8b", "compressed (gzip): unpack it first"),
    (b"BZh", "compressed (bzip2): unpack it first"),
    (b"\xfd7zXZ", "compressed (xz): unpack it first"),
    (b"7z\xbc\xaf", "compressed (7-Zip): unpack it first"),
    (b"Rar!", "compressed (RAR): unpack it first"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database (SQLite)"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
)
_ASCII = bytes(range(128))
_HEAD = 65_536
_CHUNK = 1 << 20
_SAMPLE = 131_072
_PUNCTUATION = frozenset("’‘“”„‚–—…€£©®°·«»º\xa0´§•™¿¡½№")
_NO_LETTERS = frozenset("£€©®§•½²³°")  # signs that no letter follows
#: Letters beyond ASCII, the frequent ones first.
_WESTERN = "éäüöáíóñçèàãßêåøôâæúõìòîûëïùœÿžšýðþ"
_CENTRAL = "áéíółąęěščřžýůćśżńöüäőűúťďňźôľĺŕâăîșțşţđß"
_TURKISH = "ıüşçğöiâîû"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґўђѓјљњћќџ"
_GREEK = "αοιετσνηυρπκμλςάόίωήέύώγδθχφβξζψϊϋΐΰ"
_HEBREW = "יוהלאתרבשמנעחדקפםכטןגסצזץףך"
_ARABIC = "اليمنرتبعدسفهحكقجخصشةضطزثذغىأئإظءؤآ" + "پچژکگیًٌٍَُِّْـ"
#: Single-byte encodings with the letters of the languages that use them, the likeliest first;
#: False: a word is written in this alphabet alone.
_ALPHABETS = (
    ("cp1252", _WESTERN, True),
    ("mac_roman", _WESTERN, True),
    ("cp1250", _CENTRAL, True),
    ("iso8859_2", _CENTRAL, True),
    ("cp1254", _TURKISH, True),
    ("cp1251", _CYRILLIC, False),
    ("koi8_r", _CYRILLIC, False),
    ("cp1253", _GREEK, False),
    ("cp1255", _HEBREW, False),
    ("cp1256", _ARABIC, False),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec name, and whether the bytes prove it (a guess should be shown as one)."""

    name: str
    certain: bool


def detect_encoding(file: BinaryIO) -> Encoding:
    """The encoding of a text file, from its whole content; the position ends at 0.

    A mark at the start, then UTF-16 without a mark, then strict UTF-8 over the whole file, then
    a guess from the lines that are not ASCII. Raises FileProblem for what is no text at all.
    """
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(0)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return Encoding(name, True)
    for start, what in _OTHERS:
        if head.lstrip()[: len(start)].lower() == start.lower():
            raise FileProblem(
                f"This file is {what}. Upload a table: CSV, Excel or OpenDocument (.ods)."
            )
    unmarked = _unmarked_utf16(head)
    if unmarked is not None:
        return Encoding(unmarked, True)
    if _is_binary(head):
        raise FileProblem(
            "This is no text file and no spreadsheet. Upload a table: CSV, Excel or OpenDocument."
        )
    sample, is_utf8 = _lines_with_accents(file)
    file.seek(0)
    if is_utf8:
        return Encoding("utf-8", True)
    return Encoding(_guess(sample), False)


def _unmarked_utf16(head: bytes) -> str | None:
    if len(head) < 4:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > half * 0.4 and even < half * 0.05:
        return "utf-16-le"
    if even > half * 0.4 and odd < half * 0.05:
        return "utf-16-be"
    return None


def _is_binary(head: bytes) -> bool:
    control = sum(head.count(bytes([code])) for code in (*range(9), *range(14, 27), *range(28, 32)))
    return control > max(8, len(head) // 50)


def _lines_with_accents(file: BinaryIO) -> tuple[bytes, bool]:
    """Lines of the whole file that are not ASCII (up to a limit), and whether all is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    valid, sample, rest = True, bytearray(), b""
    while chunk := file.read(_CHUNK):
        valid = valid and _decodes(decoder, chunk)
        if not valid and len(sample) >= _SAMPLE:
            return bytes(sample), False
        if chunk.isascii() and rest.isascii():
            continue
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        rest = rest[-_SAMPLE:]
        for line in lines:
            if len(sample) < _SAMPLE and not line.isascii():
                sample += line[:8192]
    sample += rest[:8192]
    return bytes(sample), valid and _decodes(decoder, b"", final=True)


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes) -> str:
    lines = sample.splitlines()
    if len(lines) >= 10 and sum(map(_is_utf8, lines)) > 0.9 * len(lines):
        return "utf-8"  # a few broken bytes in a file that is UTF-8 otherwise
    scores = [
        (_likeness(sample.decode(encoding, errors="replace"), alphabet, latin), encoding)
        for encoding, alphabet, latin in _ALPHABETS
    ]
    score, encoding = max(scores, key=lambda pair: pair[0])  # the first of equals
    few = len(set(sample.translate(None, _ASCII))) <= 4
    if scores[0][0] > score - (0.3 if few else 0.04) and scores[0][0] > 0:
        return scores[0][1]  # with few accents nobody can tell: cp1252 is what Excel writes
    if score > 0:
        return encoding
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"


def _is_utf8(line: bytes) -> bool:
    return _decodes(codecs.getincrementaldecoder("utf-8")("strict"), line, final=True)


def _likeness(text: str, alphabet: str, latin: bool) -> float:
    """How much the signs beyond ASCII are like words in this alphabet, 0 to 1; 0 = not at all."""
    weight = {sign: 1 - place / len(alphabet) / 2 for place, sign in enumerate(alphabet)}
    total = letters = strange = 0
    score = 0.0
    for before, sign in pairwise(" " + text):
        strange += before in _NO_LETTERS and sign.isalpha()
        if sign.isascii():
            strange += not latin and sign.isalpha() and not before.isascii()
            continue
        total += 1
        lower = "i" if sign == "İ" else sign.lower()
        if lower in weight:
            letters += 1
            score += weight[lower]
            strange += not latin and before.isalpha() and before.isascii()
            strange += sign.isupper() and before.isalpha() and not before.isascii()
            strange += latin and before in alphabet
        elif sign in _PUNCTUATION:
            score += 0.75
        else:
            strange += 3
    if not total or strange > 0.25 * total:
        return 0.0
    return max(score - strange, 1e-6) / total
