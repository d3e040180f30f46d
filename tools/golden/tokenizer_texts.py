"""Texts that tokenizers get wrong: white space, scripts, normal forms, numbers, code, special tokens, noise."""

import random

WORDS = [
    "",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "a",
    "Hello",
    " Hello",
    "Hello world",
    " Hello World!",
    "Hello, y'all! How are you 😁 ?",
    "The quick brown fox jumps over the lazy dog.",
    "I'm, you're, he's, we've, they'll, she'd, don't",
    "I'M, YOU'RE, HE'S, WE'VE, THEY'LL, SHE'D, DON'T",
    "it''s 'tis 's 't '",
    "\u017fs '\u017f it'\u017f",
    "this is 🦙.cpp",
    "w048 7tuijk dsdfhu",
    "CamelCaseWords and snake_case_words and kebab-case",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "supercalifragilisticexpialidocious",
]

WHITE_SPACE = [
    " \n",
    "\n\n",
    "\n\n\n",
    "\t\t",
    "\t\n",
    "   leading",
    "trailing   ",
    "   both   ",
    "in   the    middle     of",
    " " * 17 + "x",
    "x" + " " * 40 + "y",
    "line\nbreak",
    "line\r\nbreak\r\n",
    "line \n break",
    "two\n\nparagraphs",
    "tab\tseparated\tvalues",
    "\n  indented\n    more\n\t\ttabs\n",
    "no\u00a0break\u2003em\u3000ideographic\u2028line\u2029paragraph",
    "\u00a0",
    "\u200bzero\u200bwidth\ufeff",
    "\x0b\x0c\x85",
    " \u00a0 \u2009 mixed",
    "end with newline\n",
    "end with spaces\n   ",
    "▁",
    "▁▁a ▁b",
    " ▁ ",
]

NUMBERS = [
    "0",
    "1234567890",
    "3.14159, 1,000,000 and 1e-10",
    "1 22 333 4444 55555 666666 7777777",
    "2024-02-29T23:59:59Z",
    "٠١٢٣٤٥ १२३४ ௧௨௩ ¼ ½ ² Ⅷ ①",
    "x2y3 v1.2.3 #42 50%",
    "x² ½a ① Ⓐ a_b",
]

SCRIPTS = [
    "Übergrößenträger äöü ß ÄÖÜ ẞ",
    "Ça va? Être où? Noël, cœur, naïve",
    "¿Dónde está el niño? ¡Aquí!",
    "Привет, мир! Ёлка",
    "Γειά σου Κόσμε ΟΔΥΣΣΕΥΣ",
    "שלום עולם",
    "مرحبا بالعالم ـــ ٪",
    "नमस्ते दुनिया क्षि",
    "สวัสดีชาวโลก",
    "こんにちは世界。カタカナ ひらがな",
    "你好，世界！龥龦䶿",
    "안녕하세요 세계",
    "ភាសាខ្មែរ 🇰🇭",
    "ἀρχή Ἀθῆναι",
    "İstanbul ıI iİ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐷 𠜎",
    "ﬁ ﬂ ﬃ ＡＢＣ ｱｲｳ ㍿ ™ ℃",
]

NORMAL_FORMS = [
    "e\u0301 = é, n\u0303 = ñ",
    "A\u030a Å \u212b",
    "q\u0307\u0323 q\u0323\u0307",
    "\u1100\u1161\u11a8 각 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u0958 \u0915\u093c \u2126 \u00b5",
    "a\u0315\u0300\u05ae\u0062",
    "\u0301alone",
    "o\u0302\u0323 ộ",
    "\u0344 \u0f73 \u2adc \ufb1d",
]

EMOJI = [
    "😀😃😄",
    "👩‍👩‍👧‍👦 family",
    "👍🏽 🏳️‍🌈 ☺️ ☺",
    "flags 🇩🇪🇫🇷",
    "❤️🔥 text😀text",
    "🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅ 🦙🦙",
]

CODE = [
    "def f(x):\n    return x ** 2  # square\n",
    "#include <vector>\nint main() { return a->b[0] && !c; }",
    "SELECT * FROM t WHERE a != 'b' AND c >= 10;",
    '{"key": [1, 2, {"nested": null}], "s": "q\\"uote"}',
    "<html><body class=\"x\">&nbsp;</body></html>",
    "https://example.com/path?q=1&r=%20#frag user@mail.org",
    "C:\\Windows\\System32\\*.dll ~/.bashrc",
    "$x^2 + \\frac{1}{2}$ \\alpha ≤ ∞ ∑ √",
    "+-*/=<>!?@#$%^&*()_[]{}|\\:;\"'`~,./",
    "......!!!!!!??????------======",
    "/* a comment */ // another\n///\n",
    "«quoted» “double” ‘single’ – — … •",
]

SPECIAL = [
    "<s>",
    "</s>",
    "<unk>",
    "<s>Hello</s>",
    "a<s>b",
    "<|endoftext|>",
    "before<|endoftext|>after",
    "before <|endoftext|> after",
    "<|endoftext|><|endoftext|>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<|user|>\n Hello <|end|>  \n<|assistant|>\n",
    "<|im_start|",
    "<|im_start|>>",
    "<<|im_start|>",
    "<|IM_START|>",
    "<0x0A> <0xE2> <0xff>",
    "[INST] do it [/INST]",
    " <tool_call> x </tool_call> ",
    "<mask>  mask <mask> x<mask>y",
    "  <lstrip>  <rstrip>  <both>  x",
    "word<single>word <single> (<single>) é<single>é <single>",
    "\u200c<single>\u200d _<single>_",
    "Normalized NORMALIZED xnormalizedx É\u0301",
    "<a><ab><abc><abcd><aab",
]

NOISE = [
    "\x00",
    "a\x00b\x01\x02\x1f\x7f",
    "\ufffd \ufffe \uffff",
    "\U0010ffff \U000e0001",
    "\u202eright to left\u202c",
    "ÃƒÂ© mojibake",
    "\u0300\u0301\u0302\u0303 marks",
    "Z\u0351\u036b\u0343\u036a\u0302A\u0334\u0335\u031cL\u033f\u0317G\u0321\u0353O\u0322",
    "ĠĊ Ġhello Ċ",
]


def random_texts(count, seed):
    """Short strings of characters drawn from classes that pre-tokenizers tell apart."""
    rng = random.Random(seed)
    classes = [
        "abcxyzABCXYZ",
        " ",
        "  \n\r\t\u00a0\u3000",
        "0123456789²٣",
        ".,;:!?'\"-_/()[]{}<>|@#$%^&*+=~`\\",
        "éüñçßøåΩωЖяאبकक्षกあア漢字한",
        "\u0301\u0323\u0308\u200c\u200d\ufe0f",
        "😀🦙👍🏽🇩🇪",
        "'s't're've'm'll'd'S'T",
    ]
    texts = []
    for _ in range(count):
        length = rng.randint(1, 24)
        texts.append("".join(rng.choice(rng.choice(classes)) for _ in range(length)))
    return texts


def all_texts():
    groups = [WORDS, WHITE_SPACE, NUMBERS, SCRIPTS, NORMAL_FORMS, EMOJI, CODE, SPECIAL, NOISE]
    return [text for group in groups for text in group] + random_texts(14, seed=7)
