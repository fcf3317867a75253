"""The limits of what is read, all of them: checked before a pixel is decoded.

Five seconds of a processor and a gigabyte are meant to do for any one file within the default
limits. So how many pixels are allowed depends on how they are kept: a JPEG is decoded at reduced
scale, row by row; the others are decoded whole, some of them three times over. Each limit is far
beyond what photographs need; what passes it is refused by name, with the limit.

Which files are no images at all, by their first bytes, stands in :mod:`tortie.images.formats`; what
a format itself cannot hold (a JPEG without loss, a TIFF of 24-bit floats) in that format's file.
"""

# Of every image.
MAX_PIXELS = 200_000_000
"""The default size limit, in pixels: phones make 50 megapixels, the largest of them 200."""
WHOLE = 105_000_000
"""Pixels of an image that is decoded whole, by default: large cameras make 102 megapixels."""
DEEP = 65_000_000
"""Pixels, by default, where decoding is dearer still: 16 bits a channel, HEIC, AVIF."""
MAX_SIDE = 65_535
"""The longest side, pixels: JPEG's own limit."""
MAX_MEMORY = 1_000_000_000
"""Bytes of the file and its pixels together; unless a higher limit of pixels is set."""
MAX_BYTES = 512 * 2**20
"""The largest file: one is read whole, beside its pixels."""

# Of single formats.
JPEG_SEGMENTS = 20_000  # before the first scan: 100 MB of extended XMP are 1,600
JPEG_JUNK = 65_536  # bytes between segments
JPEG_SCANS = 500
JPEG_SAMPLES = 3_000_000_000  # of blocks, in all scans: an empty scan takes 1 ns a sample
PNG_CHUNKS = 200_000  # an image of 100 megapixels in chunks of 8 kB has 37,000
TIFF_STRIPS = 200_000
TIFF_ENTRIES = 4096  # of a directory: some 20 are usual
TIFF_NUMBERS = 800_000  # in an entry
WEBP_PIXELS = 60_000_000  # the decoder keeps four copies, 16 bytes a pixel
WEBP_CHUNKS = 100_000
GIF_BLOCKS = 100_000  # of comments and applications' data before the first frame
BMP_RUN_BYTES = 4 * 2**20  # Pillow reads run lengths in Python, about a microsecond for two bytes
TILE_BYTES = 48 * 2**20  # of a grid of HEIC or AVIF, each as often as it is shown: 4 s
BOXES = 100_000  # boxes, items or extents of HEIC and AVIF: a photograph has some hundred
