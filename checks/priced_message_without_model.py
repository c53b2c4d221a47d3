"""A message has a cost, but no model it was spent on.

Messages older than the model column, and hand-made fixes that set the reference to NULL,
look like this. Cost reports by model leave the amount out.

There is nothing to repair from: the model is not recorded anywhere else.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_messages",
    key=("id",),
    message="message {id} has a cost, but names no model",
    reads={"chat_messages": ("total_cost_micros", "model_config_id")},
    where="this.total_cost_micros is not null and this.model_config_id is null",
)
