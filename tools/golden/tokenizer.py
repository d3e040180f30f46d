#!/usr/bin/env python3
"""Makes tests/data/tokenizer: small tokenizers of every family, and what the `tokenizers` library makes of many texts.

With --shared DIR also the expectations for the published tokenizers in that folder, which are not committed
themselves. Needs the packages `tokenizers` and, for --shared, `gguf`.

    python tools/golden/tokenizer.py --out tests/data/tokenizer [--shared ../shared]
"""

import argparse
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE

import tokenizer_texts

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
          r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


# ---------------------------------------------------------------- the small tokenizers


def corpus():
    return tokenizer_texts.all_texts() * 4 + [
        "the of and to in that is was for with as on be at by this had not are but from or have an they "
        "which one you were all her she there would their we him been has when who will no more if out so " * 3
    ]


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **options})


def train(tokenizer, size, **options):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, **options)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def train_byte_level(pre_tokenizer, normalizer=None, size=400, **model_options):
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    vocab, merges = train(tokenizer, size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.model = BPE(vocab=vocab, merges=merges, **model_options)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_sentence_piece(size=320):
    """Vocabulary and merges in the order of a SentencePiece model: specials, bytes, then what was learnt."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    learnt, merges = train(tokenizer, size, limit_alphabet=80)
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>"] + BYTE_TOKENS)}
    for token in sorted(learnt, key=learnt.get):
        vocab.setdefault(token, len(vocab))
    return vocab, merges


def special(*contents, **options):
    return [AddedToken(content, special=True, normalized=False, **options) for content in contents]


def begin_with(tokenizer, token):
    return processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, tokenizer.token_to_id(token))])


def llama3():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([split(LLAMA3), byte_level()]), ignore_merges=True)
    tokenizer.add_special_tokens(
        special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"))
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), begin_with(tokenizer, "<|begin_of_text|>")])
    return tokenizer


def qwen2():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([split(QWEN2), byte_level()]), normalizer=normalizers.NFC())
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "</tool_call>")])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def smollm2():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)]))
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    return tokenizer


def gpt2():
    tokenizer = train_byte_level(byte_level(add_prefix_space=True, use_regex=True))
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=True)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def tekken():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([split(TEKKEN), byte_level()]), ignore_merges=True)
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>", "[INST]", "[/INST]"))
    tokenizer.post_processor = begin_with(tokenizer, "<s>")
    return tokenizer


def deepseek3():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([split(pattern) for pattern in DEEPSEEK3] + [byte_level()]))
    tokenizer.add_special_tokens(special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"))
    tokenizer.add_tokens([AddedToken("<｜User｜>", normalized=True)])
    tokenizer.post_processor = begin_with(tokenizer, "<｜begin▁of▁sentence｜>")
    return tokenizer


def sentence_piece_decoder():
    return decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def llama2():
    vocab, merges = train_sentence_piece()
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=True) for text in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = begin_with(tokenizer, "<s>")
    tokenizer.decoder = sentence_piece_decoder()
    return tokenizer


def phi3():
    tokenizer = llama2()
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.add_special_tokens(special("<unk>", "<s>"))
    tokenizer.add_tokens([AddedToken("</s>", normalized=False, rstrip=True)])
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    tokenizer.add_special_tokens(special("<|user|>", "<|end|>", "<|assistant|>", rstrip=True))
    return tokenizer


def mistral():
    vocab, merges = train_sentence_piece()
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>", "[INST]", "[/INST]"))
    tokenizer.post_processor = begin_with(tokenizer, "<s>")
    tokenizer.decoder = sentence_piece_decoder()
    return tokenizer


def metaspace():
    """No byte fallback: unknown characters are unknown tokens, one each."""
    vocab, merges = train_sentence_piece()
    vocab = {token: i for i, token in enumerate(token for token in vocab if token not in BYTE_TOKENS)}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>"))
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="$A $B", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def added():
    """Every flag of added tokens."""
    tokenizer = train_byte_level(
        byte_level(use_regex=True), size=400,
        normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]))
    tokenizer.add_special_tokens(special("<|im_start|>", "<s>"))
    tokenizer.add_special_tokens(special("<mask>", "<lstrip>", lstrip=True))
    tokenizer.add_tokens([
        AddedToken("<rstrip>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("<single>", single_word=True, normalized=False),
        AddedToken("Normalized", normalized=True),
        AddedToken("normalize", normalized=True, single_word=True),
        AddedToken("É", normalized=True),
        AddedToken("<a", normalized=False),
        AddedToken("<ab", normalized=False),
        AddedToken("<abc>", normalized=False),
        AddedToken("  ", normalized=False),
    ])
    return tokenizer


def words():
    """Prefixes of continued words, accents and case removed, unknown tokens fused."""
    tokenizer = Tokenizer(BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Digits()])
    vocab, merges = train(
        tokenizer, 400, limit_alphabet=60, special_tokens=["[UNK]", "[CLS]", "[SEP]"], continuing_subword_prefix="##")
    tokenizer.model = BPE(
        vocab=vocab, merges=merges, unk_token="[UNK]", fuse_unk=True, continuing_subword_prefix="##")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def suffixes():
    """The end of a word is marked; characters without a token disappear."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    vocab, merges = train(tokenizer, 300, limit_alphabet=50, end_of_word_suffix="</w>")
    tokenizer.model = BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>")
    return tokenizer


FAMILIES = [
    llama3, qwen2, smollm2, gpt2, tekken, deepseek3, llama2, phi3, mistral, metaspace, added, words, suffixes]


# ---------------------------------------------------------------- expectations


def decoding_twin(tokenizer):
    """The same tokenizer for decoding only: version 0.23 shows (and fails to skip) the normalized form of added tokens
    that are looked for in normalized text, "▁<s>" for "<s>"; other versions show the token."""
    document = json.loads(tokenizer.to_str())
    for token in document["added_tokens"]:
        token["normalized"] = False
    return Tokenizer.from_str(json.dumps(document))


def expectation(tokenizer, decoder, text):
    ids = tokenizer.encode(text).ids
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    literal = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    row = {"ids": ids}
    if plain != ids:
        row["plain"] = plain
    if literal != plain:
        row["literal"] = literal
    decoded = decoder.decode(ids, skip_special_tokens=True)
    if decoded != text:
        row["decoded"] = decoded
    decoded_all = decoder.decode(ids, skip_special_tokens=False)
    if decoded_all != decoded:
        row["decoded_all"] = decoded_all
    return row


def write_rows(path, rows):
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def write_expectations(path, tokenizer, texts):
    decoder = decoding_twin(tokenizer)
    write_rows(path, [expectation(tokenizer, decoder, text) for text in texts])


def legacy_merges(document):
    """Merges as "a b" strings, as older versions of the library write them."""
    document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]
    return document


def write_families(out, texts):
    for family in FAMILIES:
        tokenizer = family()
        folder = out / family.__name__
        folder.mkdir(parents=True, exist_ok=True)
        document = json.loads(tokenizer.to_str())
        if family in (qwen2, llama2):
            document = legacy_merges(document)
        (folder / "tokenizer.json").write_text(
            json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        tokenizer = Tokenizer.from_str(json.dumps(document))
        write_expectations(folder / "expected.jsonl", tokenizer, texts)


# ---------------------------------------------------------------- components


def pre_tokenizer_cases():
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    for behavior in behaviors:
        for invert in (False, True):
            yield pre_tokenizers.Split(Regex(r"\s|-"), behavior, invert)
        yield pre_tokenizers.Punctuation(behavior)
    yield pre_tokenizers.Split(".", "removed", False)
    yield pre_tokenizers.Split("", "isolated", False)
    yield pre_tokenizers.Split(Regex(r"(?=[A-Z])"), "isolated", False)
    yield pre_tokenizers.Split(Regex(r"x*"), "removed", False)
    yield pre_tokenizers.Split(Regex(r"(?<=\s)\S+$"), "isolated", False)
    yield pre_tokenizers.Digits(individual_digits=True)
    yield pre_tokenizers.Digits(individual_digits=False)
    yield pre_tokenizers.Whitespace()
    yield pre_tokenizers.WhitespaceSplit()
    yield pre_tokenizers.CharDelimiterSplit("|")
    for add_prefix_space in (False, True):
        for use_regex in (False, True):
            yield pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    for scheme in ("always", "first", "never"):
        for splits in (False, True):
            yield pre_tokenizers.Metaspace(prepend_scheme=scheme, split=splits)
    yield pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")])
    yield pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), byte_level()])])


def normalizer_cases():
    yield from (normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD())
    yield from (normalizers.Lowercase(), normalizers.StripAccents(), normalizers.ByteLevel())
    yield from (normalizers.Strip(left=True, right=False), normalizers.Strip(left=False, right=True))
    yield from (normalizers.Prepend("▁"), normalizers.Replace("a", "<a>"), normalizers.Replace(Regex(r"\s+"), " "))
    yield normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Prepend("_")])


def write_components(out, texts):
    """Of every fourth text only: there are many components."""
    texts = texts[::4]
    rows = []
    for component in normalizer_cases():
        description = json.loads(component.__getstate__())
        outputs = [component.normalize_str(text) for text in texts]
        rows.append({"normalizer": description, "outputs": outputs})
    write_rows(out / "normalizers.jsonl", rows)
    rows = []
    for component in pre_tokenizer_cases():
        description = json.loads(component.__getstate__())
        outputs = [[piece for piece, _ in component.pre_tokenize_str(text)] for text in texts]
        rows.append({"pre_tokenizer": description, "outputs": outputs})
    write_rows(out / "pre_tokenizers.jsonl", rows)


# ---------------------------------------------------------------- published tokenizers


def from_gguf(path):
    """SmolLM2's tokenizer, put together from the lists inside a GGUF file."""
    import gguf

    reader = gguf.GGUFReader(path)
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    types = reader.get_field("tokenizer.ggml.token_type").contents()
    merges = [tuple(line.split(" ")) for line in reader.get_field("tokenizer.ggml.merges").contents()]
    tokenizer = Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    control = int(gguf.TokenType.CONTROL)
    tokenizer.add_special_tokens(special(*[token for token, kind in zip(tokens, types) if kind == control]))
    return tokenizer


def from_json(path):
    """Also a file whose legacy merges hold tokens with spaces, which the library itself cannot split."""
    document = json.loads(path.read_text(encoding="utf-8"))
    vocab = document["model"]["vocab"]

    def pair(merge):
        if not isinstance(merge, str):
            return merge
        cuts = [i for i, c in enumerate(merge) if c == " "]
        return next([merge[:i], merge[i + 1:]] for i in cuts if merge[:i] in vocab and merge[i + 1:] in vocab)

    document["model"]["merges"] = [pair(merge) for merge in document["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(document))


def write_published(out, shared, texts):
    folder = out / "published"
    folder.mkdir(exist_ok=True)
    tokenizers = {
        name: from_json(shared / "data/tokenizers" / name / "tokenizer.json") for name in ("gpt2", "llama2", "phi-3-mini")}
    tokenizers["smollm2"] = from_gguf(shared / "models/SmolLM2-135M-Instruct.Q4_1.gguf")
    prompts = [json.loads(line) for line in (shared / "data/prompts/dev.jsonl").open(encoding="utf-8")]
    long_texts = ["\n".join(prompt["turns"]) for prompt in prompts[::40]]
    for name, tokenizer in tokenizers.items():
        write_expectations(folder / f"{name}.jsonl", tokenizer, texts)
        ids = [tokenizer.encode(text).ids for text in long_texts]
        write_rows(folder / f"{name}.prompts.jsonl", [{"ids": row} for row in ids])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--shared", type=pathlib.Path)
    arguments = parser.parse_args()
    texts = tokenizer_texts.all_texts()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_rows(arguments.out / "texts.jsonl", texts)
    write_families(arguments.out, texts)
    write_components(arguments.out, texts)
    if arguments.shared is not None:
        write_published(arguments.out, arguments.shared, texts)


if __name__ == "__main__":
    main()
