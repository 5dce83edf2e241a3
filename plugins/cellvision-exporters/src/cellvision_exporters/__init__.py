"""Exporters for cellvision: ONNX, OpenVINO, LiteRT and SavedModel."""
