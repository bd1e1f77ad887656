package main

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// solvers answer a task from its arguments, independently of how it was drawn.
var solvers = map[string]func(arguments []string) string{
	"sum": func(a []string) string { return strconv.Itoa(atoi(a[0]) + atoi(a[1])) },
	"sub": func(a []string) string { return strconv.Itoa(atoi(a[0]) - atoi(a[1])) },
	"max": func(a []string) string { return slices.MaxFunc(a, byValue) },
	"min": func(a []string) string { return slices.MinFunc(a, byValue) },
	"sort": func(a []string) string {
		slices.Sort(a)
		return strings.Join(a, " ")
	},
	"reverse": func(a []string) (reversed string) {
		for _, letter := range a[0] {
			reversed = string(letter) + reversed
		}
		return reversed
	},
	"count":  func(a []string) string { return strconv.Itoa(len(strings.Split(a[1], a[0])) - 1) },
	"words":  func(a []string) string { return inWords(atoi(a[0])) },
	"number": func(a []string) string { return search(inWords, 0, 9999, strings.Join(a, " ")) },
	"roman":  func(a []string) string { return inRoman(atoi(a[0])) },
	"arabic": func(a []string) string { return search(inRoman, 1, 3999, a[0]) },
}

func byValue(a, b string) int { return atoi(a) - atoi(b) }

// atoi is a number that no answer equals if the text is none.
func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1 << 30
	}
	return n
}

// search finds the number that is spelled so.
func search(spell func(int) string, from, to int, text string) string {
	for n := from; n <= to; n++ {
		if spell(n) == text {
			return strconv.Itoa(n)
		}
	}
	return "no number"
}

func solved(prompt string) string {
	fields := strings.Fields(strings.TrimSuffix(prompt, " ="))
	return solvers[fields[0]](fields[1:])
}

// The training script's samples hold its own answers: the rules here are the same.
func TestRulesAreThoseOfTheTraining(t *testing.T) {
	file, err := os.Open("train/samples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var s struct{ Task, Prompt, Answer string }
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if got := solved(s.Prompt); got != s.Answer {
			t.Errorf("%s: %q, the training says %q", s.Prompt, got, s.Answer)
		}
		seen[s.Task]++
	}
	for _, k := range kinds {
		if seen[k.name] < 5 {
			t.Errorf("%d samples of %q", seen[k.name], k.name)
		}
	}
	if len(seen) != len(kinds) {
		t.Errorf("the samples have %d kinds of tasks, this program %d", len(seen), len(kinds))
	}
}

func TestDrawnAnswersAreRight(t *testing.T) {
	tasks := drawTasks(rand.New(rand.NewPCG(1, 2)), 100)
	if len(tasks) != 100*len(kinds) {
		t.Fatalf("%d tasks", len(tasks))
	}
	for _, task := range tasks {
		if !strings.HasPrefix(task.prompt, task.kind+" ") || !strings.HasSuffix(task.prompt, " =") || !task.heldOut() {
			t.Errorf("%q is no prompt of kind %s that the training left out", task.prompt, task.kind)
		}
		if want := solved(task.prompt); task.answer != want {
			t.Errorf("%s %q, want %q", task.prompt, task.answer, want)
		}
	}
}

// What held_out of train/tasks.py says. The last three have a fitting checksum but are short.
func TestHeldOut(t *testing.T) {
	for prompt, want := range map[string]bool{
		"sum 487 81 =": true,
		"sum 3 155 =":  false,
		"reverse pk =": true,
		"reverse by =": false,
		"words 6383 =": true,
		"words 369 =":  false,
		"number nine thousand three hundred fifty-three =": true,
		"number eight hundred eighteen =":                  false,
		"sum 9 7 =":                                        false,
		"sum 18 7 =":                                       false,
		"number six =":                                     false,
	} {
		kind, _, _ := strings.Cut(prompt, " ")
		if got := (task{kind: kind, prompt: prompt}).heldOut(); got != want {
			t.Errorf("%q: %v, want %v", prompt, got, want)
		}
	}
}

func TestEmbeddedModelSolvesFreshTasks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m, err := folder("").open(backend.Host, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	tok, err := m.folder.tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	each := 20
	if testing.Short() {
		each = 5
	}
	tasks, right := drawTasks(rand.New(rand.NewPCG(seed, 0)), each), 0
	for _, task := range tasks {
		r, err := m.solve(context.Background(), tok, task.prompt, false)
		if err != nil {
			t.Fatal(err)
		}
		if r.text == task.answer {
			right++
		} else {
			t.Logf("%s %s, want %s", task.prompt, r.text, task.answer)
		}
	}
	t.Logf("%d of %d right", right, len(tasks))
	if right*100 < len(tasks)*95 {
		t.Errorf("%d of %d answers are right, want 95 of 100", right, len(tasks))
	}
}
