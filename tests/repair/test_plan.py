"""A plan is what it says, however it is laid out."""

import json

from sexton.repair.apply import apply_plan
from sexton.repair.planfile import read_plan
from tests.support.repairs import incident, saved


def test_a_plan_laid_out_anew_is_the_same_plan(connection, path):
    incident(connection)
    plan = saved(connection, path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    read = read_plan(path)
    assert (read.document(), read.digest) == (plan.document(), plan.digest)
    assert apply_plan(connection, read).rows == 3
