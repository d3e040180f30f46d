"""GGUF files of random weights in real models' shapes, for figures that need a size and no sense. Standard library only.

The matrices are written as Q8_0, from which llama-quantize makes every other type. The vocabulary is one both engines
accept: three control tokens, the 256 bytes, and numbered pieces up to the size wanted.
"""

import dataclasses
import random
import struct

ALIGNMENT = 32
BLOCK = 32  # weights of a Q8_0 block: an fp16 scale and as many int8
F32, Q8_0 = 0, 8  # tensor types
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9  # value types
UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6  # token types
SCALE = struct.pack("<e", 0.02 / 73.9)  # uniform int8 have a deviation of 73.9; 0.02 is usual for weights


@dataclasses.dataclass(frozen=True)
class Shape:
    name: str
    architecture: str  # as GGUF calls it
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tied: bool
    qkv_bias: bool

    @property
    def kv_width(self):
        return self.width // self.heads * self.kv_heads

    def matrices(self):
        """(name, rows, columns)."""
        yield "token_embd", self.vocabulary, self.width
        if not self.tied:
            yield "output", self.vocabulary, self.width
        for layer in range(self.layers):
            for name, rows, columns in (("attn_q", self.width, self.width), ("attn_k", self.kv_width, self.width),
                                        ("attn_v", self.kv_width, self.width), ("attn_output", self.width, self.width),
                                        ("ffn_gate", self.ffn, self.width), ("ffn_up", self.ffn, self.width),
                                        ("ffn_down", self.width, self.ffn)):
                yield f"blk.{layer}.{name}", rows, columns

    def vectors(self):
        """(name, size, value)."""
        yield "output_norm.weight", self.width, 1.0
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_norm.weight", self.width, 1.0
            yield f"blk.{layer}.ffn_norm.weight", self.width, 1.0
            if self.qkv_bias:
                yield f"blk.{layer}.attn_q.bias", self.width, 0.0
                yield f"blk.{layer}.attn_k.bias", self.kv_width, 0.0
                yield f"blk.{layer}.attn_v.bias", self.kv_width, 0.0


LLAMA_1B = Shape("llama-1.1b", "llama", 2048, 22, 32, 4, 5632, 32000, tied=False, qkv_bias=False)
QWEN2_HALF_B = Shape("qwen2-0.5b", "qwen2", 896, 24, 14, 2, 4864, 151936, tied=True, qkv_bias=True)


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


_PACK = {UINT32: lambda value: struct.pack("<I", value), INT32: lambda value: struct.pack("<i", value),
         FLOAT32: lambda value: struct.pack("<f", value), STRING: _string}


def _array(kind, values):
    return struct.pack("<IQ", kind, len(values)) + b"".join(map(_PACK[kind], values))


def _pair(key, kind, value):
    return _string(key) + struct.pack("<I", kind) + _PACK[kind](value)


def _array_pair(key, kind, values):
    return _string(key) + struct.pack("<I", ARRAY) + _array(kind, values)


def _vocabulary(size):
    """Metadata of the tokenizer."""
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    tokens += [(f"piece{number}", NORMAL) for number in range(size - len(tokens))]
    names, kinds = zip(*tokens)
    return [_pair("tokenizer.ggml.model", STRING, "llama"), _array_pair("tokenizer.ggml.tokens", STRING, names),
            _array_pair("tokenizer.ggml.scores", FLOAT32, [-float(number) for number in range(size)]),
            _array_pair("tokenizer.ggml.token_type", INT32, kinds),
            _pair("tokenizer.ggml.unknown_token_id", UINT32, 0), _pair("tokenizer.ggml.bos_token_id", UINT32, 1),
            _pair("tokenizer.ggml.eos_token_id", UINT32, 2)]


def _metadata(shape):
    prefix = shape.architecture
    sizes = {"block_count": shape.layers, "context_length": 4096, "embedding_length": shape.width,
             "feed_forward_length": shape.ffn, "attention.head_count": shape.heads,
             "attention.head_count_kv": shape.kv_heads, "rope.dimension_count": shape.width // shape.heads}
    return [_pair("general.architecture", STRING, prefix), _pair("general.name", STRING, shape.name),
            *(_pair(f"{prefix}.{key}", UINT32, value) for key, value in sizes.items()),
            _pair(f"{prefix}.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
            _pair(f"{prefix}.rope.freq_base", FLOAT32, 10000.0), *_vocabulary(shape.vocabulary)]


def _random_blocks(count, seed=1):
    numbers = random.Random(seed).randbytes(count * BLOCK)
    return b"".join(SCALE + numbers[at:at + BLOCK] for at in range(0, len(numbers), BLOCK))


def _write_matrix(file, blocks, size):
    """The same random numbers in every matrix: they are read from different memory all the same."""
    while size > 0:
        size -= file.write(blocks[:size])


def _padding(size):
    return -size % ALIGNMENT


def write(shape, path):
    blocks = _random_blocks(1 << 18)
    tensors = []  # name, dimensions (innermost first), type, bytes
    for name, rows, columns in shape.matrices():
        tensors.append((name + ".weight", (columns, rows), Q8_0, rows * columns // BLOCK * (BLOCK + len(SCALE))))
    vectors = {name: struct.pack("<f", value) * size for name, size, value in shape.vectors()}
    tensors += [(name, (len(data) // 4,), F32, len(data)) for name, data in vectors.items()]
    metadata = _metadata(shape)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    offset = 0
    for name, dimensions, kind, size in tensors:
        header += _string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        offset += size + _padding(size)
    with path.open("wb") as file:
        file.write(header + bytes(_padding(len(header))))
        for name, dimensions, kind, size in tensors:
            if kind == F32:
                file.write(vectors[name])
            else:
                _write_matrix(file, blocks, size)
            file.write(bytes(_padding(size)))
