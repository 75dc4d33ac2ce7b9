"""A prompt → as many words as are asked for, every response with all of them so far."""

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
STEP_S = 0.005


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            answer(request, request.get_response_sender())


def answer(request: Any, sender: Any) -> None:
    length = int(scalar(request, "sampling_param_max_tokens", 4))
    said = "" if scalar(request, "sampling_param_exclude_input_from_output", False) else "(the prompt)"
    for i in range(length):
        said += f" word{i}"
        outputs = [pb.Tensor("text_output", np.array([said], dtype=object))]
        if scalar(request, "return_finish_reason", False):
            reason = "length" if i == length - 1 else "None"
            outputs.append(pb.Tensor("finish_reason", np.array([reason], dtype=object)))
        sender.send(pb.InferenceResponse(outputs), flags=FINAL if i == length - 1 else 0)
        time.sleep(STEP_S)


def scalar(request: Any, name: str, default: Any) -> Any:
    tensor = pb.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]
