"""The garbage collector of a long sweep."""

import subprocess
import sys

from support.train_command import environment

# A job is a cycle of 4,000 objects, and lives while 64 others are in flight, as the configurations of a search do.
JOBS = """
import collections, gc, json
from phalanx.core.garbage import collect_from_now_on, uncollected

with uncollected():
    stays = [[number] for number in range(300_000)]  # what imports leave
    assert not gc.isenabled()
assert gc.isenabled()
gc.disable()
collect_from_now_on()
assert gc.isenabled()

def job():
    nodes = [[] for _ in range(4_000)]
    for node, following in zip(nodes, nodes[1:] + nodes[:1]):
        node.append(following)
    return nodes[0]

in_flight, most = collections.deque(maxlen=64), 0
for number in range(800):
    in_flight.append(job())
    most = max(most, len(gc.get_objects()))
print(most / 4_000)
"""


def test_ended_jobs_leave_no_growing_garbage():
    done = subprocess.run(
        [sys.executable, "-c", JOBS], capture_output=True, text=True, check=True, timeout=300, env=environment()
    )
    assert 64 < float(done.stdout) < 400  # jobs in flight, and ended ones that are not collected yet
