"""The tasks the tiny Mixtral is trained on: how to draw one, and its only right answer.

Every drawer takes a random.Random and returns (prompt, answer). A prompt is a keyword, its arguments and "=",
separated by single spaces. README.md states the same rules as a table, so that a program in another language can draw
from the same distribution.
"""

import string
import zlib

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ROMAN = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]  # fmt: skip


def in_words(n):
    """English cardinal of 0 <= n <= 9999, American style: 4207 is "four thousand two hundred seven"."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + ("-" + ONES[n % 10] if n % 10 else "")
    unit, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    return f"{ONES[n // unit]} {name}" + (" " + in_words(n % unit) if n % unit else "")


def in_roman(n):
    """Roman numeral of 1 <= n <= 3999, subtractive style: 1949 is "MCMXLIX"."""
    out = ""
    for value, letters in ROMAN:
        out += letters * (n // value)
        n %= value
    return out


def number(rng, digits):
    """0 <= n < 10**k for a uniform k in 1..digits: short numbers are as frequent as long ones."""
    return rng.randrange(10 ** rng.randint(1, digits))


def numeral(rng):
    """1 <= n <= 3999, short numbers as frequent as long ones."""
    return rng.randint(1, min(10 ** rng.randint(1, 4) - 1, 3999))


def numbers(rng):
    """2 to 5 numbers below 1000."""
    return [number(rng, 3) for _ in range(rng.randint(2, 5))]


def draw_sum(rng):
    a, b = number(rng, 3), number(rng, 3)
    return f"sum {a} {b} =", str(a + b)


def draw_sub(rng):
    a, b = number(rng, 3), number(rng, 3)
    return f"sub {a} {b} =", str(a - b)


def draw_max(rng):
    values = numbers(rng)
    return f"max {' '.join(map(str, values))} =", str(max(values))


def draw_min(rng):
    values = numbers(rng)
    return f"min {' '.join(map(str, values))} =", str(min(values))


def draw_sort(rng):
    alphabet = rng.choice((string.digits, string.ascii_lowercase))
    items = [rng.choice(alphabet) for _ in range(rng.randint(2, 8))]
    return f"sort {' '.join(items)} =", " ".join(sorted(items))


def draw_reverse(rng):
    word = "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 12)))
    return f"reverse {word} =", word[::-1]


def draw_count(rng):
    letter = rng.choice(string.ascii_lowercase)
    size = rng.randint(1, 12)
    word = "".join(letter if rng.randrange(3) == 0 else rng.choice(string.ascii_lowercase) for _ in range(size))
    return f"count {letter} {word} =", str(word.count(letter))


def draw_words(rng):
    n = number(rng, 4)
    return f"words {n} =", in_words(n)


def draw_number(rng):
    n = number(rng, 4)
    return f"number {in_words(n)} =", str(n)


def draw_roman(rng):
    n = numeral(rng)
    return f"roman {n} =", in_roman(n)


def draw_arabic(rng):
    n = numeral(rng)
    return f"arabic {in_roman(n)} =", str(n)


TASKS = {
    "sum": draw_sum,
    "sub": draw_sub,
    "max": draw_max,
    "min": draw_min,
    "sort": draw_sort,
    "reverse": draw_reverse,
    "count": draw_count,
    "words": draw_words,
    "number": draw_number,
    "roman": draw_roman,
    "arabic": draw_arabic,
}

# How often training draws each task: arithmetic needs the most examples, spelling and numerals the fewest.
WEIGHTS = {"sum": 3, "sub": 4, "max": 2, "min": 2, "sort": 2, "reverse": 2, "count": 3}

# The most tokens of <s>, a prompt, its answer and </s>; "number" of 3373 has that many.
MAX_TOKENS = 52


def held_out(prompt):
    """Whether a prompt is kept out of training: one in ten by its CRC-32, but no short one.

    Short means less than 12 bytes, for "number" less than 24: small numbers are so few that all of them are taught.
    """
    raw = prompt.encode()
    return len(raw) >= (24 if prompt.startswith("number ") else 12) and zlib.crc32(raw) % 10 == 0


def draw(rng, task, wanted):
    """An instance of task for which held_out is `wanted`, drawn by rejection."""
    while True:
        prompt, answer = TASKS[task](rng)
        if held_out(prompt) == wanted:
            return prompt, answer
