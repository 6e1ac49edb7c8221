"""Reading and writing picture files: every kind becomes 8-bit sRGB, or is refused in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from ugicm_client.errors import (
    FileTooLarge,
    PictureError,
    PictureTooLarge,
    UnreadablePicture,
    UnwritablePicture,
)
from ugicm_client.pictures import format_of, picture_bytes, picture_from_bytes, read_picture
from ugicm_codec import Limits

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GREY = RAMP[..., 0]


def file_bytes(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        buffer, file_format, **options
    )
    return buffer.getvalue()


def grey(levels):
    return np.stack([levels] * 3, axis=-1)


def png(width, height, *, depth, colour_type, rows):
    """A PNG of kinds that Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def icc_profile(red, green, blue):
    """An RGB profile of gamma 2.2 with these primaries, in XYZ under D50."""

    def fixed(numbers):
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + fixed((0.9642, 1.0, 0.8249)),
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(red),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(green),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(blue),
    } | {
        name: b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
        for name in (b"rTRC", b"gTRC", b"bTRC")
    }
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1.0, 0.8249))
    return header.ljust(128, b"\0") + table + data


RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "PPM", "WEBP"])
def test_rgb_files_keep_their_pixels(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = picture_from_bytes(file_bytes(RAMP, file_format, **options))
    np.testing.assert_array_equal(image, RAMP)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_jpeg_is_read_as_pillow_reads_it():
    data = file_bytes(RAMP, "JPEG")
    np.testing.assert_array_equal(picture_from_bytes(data), np.array(Image.open(io.BytesIO(data))))


def test_grey_goes_to_all_channels():
    np.testing.assert_array_equal(picture_from_bytes(file_bytes(GREY)), grey(GREY))


def test_bilevel_becomes_black_and_white():
    bits = GREY > 30
    image = picture_from_bytes(file_bytes(Image.fromarray(bits)))
    np.testing.assert_array_equal(image, grey(bits.astype(np.uint8) * 255))


def test_palettes_are_looked_up():
    palette = Image.fromarray(GREY % 4)
    palette.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 1, 2, 3])
    colours = np.array([[9, 8, 7], [255, 0, 0], [0, 255, 0], [1, 2, 3]], np.uint8)
    np.testing.assert_array_equal(picture_from_bytes(file_bytes(palette)), colours[GREY % 4])


def test_a_transparent_palette_colour_shows_the_background():
    palette = Image.fromarray(GREY % 2)
    palette.putpalette([9, 8, 7, 255, 0, 0])
    data = file_bytes(palette, "GIF", transparency=1)
    colours = np.array([[9, 8, 7], [10, 20, 30]], np.uint8)
    image = picture_from_bytes(data, background=(10, 20, 30))
    np.testing.assert_array_equal(image, colours[GREY % 2])


@pytest.mark.parametrize(("alpha", "expected"), [(255, (200, 100, 0)), (0, (0, 0, 255))])
def test_alpha_shows_the_picture_or_the_background(alpha, expected):
    rgba = np.full((2, 3, 4), (200, 100, 0, alpha), np.uint8)
    image = picture_from_bytes(file_bytes(rgba), background=(0, 0, 255))
    np.testing.assert_array_equal(image, np.full((2, 3, 3), expected, np.uint8))


def test_half_transparent_pixels_are_mixed_with_white_unless_told_otherwise():
    rgba = np.full((1, 1, 4), (0, 0, 0, 51), np.uint8)
    np.testing.assert_array_equal(picture_from_bytes(file_bytes(rgba)), [[[204, 204, 204]]])


def test_grey_with_alpha_is_composited():
    la = np.zeros((1, 2, 2), np.uint8)
    la[0, 1] = (77, 255)
    image = picture_from_bytes(file_bytes(Image.fromarray(la, "LA")), background=(1, 2, 3))
    np.testing.assert_array_equal(image, [[[1, 2, 3], [77, 77, 77]]])


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_upper_bits(file_format):
    samples = np.array([[0, 255, 256, 0x1234, 65535]], np.uint16)
    image = picture_from_bytes(file_bytes(samples, file_format))
    np.testing.assert_array_equal(image, grey(np.array([[0, 0, 1, 0x12, 255]])))


def test_16_bit_colour_keeps_its_upper_bits():
    row = b"\0" + struct.pack(">6H", 0x12FF, 0x3400, 0xFFFF, 0, 0x00FF, 0x0100)
    image = picture_from_bytes(png(2, 1, depth=16, colour_type=2, rows=row))
    np.testing.assert_array_equal(image, [[[0x12, 0x34, 0xFF], [0, 0, 1]]])


def test_32_bit_grey_within_16_bits_counts_as_16_bit():
    data = file_bytes(np.array([[0, 65535]], np.int32), "TIFF")
    np.testing.assert_array_equal(picture_from_bytes(data), grey(np.array([[0, 255]])))


@pytest.mark.parametrize(
    "samples", [np.array([[0, 65536]], np.int32), np.array([[-1]], np.int32), np.ones((1, 1), "f")]
)
def test_samples_without_an_agreed_range_are_refused(samples):
    with pytest.raises(UnreadablePicture, match="no agreed range"):
        picture_from_bytes(file_bytes(samples, "TIFF"))


def test_lab_is_refused():
    with pytest.raises(UnreadablePicture, match="mode LAB"):
        picture_from_bytes(file_bytes(Image.new("LAB", (2, 2)), "TIFF"))


def test_inks_without_a_profile_absorb_their_part_of_the_light():
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 100, 0, 55], [0, 0, 0, 255]]], np.uint8)
    image = picture_from_bytes(file_bytes(Image.fromarray(inks, "CMYK"), "TIFF"))
    np.testing.assert_array_equal(
        image, [[[255, 255, 255], [0, 255, 255], [200, 122, 200], [0, 0, 0]]]
    )


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, RAMP),
        (2, RAMP[:, ::-1]),
        (3, RAMP[::-1, ::-1]),
        (4, RAMP[::-1]),
        (5, RAMP.swapaxes(0, 1)),
        (6, np.rot90(RAMP, -1)),
        (7, np.rot90(RAMP, 2).swapaxes(0, 1)),
        (8, np.rot90(RAMP)),
    ],
)
def test_exif_orientation_is_applied(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(picture_from_bytes(file_bytes(RAMP, exif=exif)), expected)


def test_a_colour_profile_is_converted_to_srgb():
    exchanged = icc_profile(BLUE, GREEN, RED)  # its first channel is blue
    image = picture_from_bytes(file_bytes(RAMP, icc_profile=exchanged))
    linear = (RAMP[..., ::-1] / 255) ** 2.2
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(image - 255 * srgb).max() <= 2


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = picture_from_bytes(file_bytes(RAMP, icc_profile=profile))
    assert np.abs(image.astype(int) - RAMP).max() <= 1


def test_a_colour_profile_applies_behind_alpha_too():
    rgba = np.dstack([RAMP, np.full(RAMP.shape[:2], 255, np.uint8)])
    profile = icc_profile(BLUE, GREEN, RED)
    np.testing.assert_array_equal(
        picture_from_bytes(file_bytes(rgba, icc_profile=profile)),
        picture_from_bytes(file_bytes(RAMP, icc_profile=profile)),
    )


@pytest.mark.parametrize("profile", [b"not a profile", icc_profile(RED, GREEN, BLUE)[:150]])
def test_a_broken_colour_profile_is_ignored(profile):
    data = file_bytes(RAMP, icc_profile=profile)
    np.testing.assert_array_equal(picture_from_bytes(data), RAMP)


def test_a_profile_of_another_colour_space_is_ignored():
    cmyk = Image.new("CMYK", (1, 1), (0, 0, 0, 0))
    data = file_bytes(cmyk, "TIFF", icc_profile=icc_profile(RED, GREEN, BLUE))
    np.testing.assert_array_equal(picture_from_bytes(data), [[[255, 255, 255]]])


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.fromarray(np.full((2, 2, 3), level, np.uint8)) for level in (10, 200)]
    data = file_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert (picture_from_bytes(data) == 10).all()


@pytest.mark.parametrize("size", [(31, 1), (1, 31), (11, 10)])
def test_an_oversized_picture_is_refused_before_it_is_decoded(size):
    undecodable = png(*size, depth=8, colour_type=2, rows=b"no rows at all")
    with pytest.raises(PictureTooLarge, match=f"{size[0]}x{size[1]}"):
        picture_from_bytes(undecodable, limits=Limits(max_side=30, max_pixels=100))


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_refused_within_pillows_own_bounds_and_beyond(side):
    bomb = png(side, side, depth=1, colour_type=0, rows=b"")
    with pytest.raises(PictureTooLarge):
        picture_from_bytes(bomb)


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(UnreadablePicture):
        picture_from_bytes(png(0, 5, depth=8, colour_type=2, rows=b""))


def test_an_empty_file_is_refused():
    with pytest.raises(UnreadablePicture, match="0 bytes"):
        picture_from_bytes(b"")


@pytest.mark.parametrize("data", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(100)])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(UnreadablePicture, match="not a picture"):
        picture_from_bytes(data)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_every_truncation_is_refused(file_format):
    data = file_bytes(np.tile(RAMP, (8, 8, 1)), file_format)
    for length in {len(data) // 8 * eighth for eighth in range(1, 8)}:
        with pytest.raises(PictureError):
            picture_from_bytes(data[:length])


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"broken")
    with pytest.raises(UnreadablePicture, match=r"broken\.jpg"):
        read_picture(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "absent.png")


def test_a_file_without_end_is_not_read_into_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("ugicm_client.files.MAX_FILE_BYTES", 1000)
    path = tmp_path / "long.png"
    path.write_bytes(bytes(1001))
    with pytest.raises(FileTooLarge, match="1000 bytes"):
        read_picture(path)


@pytest.mark.parametrize("file_format", ["png", "webp"])
def test_png_and_webp_are_written_without_loss(file_format):
    data = picture_bytes(RAMP, file_format)
    assert Image.open(io.BytesIO(data)).format == file_format.upper()
    np.testing.assert_array_equal(picture_from_bytes(data), RAMP)


def test_jpeg_is_written_with_full_chroma():
    data = picture_bytes(RAMP, "jpeg")
    assert [layer[1:3] for layer in Image.open(io.BytesIO(data)).layer] == [(1, 1)] * 3


@pytest.mark.parametrize(
    ("name", "file_format"),
    [("a.png", "png"), ("a.JPG", "jpeg"), ("a.jpeg", "jpeg"), ("a.webp", "webp")],
)
def test_the_ending_names_the_format(tmp_path, name, file_format):
    assert format_of(tmp_path / name) == file_format


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(UnwritablePicture, match=r"a\.gif"):
        format_of(tmp_path / "a.gif")


def test_a_picture_too_long_for_its_format_is_refused():
    with pytest.raises(UnwritablePicture, match="16383"):
        picture_bytes(np.zeros((1, 16_384, 3), np.uint8), "webp")
