"""(e) From image files to a CSV of probabilities."""

from __future__ import annotations

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.measures.folder_to_model import train_command
from benchmarks.process import Peer
from benchmarks.result import Result, compare

OURS = Peer(
    *("cellvision predict, converted before", "cellvision_predict"),
    needs=("onnxruntime", "onnx", "tf2onnx"),
    options={"before": "onnxruntime"},
)
UNCONVERTED = Peer(
    "cellvision predict, not converted", "cellvision_predict", options={"before": "auto"}
)
KERAS = Peer("Keras predict", "keras_predict")
PEERS = (
    OURS,
    UNCONVERTED,
    KERAS,
    Peer("ONNX Runtime by hand", "onnx_by_hand", ("onnxruntime", "onnx", "tf2onnx")),
    Peer("OpenVINO by hand", "openvino_by_hand", ("openvino",)),
)


def measure(bench: Bench) -> Result:
    """Measure images per second, with the model loaded and everything compiled."""
    result = Result(
        "(e) Prediction from files to CSV",
        "images/s",
        "PNG files of 256×256×3 and the network `deep` of one run, trained in float32 so that "
        "every engine can read it. The clock starts after a first prediction; decoding and the "
        "CSV are included. `cellvision predict` uses a converted network if there is one, and "
        "converts one if Keras would need more than four seconds, which is not the case here.",
    )
    images = bench.cells(train=1200, test=20)
    small = bench.cells(train=40, test=20)
    trained = bench.work / "runs" / "predicting"
    if not (trained / "run.json").is_file():
        options = ("--set", "training.precision=float32")
        command = train_command(str(small["folder"]), trained, 1, *options)
        process.run(command, bench.cache("e"))
    task = {"folder": images["folder"], "run": str(trained), "shape": [256, 256, 3], "warm": 40}
    rows = bench.rows(
        PEERS,
        lambda peer, _: peer.run(task, bench.cache("e_before" if peer is OURS else "e")),
        lambda result: result.output["images_per_s"],
    )
    for row in rows:
        bench.add_share(row, "deep", "bfloat16", training=False)
    result.rows = rows
    ours = find_row(rows, OURS.label)
    result.ratios = [
        compare(
            f"{OURS.label} : {peer.label}",
            ours,
            find_row(rows, peer.label),
            "≥ 2.0" if peer is KERAS else "",
        )
        for peer in PEERS
        if peer is not OURS
    ]
    return result
