"""Writes the expected renders of tests/data/chat_templates with Hugging Face's own renderer.

Usage: python3 tools/golden/make_chat_templates.py [tests/data/chat_templates]
Needs the packages `transformers` and `jinja2`.

renders.json: every template of templates/ over the conversations below.
cases.json:   small templates, each for one rule of the language.
An outcome is {"text": ...}, or {"error": true}; with "raised" the words of raise_exception.
"""

import datetime
import json
import os
import pathlib
import sys
import time

import jinja2
from transformers.utils import chat_template_utils

os.environ["TZ"] = "UTC"
time.tzset()
NOW = 1736942400  # 2025-01-15 12:00:00 UTC


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW)


chat_template_utils.datetime = FixedClock


def render(template, case):
    variables = {"bos_token": "<s>", "eos_token": "</s>", **case.get("variables", {})}
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            [case["messages"]],
            tools=variables.pop("tools", None),
            documents=variables.pop("documents", None),
            chat_template=template,
            add_generation_prompt=case.get("add_generation_prompt", False),
            continue_final_message=case.get("continue_final_message", False),
            **variables,
        )
        return {"text": rendered[0]}
    except jinja2.exceptions.TemplateError as error:
        return {"error": True, "raised": str(error)} if type(error) is jinja2.exceptions.TemplateError else {"error": True}
    except Exception:
        return {"error": True}


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'The <b>weather</b> & "more", also in Zürich\nand elsewhere',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "enum": ["Zürich", "Bern"]},
                    "days": {"type": ["integer", "null"], "default": 3, "minimum": 0.5},
                    "options": {"type": "object", "properties": {"hourly": {"type": "array", "items": {"type": "boolean"}}}},
                },
                "required": ["city"],
            },
        },
    }
]

CONVERSATIONS = {
    "one question": turns(("user", "Hello")),
    "system and several turns": turns(
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "How are you?")
    ),
    "white space around": turns(("system", "  be exact \n"), ("user", "\t a \n"), ("assistant", " b "), ("user", "c  ")),
    "unicode and markup": turns(("user", "naïve 日本語 😀 <b>&\"'\\ {{ x }} {% y %}"), ("assistant", "ok\u00a0"), ("user", "İß")),
    "empty contents": turns(("user", "")),
    "empty system": turns(("system", ""), ("user", "x"), ("assistant", "")),
    "thinking": turns(
        ("user", "1+1?"), ("assistant", "<think>\nadd\n</think>\n\n2"), ("user", "sure?"), ("assistant", "<think>hm</think>yes")
    ),
    "tool answers": turns(("user", "weather?"), ("assistant", "calling"), ("tool", '{"t": 3}'), ("tool", "4"), ("user", "so?")),
    "assistant first": turns(("assistant", "I begin"), ("user", "no")),
    "two users in a row": turns(("user", "a"), ("user", "b")),
    "unknown role": turns(("user", "a"), ("critic", "b")),
    "system only": turns(("system", "alone")),
    "stop word": turns(("user", "go"), ("assistant", "stop"), ("user", "unseen")),
    "named": [{"role": "user", "content": "hi", "name": "Ada"}],
    "nothing": [],
}

VARIANTS = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False},
    {"continue_final_message": True},
]
# Only with the conversations named.
EXTRA_CONVERSATIONS = ["one question", "system and several turns", "thinking", "tool answers"]
EXTRA_VARIANTS = [
    {"add_generation_prompt": True, "variables": {"enable_thinking": False}},
    {"add_generation_prompt": True, "variables": {"tools": TOOLS, "thinking": True}},
    {
        "add_generation_prompt": True,
        "variables": {"documents": [{"title": "", "text": "t & t"}], "date_string": "1 Jan 2025", "controls": {"length": "long"}},
    },
]

MESSAGES = turns(("system", "sys"), ("user", "Hi <b>"), ("assistant", "yo"), ("user", "bye"))
VARIABLES = {
    "n": 7,
    "neg": -7,
    "x": 2.5,
    "t": True,
    "empty": "",
    "s": "Hello World",
    "u": "naïve 日本 😀",
    "lines": "one\ntwo\n\nthree",
    "nums": [3, 1, 2, 3],
    "words": ["b", "A", "c", "a"],
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cid", "age": 30, "vip": True}],
    "d": {"b": 1, "a": {"deep": [1, {"k": None}]}, "items": "shadowed", "é": "<&>'\""},
    "nothing": None,
}

CASES = r"""
{{ 1 + 2 * 3 - 4 / 2 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 2 ** 10 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}
{{ -n ** 2 }} {{ +n }} {{ --n }}
{{ 1 / 3 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 123456789.0 }} {{ 1e22 }} {{ 1.5e300 * 1e10 }} {{ -0.0 }}
{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_0.5 }}
{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == "a" }} {{ [1, 2] == [1, 2] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 }} {{ 1 != 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}
{{ 'a' < 1 }}
{{ 1 in nums }} {{ 9 not in nums }} {{ 'ell' in s }} {{ 'b' in d }} {{ 'x' in missing }} {{ not 1 in nums }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ true and 'yes' }} {{ false or 'no' }} {{ '' or [] or 'last' }} {{ 1 and 0 and 2 }} {{ not '' }}
{{ 'a' if n > 5 else 'b' }} {{ 'a' if n > 9 else 'b' if n > 8 else 'c' }} [{{ 'a' if false }}]
{{ 'a' ~ 1 ~ none ~ true ~ 2.0 ~ [1] }}
{{ 'a' 'b' "c" }} {{ 'it''s' }}
{{ 'a' + 1 }}
{{ 'ab' * 3 }} {{ 2 * [1, 'x'] }} {{ [1] + [2] }} {{ (1, 2) + (3,) }} {{ 'x' * -1 }}
{{ none }} {{ None }} {{ true }} {{ True }} {{ missing }} {{ 3.0 }} {{ [] }} {{ {} }} {{ () }}
{{ [1, 'a', "it's", 'q"', none, true, 1.5, {'k': [1]}, (1,), ('a', 2)] }}
{{ 'tab\tnew\nback\\' }} {{ ['tab\tnew\nback\\', '\x07é\u00ad\u200b😀'] }}
{{ '\u0041\x42\103\'' }} {{ "\"" }} {{ '\d' }}
{{ 1, 2 }} {{ (1, 2)[1] }} {{ (1) }}
{{ missing.attr }}
{{ d.missing.attr }}
{{ d.missing }}|{{ d['missing'] }}|{{ nums[99] }}|{{ nothing.x }}|{{ nums['a'] }}
{{ missing + 1 }}
{{ missing() }}
{{ d.b }} {{ d['a'].deep[1].k }} {{ d.a['deep'][0] }} {{ nums[0] }} {{ nums[-1] }} {{ nums.0 }} {{ s[0] }} {{ u[-1] }} {{ u[2] }}
{{ d.items is callable }} {{ d['keys'] is callable }} {{ missing is callable }} {{ d.b is callable }}
{{ 'a'.replace('a', none) }}
{% for x in nums %}{% continue %}{% else %}else{% endfor %}
{{ d['items'] }} {{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 5) }}
{{ d.keys() | list }} {{ d.a.values() | list }} {{ d.keys() }} {% for k, v in d.a.items() %}{{ k }}={{ v }};{% endfor %}
{{ nums[1:] }} {{ nums[:2] }} {{ nums[::-1] }} {{ nums[::2] }} {{ nums[-2:] }} {{ nums[5:] }} {{ s[1:4] }} {{ s[::-1] }} {{ u[::-1] }} {{ u[2:5] }} {{ s[:-1] }} {{ s[-3:-1] }} {{ nums[3:0:-2] }}
{{ nums[::0] }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ 'ß ǆ éÀ'.upper() }} {{ 'ÀÉ İ ΑΣ'.lower() }} {{ "they're bill's".title() }} {{ 'ǆabc'.capitalize() }} {{ s.swapcase() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ '\u3000 x\u00a0'.strip() }}|
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a b '.rsplit(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a'.split('') }}
{{ lines.splitlines() }} {{ 'a\r\nb\rc\n'.splitlines(true) }} {{ 'k=v=w'.partition('=') }} {{ 'k=v=w'.rpartition('=') }} {{ 'kv'.partition('=') }}
{{ s.startswith('Hell') }} {{ s.endswith(('x', 'ld')) }} {{ s.startswith('ello', 1) }} {{ s.endswith('lo', 0, 5) }} {{ u.startswith('日', 6) }}
{{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') }} {{ u.find('😀') }} {{ s.index('W') }} {{ s.count('l') }} {{ s.count('') }} {{ u.find('日', 3, 8) }}
{{ s.index('zz') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'ab'.replace('', '-') }} {{ 'é日'.replace('', '.') }}
{{ ','.join(['a', 'b']) }} {{ ''.join([]) }} {{ '-'.join('abc') }} {{ ', '.join(d) }}
{{ ','.join([1]) }}
{{ '{} {}'.format('a', 1) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x:>5}|{y:<4}|{z:^5}|'.format(x='a', y='b', z='c') }} {{ '{:.2f} {:5d} {:05d} {:x} {:,}'.format(3.14159, 42, 42, 255, 1234567) }} {{ '{{}}{!r}'.format('q') }}
{{ '%s-%d-%.1f-%5s|%-5s|%05d|%x|%%' % ('a', 42, 2.55, 'b', 'c', 7, 255) }} {{ '%s' % 'one' }} {{ '%(k)s' % {'k': 'v'} }} {{ '%r' % ('q',) }} {{ '%s' % [1] }}
{{ '%s %s' % 'one' }}
{{ '%d' % 'x' }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isalpha() }} {{ 'é'.isalpha() }} {{ 'é'.isascii() }}
{{ 'a'.center(5, '*') }}|{{ 'ab'.center(5, '*') }}|{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3) }}|{{ '-7'.zfill(4) }}|{{ 'prefix-x'.removeprefix('prefix-') }}|{{ 'x.py'.removesuffix('.py') }}
{{ nums.index(2) }} {{ nums.count(3) }} {{ (1, 2, 1).count(1) }}
{{ nums.append(4) }}
{{ d.update({'x': 1}) }}
{{ d.pop('b') }}
{{ s.__class__ }}
{{ s.__class__.__mro__ }}
{{ s.nope }}|{{ s.nope is defined }}
{{ 5() }}
{{ ' x ' | trim }}|{{ 'xax' | trim('x') }}|{{ missing | trim }}|{{ 5 | trim }}|
{{ s | upper }} {{ s | lower }} {{ "hello world-foo (bar) {x} [y] <z> o'neil" | title }} {{ 'hELLO wORLD' | capitalize }} {{ none | upper }}
{{ s | length }} {{ u | length }} {{ nums | count }} {{ d | length }} {{ missing | length }}
{{ 5 | length }}
{{ nums | first }} {{ nums | last }} {{ s | first }} {{ u | last }} {{ [] | first }} {{ d | first }} {{ [] | last }}
{{ nums | join }} {{ nums | join(', ') }} {{ people | join('; ', attribute='name') }} {{ 'abc' | join('.') }} {{ [1, none, 'x', missing] | join('-') }}
{{ missing | default('dflt') }} {{ empty | default('x') }}|{{ empty | default('x', true) }} {{ nothing | default('x') }} {{ nothing | d('x', boolean=true) }} {{ d.zz | d(1) }}
{{ people | map(attribute='name') | list }} {{ words | map('upper') | join(' ') }} {{ people | map(attribute='vip', default='no') | list }} {{ people[:1] | map(attribute='tags.0') | list }} {{ words | map('replace', 'a', 'z') | list }}
{{ nums | select('odd') | list }} {{ nums | reject('odd') | list }} {{ nums | select('gt', 1) | list }} {{ [0, 1, '', 'x', none] | select | list }} {{ nums | reject('in', [1, 3]) | list }}
{{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ people | selectattr('vip') | list | length }} {{ people | rejectattr('vip') | map(attribute='name') | join(',') }} {{ people | selectattr('vip', 'defined') | list | length }} {{ people | rejectattr('age', '==', 30) | list }}
{% if people | selectattr('age', 'gt', 100) %}generators are true{% endif %} {{ people | selectattr('vip') | first }}
{{ people | map(attribute='name') | length }}
{{ people | map('nope') | list }}
{{ nums | sort }} {{ nums | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ people | sort(attribute='age') | map(attribute='name') | list }} {{ people | sort(attribute='age,name', reverse=true) | map(attribute='name') | list }}
{{ [1, 'a'] | sort }}
{{ nums | unique | list }} {{ words | unique | list }} {{ words | unique(case_sensitive=true) | list }} {{ people | unique(attribute='age') | map(attribute='name') | list }}
{{ nums | reverse | list }} {{ s | reverse }} {{ nums | sum }} {{ people | sum(attribute='age') }} {{ nums | sum(start=10) }} {{ nums | min }} {{ nums | max }} {{ words | min }} {{ words | max }} {{ people | max(attribute='age') }}
{{ d | dictsort }} {{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'A': 2} | dictsort(by='value', reverse=true) }} {% for k, v in {'q': 1} | items %}{{ k }}{{ v }}{% endfor %}
{{ 'a' | list }} {{ 'abc' | batch(2) | list }} {{ nums | batch(3, 0) | list }} {{ nums | slice(3) | list }} {{ people | groupby('age') | map('first') | list }}
{{ '42' | int }} {{ '4.9' | int }} {{ 'x' | int }} {{ 'x' | int(-1) }} {{ '0x1f' | int(base=16) }} {{ 'ff' | int(base=16) }} {{ 3.99 | int }} {{ -3.99 | int }} {{ ' 12 ' | int }} {{ none | int }} {{ true | int }} {{ '1_0' | int }}
{{ '3.5' | float }} {{ 'x' | float }} {{ 2 | float }} {{ 'x' | float(1.5) }} {{ '1e3' | float }} {{ ' 2 ' | float }} {{ 'inf' | float }}
{{ 42.55 | round }} {{ 42.55 | round(1) }} {{ 42.55 | round(1, 'floor') }} {{ 42.45 | round(1, 'ceil') }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 7 | round }} {{ 1234.5 | round(-2) }} {{ -1.5 | abs }} {{ neg | abs }} {{ 2.675 | round(2) }}
{{ 5 | string + '!' }} {{ [1] | string }} {{ 1.0 | string }}
{{ lines | indent }}|{{ lines | indent(2, true) }}|{{ lines | indent(2, blank=true) }}|{{ lines | indent('> ') }}|{{ 'a\n' | indent }}
{{ '<b>&"\'' | e }} {{ '<' | escape }} {{ ('<' | e) + '<' }} {{ '<' | safe }} {{ ('<' | safe) + '<' }} {{ '<' ~ ('<' | safe) }} {{ '<' | e | e }} {{ '<' | e | forceescape }} {{ ('<i>' | safe).upper() + '&' }} {{ ('<%s>' | safe) % '&' }} {{ ['<' | safe] }} {{ ('<a>' | safe | trim | replace('a', 'b')) + '<' }} {{ ('<' | safe).join(['&', 'x']) }}
{{ 'hello world foo' | truncate(11) }} {{ 'hello world foo bar' | truncate(11, true) }} {{ 'hello world foo bar' | truncate(11, false, '…', 0) }} {{ 'one two  three' | wordcount }} {{ 'x' | center(5) }}| {{ '%s=%s' | format('a', 1) }}
{{ d | tojson }} {{ nums | tojson }} {{ 'é<>&\'"\n\t\u0001\\' | tojson }} {{ none | tojson }} {{ true | tojson }} {{ 1.0 | tojson }} {{ (1, 2) | tojson }} {{ 1e100 | tojson }}
{{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ [[], {}, [1]] | tojson(indent=4) }}
{{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ d | tojson(ensure_ascii=true) }} {{ '😀' | tojson(ensure_ascii=true) }} {{ {'a': [1]} | tojson(indent='\t') }}
{{ missing | tojson }}
{{ nums | select('odd') | tojson }}
{{ {1: 'one', true: 'yes', none: 'no', 2.5: 'x', 'k': 'v'} }} {{ {1: 'one'}[1] }} {{ {1: 'a', 1.0: 'b'} }} {{ {2: 'x', none: 1, false: 2} | tojson }} {{ 1 in {1: 2} }} {{ {(1, 2): 3}[(1, 2)] }}
{{ {[1]: 2} }}
{{ s | nope }}
{% if false %}{{ s | nope }}{{ s is nope }}{% endif %}fine
{% if true %}{{ s | nope }}{% endif %}
{{ n is number }} {{ n is integer }} {{ x is float }} {{ t is boolean }} {{ t is integer }} {{ t is number }} {{ s is string }} {{ d is mapping }} {{ nums is sequence }} {{ s is sequence }} {{ d is iterable }} {{ n is iterable }} {{ nums is iterable }} {{ missing is iterable }} {{ range is callable }} {{ s is callable }}
{{ missing is defined }} {{ s is defined }} {{ missing is undefined }} {{ nothing is none }} {{ nothing is defined }} {{ t is true }} {{ 1 is true }} {{ false is false }} {{ d.zz is not defined }} {{ not d.b is defined }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 1 is ne 1 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ 'a' is in ['a'] }} {{ 'a' is not in 'abc' }} {{ 1 is sameas 1 }} {{ 1 is sameas 1.0 }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 3 is equalto 3 and 2 is lessthan 3 }}
{{ 'x' is odd }}
{{ s is nope }}
{% for x in nums %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ ', ' if not loop.last }}{% endfor %}
{% for x in nums %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }};{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %} {% for x in missing %}x{% else %}undefined{% endfor %}
{% for x in none %}x{% endfor %}
{% for x in 5 %}x{% endfor %}
{% for x in nums if x > 1 %}{{ loop.index }}of{{ loop.length }}={{ x }} {% endfor %}
{% set ns = namespace(stop=false) %}{% for x in nums if not ns.stop %}{{ x }}{% if x == 1 %}{% set ns.stop = true %}{% endif %}{% endfor %}
{% for x in nums if x > 1 %}{{ x }}{{ '' if loop.last else ',' }}{% endfor %} {% for x in nums if x > 9 %}{% else %}nobody{% endfor %}
{% for k, v in d.items() %}{{ k }}:{{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in 'aé😀' %}{{ c }}.{% endfor %} {% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in nums %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %} {% for x in nums %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in nums %}{% break %}{% else %}else{% endfor %}
{% break %}
{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }} {% endfor %}
{% for item in [{'v': 1, 'c': [{'v': 2}, {'v': 3, 'c': [{'v': 4}]}]}] recursive %}{{ item.v }}@{{ loop.depth }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% set ns = namespace(total=0, list=[]) %}{% for i in nums %}{% set ns.total = ns.total + i %}{% set ns.list = ns.list + [i] %}{% endfor %}{{ ns.total }} {{ ns.list }} {{ ns.nope }} {{ ns['total'] }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns.c = 3 %}{{ ns.c }}
{% set d.b = 2 %}
{{ namespace(missing) }}
{{ people | map(attribute='tags.x', default='no') | list }}
{{ people | groupby('vip', default=false) | map('first') | list }}
{% set ns = namespace(_x=1) %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }} {% set (e, f) = (3, 4) %}{{ e }}{{ f }}
{% set block %}  in {{ n }} {% endset %}[{{ block }}] {% set up | upper | trim %} abc {% endset %}[{{ up }}]
{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=5) }} {{ m() }} {{ m(b=1, a=2) }} {{ m.name }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(z=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}
{% macro outer() %}<{{ caller('x') }}>{% endmacro %}{% call(v) outer() %}body {{ v }}{{ n }}{% endcall %}
{% macro fact(k) %}{{ 1 if k < 2 else k * (fact(k - 1) | int) }}{% endmacro %}{{ fact(10) }}
{% set y = 1 %}{% macro m() %}{{ y }}{% endmacro %}{% set y = 2 %}{{ m() }} {% for y in [5] %}{{ m() }}{% endfor %}
{% macro m(x) -%} {{ x }} {%- endmacro %}[{{ m('a') | upper ~ m('b') }}]
{% filter upper %}abc {{ n }}{% endfilter %} {% filter replace('a', 'b') | trim %} aaa {% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}
{% generation %}gen {{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ raw }} {% endfor %}{% endraw %} {%- raw -%}  x  {%- endraw -%}  y
a {# comment {{ x }} #} b {#- c -#} d
{{ raise_exception('my ' ~ 'words') }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A %d %b %y %% %-d %p %z%Z.%f') }}
{{ range(5) | list }} {{ range(1, 10, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(3)[1] }} {{ range(0) | list }} {{ 3 in range(5) }}
{{ range(1000000) }}
{{ dict(a=1, b='x') }} {{ dict({'a': 1}, b=2) }} {{ dict([('k', 'v')]) }}
{% set j = joiner('|') %}{% for x in nums %}{{ j() }}{{ x }}{% endfor %} {% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}
{{ nope_function(1) }}
{{ m(*[1, 2], **{'k': 3}) if m is defined else 'no m' }} {{ '{}{}'.format(*[1, 2]) }} {{ '{a}'.format(**{'a': 5}) }}
{{ messages | length }}{{ messages[0].role }}{{ messages[-1]['content'] }} {{ messages | map(attribute='role') | join(',') }} {{ messages[1:] | length }} {{ messages[0] == messages[0] }} {{ messages[0] }}
{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ bos_token }}{{ eos_token }}
{{ 1 / 0 }}
{{ 'a' if }}
{{ }}
{{ (1 }}
{% if %}{% endif %}
{% for x nums %}{% endfor %}
{% endif %}
{% if true %}
{% include 'x' %}
{{ 'unclosed }}
{# unclosed
{{ 1 +* 2 }}
{{ a b }}
{% unknown_tag %}
{{ x is defined is true }}
{{ {'a': {'b': 1}}.a.b }} {{ {'a': 1,} }} {{ [1, 2,] }} {{ {'x}}': '%}'}['x}}'] }}
{{ 'a' | upper if true else 'b' | lower }} {{ -1 | abs }} {{ (-1) | abs }} {{ '1' + 2 | string }}
{{ 'x' in ['x'] and 'y' not in ['x'] }} {{ not true or true }} {{ 1 if true else 2, 3 }}
{{ n > 5 and n < 10 or false }} {{ (n == 7) ~ '' }} {{ [n, n + 1][0] }} {{ 'abc'[1] }} {{ {'k': 1}['k'] + 1 }}
""".strip("\n").split("\n")

# Cases in which line breaks matter, written as Python strings.
CASES += [
    "{% if true %}\n  kept\n{% endif %}\nafter\n",
    "  {% if true %}\n  a\n  {% endif %}\n  b {% if true %} c {% endif %}\n",
    "x\n  {%+ if true %}y{% endif %}\n",
    "x\n\t {%- if true -%}\n\n  y  \n{%- endif -%}\n z",
    "{% if true +%}\nkept\n{%+ endif %}",
    "a\n  {{ n }}\n  {{- n -}}\n  b\n",
    "a\n  {# c #}\n  b {# d #}\n{#- e -#}\n  f",
    "{% for x in [1, 2] %}\n    - {{ x }}\n{% endfor %}\n\nend\n\n",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nend",
    "line\r\nother\r{% if true %}\r\nkept{% endif %}\r\n",
    "{{ 'a\r\nb' }}|{{ 'c\\\nd' }}|\n\n",
    "{% set x %}\n  y\n{% endset %}[{{ x }}]",
    "{% if true %}{% endif %}\n{% if true %} \n{% endif %}|\n",
    "{%- macro m() %}\n  text\n{% endmacro -%}\n\n{{ m() }}|",
    "{{ [1,\n  2] }}\n{{\n n\n}}\n{%\n if true\n%}x{% endif %}",
    "trailing\n\n",
    "{{ n }}\n",
    "",
]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/chat_templates")
    renders = []
    for path in sorted((folder / "templates").glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            for variant in VARIANTS + (EXTRA_VARIANTS if name in EXTRA_CONVERSATIONS else []):
                outcome = render(template, {"messages": messages, **variant})
                renders.append({"template": path.name, "conversation": name, **variant, "expected": outcome})
    cases = [
        {"template": template, "expected": render(template, {"messages": MESSAGES, "variables": VARIABLES})}
        for template in CASES
    ]
    write(folder / "renders.json", {"now": NOW, "conversations": CONVERSATIONS, "renders": renders})
    write(folder / "cases.json", {"now": NOW, "messages": MESSAGES, "variables": VARIABLES, "cases": cases})


def write(path, content):
    """Objects of the long lists stand on lines of their own, so that a difference can be read."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list) and len(value) > 10:
            text = "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f"{json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
