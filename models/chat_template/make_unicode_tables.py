"""Writes unicode_tables.inc: what Python's str methods know about characters, as sorted ranges.

Usage: python3 make_unicode_tables.py > unicode_tables.inc
"""

import unicodedata

CHARACTERS = [chr(code) for code in range(0x110000)]


def ranges(predicate):
    found = []
    for code, character in enumerate(CHARACTERS):
        if not predicate(character):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def print_rows(rows):
    line = ""
    for row in rows:
        if len(line) + len(row) + 2 > 108:
            print("   " + line)
            line = ""
        line += " " + row + ","
    print("   " + line)


def print_ranges(name, predicate):
    print(f"constexpr CodePointRange {name}[] = {{")
    print_rows(f"{{{first:#x}, {last:#x}}}" for first, last in ranges(predicate))
    print("};")


def mapping_ranges(pairs):
    """(first, last, stride, delta) for runs of characters that move by the same distance."""
    found = []
    for code, target in pairs:
        delta = target - code
        if found and found[-1][3] == delta:
            first, last, stride, _ = found[-1]
            step = code - last
            if step == stride or (first == last and step <= 2):
                found[-1] = [first, code, step, delta]
                continue
        found.append([code, code, 1, delta])
    return found


def print_mapping(name, convert, base=lambda character: character):
    changed = [(ord(c), convert(c)) for c in CHARACTERS if convert(c) != base(c)]
    print(f"constexpr CaseRange {name}[] = {{")
    print_rows(
        f"{{{first:#x}, {last:#x}, {stride}, {delta}}}"
        for first, last, stride, delta in mapping_ranges((c, ord(t)) for c, t in changed if len(t) == 1)
    )
    print("};")
    print(f"constexpr CaseExpansion {name}Expansions[] = {{")
    print_rows(
        f"{{{code:#x}, {{{', '.join(hex(ord(c)) for c in target)}}}}}" for code, target in changed if len(target) > 1
    )
    print("};")


print(f"// Made by make_unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.")
print_ranges("kAlphabetic", str.isalpha)
print_ranges("kDigits", str.isdigit)
print_ranges("kNumeric", str.isnumeric)
print_ranges("kNotPrintable", lambda character: not character.isprintable())
print_mapping("kUpper", str.upper)
print_mapping("kLower", str.lower)
print("// Only where the title case of a character is not its upper case.")
print_mapping("kTitle", str.title, str.upper)
