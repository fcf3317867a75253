"""Photographs: finding, decoding, describing and preparing them. Nothing here needs torch."""

from tortie.images.content import file_bytes
from tortie.images.decode import DECODER_VERSION, Decoded, Source, decode
from tortie.images.facts import Facts, facts_of, perceptual_hash
from tortie.images.find import SPLITS, Collection, Photograph, Split, find, find_files
from tortie.images.limits import MAX_PIXELS
from tortie.images.preprocess import Preprocessing
from tortie.images.read import Read, Reading, hash_all, read
from tortie.images.unreadable import UnreadableImage

__all__ = [
    "DECODER_VERSION",
    "MAX_PIXELS",
    "SPLITS",
    "Collection",
    "Decoded",
    "Facts",
    "Photograph",
    "Preprocessing",
    "Read",
    "Reading",
    "Source",
    "Split",
    "UnreadableImage",
    "decode",
    "facts_of",
    "file_bytes",
    "find",
    "find_files",
    "hash_all",
    "perceptual_hash",
    "read",
]
