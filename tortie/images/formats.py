"""Which format a file's first bytes announce; and where it is none of ours, what else it is."""

from tortie.images.unreadable import UnreadableImage

ENOUGH = 4096
"""As many first bytes as tell what a file is."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"}
_AVIF_BRANDS = {b"avif", b"avis"}

_OTHERS = (  # first bytes, and what they announce; the longer before the shorter
    (b"version https://git-lfs.github.com/spec/", "Git LFS pointer: run git lfs pull"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "not supported (JPEG 2000)"),
    (b"\xff\x4f\xff\x51", "not supported (JPEG 2000)"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "not supported (JPEG XL)"),
    (b"\xff\x0a", "not supported (JPEG XL)"),
    (b"\xff\xd8\xff\xf7", "not supported (JPEG-LS)"),
    (b"II\xbc", "not supported (JPEG XR)"),
    (b"8BPS", "not supported (Photoshop PSD)"),
    (b"\0\0\1\0", "not supported (Windows icon)"),
    (b"\0\0\2\0", "not supported (TGA, or a Windows cursor)"),
    (b"icns", "not supported (macOS icon)"),
    (b"DDS ", "not supported (DDS texture)"),
    (b"qoif", "not supported (QOI)"),
    (b"gimp xcf", "not supported (GIMP XCF)"),
    (b"BPG\xfb", "not supported (BPG)"),
    (b"FLIF", "not supported (FLIF)"),
    (b"AT&TFORM", "not supported (DjVu)"),
    (b"v/1\x01", "not supported (OpenEXR)"),
    (b"#?RADIANCE", "not supported (Radiance HDR)"),
    (b"#?RGBE", "not supported (Radiance HDR)"),
    (b"SIMPLE  =", "not supported (FITS)"),
    (b"\x8bJNG", "not supported (JNG)"),
    (b"\x8aMNG", "not supported (MNG)"),
    (b"\x01\xda", "not supported (SGI)"),
    (b"\x59\xa6\x6a\x95", "not supported (Sun raster)"),
    (b"/* XPM */", "not supported (XPM)"),
    (b"FUJIFILMCCD-RAW", "not supported (camera raw, RAF)"),
    (b"IIRO", "not supported (camera raw, ORF)"),
    (b"IIRS", "not supported (camera raw, ORF)"),
    (b"MMOR", "not supported (camera raw, ORF)"),
    (b"IIU\0", "not supported (camera raw, RW2)"),
    (b"FOVb", "not supported (camera raw, X3F)"),
    (b"\0MRM", "not supported (camera raw, MRW)"),
    (b"\xd7\xcd\xc6\x9a", "not supported (Windows metafile)"),
    (b"%PDF", "not an image (PDF)"),
    (b"%!PS", "not an image (PostScript)"),
    (b"\xc5\xd0\xd3\xc6", "not an image (PostScript)"),
    (b"\x1a\x45\xdf\xa3", "not an image (video)"),
    (b"\0\0\1\xba", "not an image (video)"),
    (b"\0\0\1\xb3", "not an image (video)"),
    (b"OggS", "not an image (Ogg)"),
    (b"ID3", "not an image (MP3)"),
    (b"PK\3\4", "not an image (ZIP archive)"),
    (b"\x1f\x8b", "not an image (gzip archive)"),
    (b"BZh", "not an image (bzip2 archive)"),
    (b"\xfd7zXZ\0", "not an image (xz archive)"),
    (b"\x28\xb5\x2f\xfd", "not an image (zstd archive)"),
    (b"7z\xbc\xaf\x27\x1c", "not an image (7z archive)"),
    (b"Rar!\x1a\x07", "not an image (RAR archive)"),
    (b"\x7fELF", "not an image (a program)"),
    (b"MZ", "not an image (a program)"),
    (b"SQLite format 3", "not an image (SQLite)"),
    (b"\x89HDF\r\n\x1a\n", "not an image (HDF5)"),
    (b"\x93NUMPY", "not an image (NumPy array)"),
    (b"\0\5\x16\7", "not an image (macOS metadata)"),
    (b"\0\5\x16\0", "not an image (macOS metadata)"),
)


def format_of(head: bytes) -> str | None:
    """The format of ours that the first bytes announce, or ``None``."""
    if head.startswith(b"\xff\xd8\xff") and not head.startswith(b"\xff\xd8\xff\xf7"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return None if head[8:10] == b"CR" else "TIFF"
    if head[:1] == b"P" and head[1:2] in b"456" and head[2:3] in b" \t\r\n#" and head[2:3]:
        return "PPM"
    brands = _brands(head)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIF"
    return None


def refuse(head: bytes) -> UnreadableImage:
    """The error for a file of none of our formats, with what it is, where that can be told."""
    return UnreadableImage(_what_else(head))


def _what_else(head: bytes) -> str:
    if not head:
        return "empty file"
    for start, what in _OTHERS:
        if head.startswith(start):
            return what
    if not head.strip(b"\0"):
        return "damaged: it begins with zeros only"
    if head[:4] == b"RIFF":
        return "not an image (video)" if head[8:12] == b"AVI " else "not an image (RIFF)"
    if head[8:10] == b"CR" and head[:2] in (b"II", b"MM"):
        return "not supported (camera raw, CR2)"
    if brands := _brands(head):
        raw = brands & {b"crx "}
        return "not supported (camera raw, CR3)" if raw else "not an image (video)"
    if head[128:132] == b"DICM":
        return "not supported (DICOM)"
    if head[:2] in (b"P1", b"P2", b"P3", b"P7", b"PF", b"Pf") and head[2:3].isspace():
        return "not supported (PPM as text, PAM or PFM)"
    return _what_text(head)


def _what_text(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "not supported (SVG)"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "not an image (HTML)"
    if text.startswith(b"<?xml"):
        return "not an image (XML)"
    if text.startswith(b"{\\rtf"):
        return "not an image (RTF)"
    return "not an image"


def _brands(head: bytes) -> set[bytes]:
    """What an ISO base media file says that it can be read as; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    length = min(int.from_bytes(head[:4], "big"), 256)  # of the box; its brands follow
    return {head[start : start + 4] for start in (8, *range(16, length, 4))} - {b""}
