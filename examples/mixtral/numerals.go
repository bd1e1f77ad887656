package main

import "strings"

var (
	ones = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen " +
		"sixteen seventeen eighteen nineteen")
	tens = strings.Fields("twenty thirty forty fifty sixty seventy eighty ninety")
)

// inWords spells 0 ≤ n ≤ 9999 in American English: 4207 is "four thousand two hundred seven".
func inWords(n int) string {
	switch {
	case n < 20:
		return ones[n]
	case n < 100 && n%10 == 0:
		return tens[n/10-2]
	case n < 100:
		return tens[n/10-2] + "-" + ones[n%10]
	}
	unit, name := 100, " hundred"
	if n >= 1000 {
		unit, name = 1000, " thousand"
	}
	text := ones[n/unit] + name
	if rest := n % unit; rest > 0 {
		text += " " + inWords(rest)
	}
	return text
}

// inRoman writes 1 ≤ n ≤ 3999 as a Roman numeral: 1949 is "MCMXLIX".
func inRoman(n int) string {
	var text strings.Builder
	for _, symbol := range []struct {
		value   int
		letters string
	}{
		{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"},
		{9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"},
	} {
		text.WriteString(strings.Repeat(symbol.letters, n/symbol.value))
		n %= symbol.value
	}
	return text.String()
}
