"""Write nlspn.json: what the metric of NLSPN gives for the golden images, in float64.

Run `python make_nlspn.py CHECKOUT CASES`: a checkout of zzangjinsun/NLSPN_ECCV20 and the unpacked cases.
Needs torch, NumPy and Pillow. The metric runs unmodified, one image per batch; tensors are float64 instead of
float32.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    import numpy as np
    import torch
    from PIL import Image

    checkout, cases = map(Path, sys.argv[1:3])
    sys.path.insert(0, str(checkout / "src"))
    from metric.nlspnmetric import NLSPNMetric

    metric = NLSPNMetric(None)
    found: dict[str, list[dict[str, float]]] = {}
    for case in sorted(path for path in cases.iterdir() if path.is_dir()):
        rows = []
        for gt in sorted((case / "gt").glob("*.png")):
            depth = [
                np.asarray(Image.open(p)).astype(np.float64) / 256 for p in (gt, case / "pred" / gt.name)
            ]
            true, pred = (torch.from_numpy(array)[None, None] for array in depth)
            values = metric.evaluate({"gt": true}, {"pred": pred}, "test")[0].tolist()
            rows.append(dict(zip(metric.metric_name, values, strict=True)))
        found[case.name] = rows
    (Path(__file__).parent / "nlspn.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
