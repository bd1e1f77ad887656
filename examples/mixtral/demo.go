package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
)

// demo draws a task of every kind, and prints the model's answers and whether they are right.
func (a *app) demo(ctx context.Context, m *model) error {
	t, err := m.folder.tokenizer()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "tasks that the training left out, drawn with -seed %d\n", a.seed); err != nil {
		return err
	}
	tasks := drawTasks(rand.New(rand.NewPCG(a.seed, 0)), 1)
	total, load, right := speed{}, make([][]int64, m.Config.NumLayers), 0
	for i := range load {
		load[i] = make([]int64, m.Config.NumExperts)
	}
	for _, task := range tasks {
		r, err := m.solve(ctx, t, task.prompt, a.countsLoad())
		if err != nil {
			return err
		}
		total.add(r.speed)
		addLoad(load, r.load)
		verdict := "right"
		if r.text == task.answer {
			right++
		} else {
			verdict = "wrong, it is " + task.answer
		}
		if _, err := fmt.Fprintf(a.stdout, "  %s %s  (%s)\n", task.prompt, r.text, verdict); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(a.stdout, "%d of %d right; %v\n", right, len(tasks), total); err != nil {
		return err
	}
	return a.report(load)
}

// result is a greedy answer and what it took.
type result struct {
	text  string
	speed speed
	load  [][]int64
}

// solve answers a prompt with the likeliest tokens, up to the end of the text or of the context. An answer that does not
// come to its end is marked with "…". The experts' load is counted if that is asked for.
func (m *model) solve(ctx context.Context, t *tokenizer.Tokenizer, prompt string, count bool) (r result, err error) {
	ids, err := t.Encode(prompt, true)
	if err != nil {
		return r, err
	}
	if err := m.checkIDs(ids); err != nil {
		return r, err
	}
	n := m.Config.MaxPositions - len(ids)
	g, err := newGeneration(m, len(ids)+n, newSampler(0, 1, 0), count)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if _, err := g.read(ctx, ids, false); err != nil {
		return r, err
	}
	var answer []int32
	end := "…"
	for id, err := range g.tokens(ctx, n) {
		if err != nil {
			return r, err
		}
		if slices.Contains(m.Config.EOS, int(id)) {
			end = ""
			break
		}
		answer = append(answer, id)
	}
	text, err := t.Decode(answer, true)
	return result{text + end, g.speed, g.session.Load()}, err
}
