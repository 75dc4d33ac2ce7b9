"""A prompt → as many words as are asked for, one response each; the prompt says what goes wrong.

The end of sequence would come after five words: only ``min_tokens`` brings more.
"""

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
NATURAL = 5
STEP_S = 0.005


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            answer(request, request.get_response_sender())


def answer(request: Any, sender: Any) -> None:
    prompt = scalar(request, "text_input", b"").decode()
    wanted = int(scalar(request, "max_tokens", 0))
    length = min(wanted, max(NATURAL, int(scalar(request, "min_tokens", 0))))
    if prompt == "odd":
        for value in (["a", "b"], [b"\xe4\xbd"], [""]):
            sender.send(pb.InferenceResponse([text(value)]))
        length = 0
    for i in range(0 if prompt == "nothing" else length):
        if prompt == "fails at once" or (prompt == "fails later" and i == 2):
            sender.send(pb.InferenceResponse(error=pb.TritonError("no more memory")), flags=FINAL)
            return
        sender.send(pb.InferenceResponse([text([f" wörd{i}\n" if i == 1 else f" word{i}"]), *figures()]))
        if prompt != "burst":
            time.sleep(STEP_S)
    sender.send(flags=FINAL)


def scalar(request: Any, name: str, default: Any) -> Any:
    tensor = pb.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


def text(values: list[Any]) -> Any:
    return pb.Tensor("text_output", np.array([values], dtype=object))


def figures() -> list[Any]:
    return [
        pb.Tensor("cum_log_probs", np.zeros((1, 1), np.float32)),
        pb.Tensor("output_log_probs", np.zeros((1, 1, 1), np.float32)),
        pb.Tensor("batch_index", np.zeros((1, 1), np.int32)),
        pb.Tensor("sequence_index", np.zeros((1, 1), np.int32)),
    ]
