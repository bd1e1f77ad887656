package main

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// task is a prompt and its only right answer.
type task struct{ kind, prompt, answer string }

// kinds are the kinds of tasks that the embedded model knows, with how to draw one: its arguments and its answer. The
// prompt is the kind, the arguments and "=", with single spaces between them.
var kinds = []struct {
	name string
	draw func(*rand.Rand) (arguments, answer string)
}{
	{"sum", drawSum},
	{"sub", drawDifference},
	{"max", drawExtreme(slices.Max[[]int])},
	{"min", drawExtreme(slices.Min[[]int])},
	{"sort", drawSorted},
	{"reverse", drawReversed},
	{"count", drawCount},
	{"words", drawWords},
	{"number", drawNumber},
	{"roman", drawRoman},
	{"arabic", drawArabic},
}

// drawTasks draws n tasks of every kind, in the order of kinds, that were kept out of the training.
func drawTasks(rng *rand.Rand, n int) []task {
	var tasks []task
	for _, k := range kinds {
		for drawn := 0; drawn < n; {
			arguments, answer := k.draw(rng)
			if t := (task{k.name, k.name + " " + arguments + " =", answer}); t.heldOut() {
				tasks = append(tasks, t)
				drawn++
			}
		}
	}
	return tasks
}

// heldOut tells whether the training left the prompt out: one in ten by its checksum, but no short one, as there are few
// short ones.
func (t task) heldOut() bool {
	least := 12
	if t.kind == "number" {
		least = 24
	}
	return len(t.prompt) >= least && crc32.ChecksumIEEE([]byte(t.prompt))%10 == 0
}

// number draws a number below 10^k, k uniform from 1 to digits: short numbers are as frequent as long ones.
func number(rng *rand.Rand, digits int) int {
	limit := 1
	for range 1 + rng.IntN(digits) {
		limit *= 10
	}
	return rng.IntN(limit)
}

func letter(rng *rand.Rand) byte { return byte('a' + rng.IntN(26)) }

func drawSum(rng *rand.Rand) (arguments, answer string) {
	a, b := number(rng, 3), number(rng, 3)
	return fmt.Sprint(a, b), strconv.Itoa(a + b)
}

func drawDifference(rng *rand.Rand) (arguments, answer string) {
	a, b := number(rng, 3), number(rng, 3)
	return fmt.Sprint(a, b), strconv.Itoa(a - b)
}

// drawExtreme draws 2 to 5 numbers, one of which is the answer.
func drawExtreme(choose func([]int) int) func(*rand.Rand) (arguments, answer string) {
	return func(rng *rand.Rand) (arguments, answer string) {
		numbers := make([]int, 2+rng.IntN(4))
		for i := range numbers {
			numbers[i] = number(rng, 3)
		}
		return strings.Trim(fmt.Sprint(numbers), "[]"), strconv.Itoa(choose(numbers))
	}
}

// drawSorted draws 2 to 8 digits or letters.
func drawSorted(rng *rand.Rand) (arguments, answer string) {
	first, some := "0", 10
	if rng.IntN(2) == 0 {
		first, some = "a", 26
	}
	items := make([]string, 2+rng.IntN(7))
	for i := range items {
		items[i] = string(first[0] + byte(rng.IntN(some)))
	}
	return strings.Join(items, " "), strings.Join(slices.SortedFunc(slices.Values(items), cmp.Compare), " ")
}

// drawReversed draws a word of 2 to 12 letters.
func drawReversed(rng *rand.Rand) (arguments, answer string) {
	word := make([]byte, 2+rng.IntN(11))
	for i := range word {
		word[i] = letter(rng)
	}
	arguments = string(word)
	slices.Reverse(word)
	return arguments, string(word)
}

// drawCount draws a letter and a word of 1 to 12 letters, about a third of which are that one.
func drawCount(rng *rand.Rand) (arguments, answer string) {
	counted := letter(rng)
	word := make([]byte, 1+rng.IntN(12))
	for i := range word {
		if word[i] = counted; rng.IntN(3) > 0 {
			word[i] = letter(rng)
		}
	}
	return fmt.Sprintf("%c %s", counted, word), strconv.Itoa(strings.Count(string(word), string(counted)))
}

func drawWords(rng *rand.Rand) (arguments, answer string) {
	n := number(rng, 4)
	return strconv.Itoa(n), inWords(n)
}

func drawNumber(rng *rand.Rand) (arguments, answer string) {
	answer, arguments = drawWords(rng)
	return arguments, answer
}

func drawRoman(rng *rand.Rand) (arguments, answer string) {
	limit := 1
	for range 1 + rng.IntN(4) {
		limit *= 10
	}
	n := 1 + rng.IntN(min(limit-1, 3999))
	return strconv.Itoa(n), inRoman(n)
}

func drawArabic(rng *rand.Rand) (arguments, answer string) {
	answer, arguments = drawRoman(rng)
	return arguments, answer
}
