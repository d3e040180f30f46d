"""Batched sampling from a draft with a key-value cache: the on-policy text of DistillSpec."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise_train.draft_model import Draft
from reprise_train.shared_head import SharedHead


class _Cache:
    """Keys and values of one layer, [B, G, capacity, K]; column c holds the token read c-th."""

    def __init__(self, batch: int, heads: int, capacity: int, size: int, device: torch.device) -> None:
        self.keys = torch.zeros(batch, heads, capacity, size, device=device)
        self.values = torch.zeros_like(self.keys)

    def extend(self, key: Tensor, value: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Puts [B, G, T, K] into columns start, start + 1, …; all keys and values so far."""
        end = start + key.shape[2]
        self.keys[:, :, start:end] = key
        self.values[:, :, start:end] = value
        return self.keys[:, :, :end], self.values[:, :, :end]


class DraftSampler:
    """Continues prompts with tokens of the draft's own distribution. No gradient flows."""

    def __init__(self, draft: Draft, head: SharedHead, stop_ids: tuple[int, ...]) -> None:
        self._draft, self._head = draft, head
        self._stop = torch.tensor(stop_ids, dtype=torch.long, device=head.embedding.device)

    @torch.no_grad()
    def sample(
        self, prompts: list[Tensor], max_tokens: int, temperature: float, generator: torch.Generator
    ) -> list[Tensor]:
        """Prompt and answer of each, as int64 ids on the CPU; an answer ends behind a stop id.

        Temperature 0 is greedy. Prompts are not empty; they are padded on the left, so that all rows end, and
        grow, together.
        """
        device = self._head.embedding.device
        longest = max(len(prompt) for prompt in prompts)
        padding = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = prompt
        config = self._draft.config
        capacity = longest + max_tokens
        caches = [
            _Cache(len(prompts), config.num_kv_heads, capacity, config.head_size, device)
            for _ in self._draft.layers
        ]
        done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        lengths = torch.full((len(prompts),), max_tokens, device=device)
        answers: list[Tensor] = []
        start = 0
        for index in range(max_tokens):
            output = self._step(ids, start, padding, caches)
            start += ids.shape[1]
            chosen = self._draw(self._head.draft_logits(output).float(), temperature, generator)
            answers.append(chosen)
            ended = torch.isin(chosen, self._stop) & ~done
            lengths[ended] = index + 1
            done |= ended
            if done.all():
                break
            ids = chosen[:, None]
        written = torch.stack(answers, dim=1).cpu()
        return [torch.cat((prompt.cpu(), written[row, : lengths[row]])) for row, prompt in enumerate(prompts)]

    def _draw(self, logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Base ids [B] of logits [B, Vd]."""
        if temperature == 0:
            return self._head.draft_ids[logits.argmax(-1)]
        probabilities = torch.softmax(logits / temperature, dim=-1)
        return self._head.draft_ids[torch.multinomial(probabilities, 1, generator=generator)[:, 0]]

    def _step(self, ids: Tensor, start: int, padding: Tensor, caches: list[_Cache]) -> Tensor:
        """Reads ids [B, T] into columns start, start + 1, …; the output [B, D] of the last."""
        draft = self._draft
        columns = torch.arange(start, start + ids.shape[1], device=ids.device)
        positions = (columns[None] - padding[:, None]).clamp_min(0)  # [B, T]
        cos, sin = draft.cos[positions][:, None], draft.sin[positions][:, None]  # [B, 1, T, K]
        seen = torch.arange(start + ids.shape[1], device=ids.device)
        mask = (seen <= columns[:, None]) & (seen >= padding[:, None, None])  # [B, T, columns so far]
        mask |= seen == columns[:, None]  # padding sees itself: no row of the softmax is empty
        x = self._head.embed(ids)
        for layer, cache in zip(draft.layers, caches, strict=True):
            normed = layer.attention_norm(x)
            query, key, value = layer.attention.project(normed, cos, sin)
            x = x + layer.attention.mix(query, *cache.extend(key, value, start), mask[:, None])
            x = x + layer.ffn(layer.ffn_norm(x))
        return draft.norm(x[:, -1])
