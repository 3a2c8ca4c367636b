"""Called by RaveOS with its own Python, which may be old. Fills in the miner's statistics."""

import json
import os
import urllib.request

import ravinos

FACTORS = {"hs": 1.0, "khs": 1e3, "mhs": 1e6, "ghs": 1e9, "ths": 1e12}

stats = ravinos.get_stats()
url = "http://127.0.0.1:{}/mmpos".format(stats.get("api_port") or 4067)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    found = json.loads(opener.open(url, timeout=5).read().decode("utf-8"))
    of_bus = {}
    for i, bus in enumerate(found["busid"]):
        shares = found.get("shares") or {}
        own = {name: counts[i] for name, counts in shares.items() if i < len(counts)}
        of_bus[str(bus)] = (found["hash"][i] * FACTORS[found["units"]], own)
    accepted, invalid, rejected = [int(count) for count in found["air"]]
except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
    text = "progpow-miner does not answer: {}".format(error)  # noqa: UP032 (an old Python)
    miner = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        with open(os.path.join(miner, "progpow-miner.reason"), encoding="utf-8") as file:
            text = file.read().strip() or text
    except OSError:
        pass
    stats.setdefault("errors", []).append(text)
else:
    stats["shares"] = {"accepted": accepted, "invalid": invalid, "rejected": rejected}
    for mpu in stats.get("mpu", []):
        rate, own = of_bus.get(str(mpu.get("pci_id", "")), (0.0, {}))
        mpu["hash_rate1"] = rate
        if own:
            mpu["shares"] = own
ravinos.set_stats(stats)
