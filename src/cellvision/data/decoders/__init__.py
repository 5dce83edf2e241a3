"""One module a family of formats: open file in, pixels as they are stored out.

Each has ``decode(...) -> (pixels, bit_depth, notes)`` with pixels (H, W, C) in native byte
order, and raises `common.Refusal` for what it will not guess at. They import the decoding
libraries at their top, so `cellvision.data.files` imports them only when a file asks for it.
"""
