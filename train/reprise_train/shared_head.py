"""The base's embedding and head, as modules and drafts borrow them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.base_model import Base


class SharedHead:
    """The base's embedding, and its head restricted to the draft vocabulary; frozen."""

    def __init__(self, base: Base, draft_ids: Tensor, device: torch.device, bf16: bool) -> None:
        dtype = torch.bfloat16 if bf16 else torch.float32
        self.embedding = base.embedding.to(device, dtype)  # [V, D]
        self.full = base.head.to(device, dtype)  # [V, D]
        self.draft_ids = draft_ids.to(device)  # [Vd] ascending base ids
        self.draft = self.full[self.draft_ids]  # [Vd, D]

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding).float()

    def draft_logits(self, outputs: Tensor) -> Tensor:
        """[N, Vd] of outputs [N, D]."""
        return F.linear(outputs.to(self.draft.dtype), self.draft)
