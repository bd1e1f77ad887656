package main

import (
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// A prompt of more than one chunk gives the logits that it gives in one piece.
func TestLongPrompt(t *testing.T) {
	dir := copyOf(t, "testdata/checkpoints/tied-window-f32")
	edit(t, filepath.Join(dir, "config.json"), `"max_position_embeddings": 40`, `"max_position_embeddings": 2000`)
	m, err := folder(dir).open(backend.Host, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}()
	ids := make([]int32, 2*promptChunk+5)
	for i := range ids {
		ids[i] = int32(i * i % m.Config.VocabSize)
	}
	session, err := m.NewSession(len(ids))
	if err != nil {
		t.Fatal(err)
	}
	want, err := session.AppendAll(ids...)
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{true, false} {
		g, err := newGeneration(m, len(ids), newSampler(0, 1, 0), false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.read(context.Background(), ids, all)
		if err != nil {
			t.Fatal(err)
		}
		if !all {
			if got != nil {
				t.Errorf("%d logits were not asked for", len(got))
			}
			got, want = g.logits, want[len(want)-g.vocab:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d logits, want %d", len(got), len(want))
		}
		for i := range want {
			if !(math.Abs(float64(got[i]-want[i])) <= 1e-4) {
				t.Fatalf("all %v: logit %d is %v, in one piece %v", all, i, got[i], want[i])
			}
		}
		if g.speed.prompt != len(ids) || g.session.Len() != len(ids) {
			t.Errorf("%d tokens ran, %d are there, want %d", g.speed.prompt, g.session.Len(), len(ids))
		}
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSpeed(t *testing.T) {
	var s speed
	s.add(speed{prompt: 100, promptTime: 2 * time.Second})
	s.add(speed{prompt: 100, promptTime: 2 * time.Second, steps: 1, stepsTime: time.Millisecond})
	if got, want := s.String(), "prompt: 200 tokens in 4 s (50 tokens/s); answer: 1 step in 0.001 s (1000 tokens/s)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (speed{}).String(), "prompt: no tokens; answer: no steps"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
