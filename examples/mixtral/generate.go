package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/gorgonia/moe/examples/mixtral/decoder"
)

// promptChunk is how many tokens of a prompt run as one graph: many enough for full speed, few enough that a long prompt
// needs little memory and can be interrupted.
const promptChunk = 512

// generation is a text in progress.
type generation struct {
	session *decoder.Session
	sampler *sampler
	vocab   int
	logits  []float32 // after the last token; valid until the next one runs
	speed   speed
}

// speed counts the tokens that ran and their time: prompt tokens together, answer tokens one by one.
type speed struct {
	prompt, steps         int
	promptTime, stepsTime time.Duration
}

// newGeneration makes a generation of up to room tokens, prompt included, that counts the experts' load if that is asked for.
func newGeneration(m *model, room int, s *sampler, count bool) (*generation, error) {
	session, err := m.NewSession(room)
	if err != nil {
		return nil, err
	}
	if count {
		session.CountLoad()
	}
	return &generation{session: session, sampler: s, vocab: m.Config.VocabSize}, nil
}

func (g *generation) close() error { return g.session.Close() }

// read runs the prompt. With all it returns the logits after each of its tokens, (len(ids), vocabulary).
func (g *generation) read(ctx context.Context, ids []int32, all bool) (logits []float32, err error) {
	start := time.Now()
	for chunk := range slices.Chunk(ids, promptChunk) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !all {
			g.logits, err = g.session.Append(chunk...)
		} else if g.logits, err = g.session.AppendAll(chunk...); err == nil {
			logits = append(logits, g.logits...)
			g.logits = g.logits[len(g.logits)-g.vocab:]
		}
		if err != nil {
			return nil, err
		}
		g.speed.prompt += len(chunk)
	}
	g.speed.promptTime += time.Since(start)
	return logits, nil
}

// tokens yields up to n tokens that follow; after an error it yields no more. A token runs through the model only if a
// further one is wanted.
func (g *generation) tokens(ctx context.Context, n int) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		for left := n; left > 0; left-- {
			err := ctx.Err()
			var id int32
			if err == nil {
				id, err = g.sampler.next(g.logits)
			}
			if !yield(id, err) || err != nil || left == 1 {
				return
			}
			start := time.Now()
			g.logits, err = g.session.Append(id)
			if err != nil {
				yield(0, err)
				return
			}
			g.speed.steps++
			g.speed.stepsTime += time.Since(start)
		}
	}
}

// add adds the counts and times of another text.
func (s *speed) add(t speed) {
	s.prompt += t.prompt
	s.steps += t.steps
	s.promptTime += t.promptTime
	s.stepsTime += t.stepsTime
}

// String is a line for people. The first token of an answer comes with the prompt, so an answer of n tokens has n−1 steps,
// one more if the end of the text followed it.
func (s speed) String() string {
	return fmt.Sprintf("prompt: %s; answer: %s", rate(s.prompt, "token", s.promptTime), rate(s.steps, "step", s.stepsTime))
}

func rate(n int, unit string, t time.Duration) string {
	switch n {
	case 0:
		return "no " + unit + "s"
	case 1:
	default:
		unit += "s"
	}
	return fmt.Sprintf("%d %s in %.3g s (%.4g tokens/s)", n, unit, t.Seconds(), float64(n)/t.Seconds())
}
