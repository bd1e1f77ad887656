package decoder

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/ops/backend"
)

const smallModel = "../testdata/checkpoints/one-of-five-f16" // vocabulary 29, context 40

func TestSessionErrors(t *testing.T) {
	m := load(t, smallModel)
	if _, err := m.NewSession(41); !errors.Is(err, ErrContext) {
		t.Errorf("a session of 41 tokens in a context of 40: %v", err)
	}
	if _, err := m.NewSession(-1); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("a session of -1 tokens: %v", err)
	}
	s := session(t, m, 4)
	for _, c := range []struct {
		ids  []int32
		want error
	}{
		{nil, backend.ErrShape},
		{[]int32{1, 2, 3, 4, 5}, ErrContext},
		{[]int32{29}, backend.ErrIndex},
		{[]int32{1, -1}, backend.ErrIndex},
		{[]int32{1, math.MaxInt32}, backend.ErrIndex},
	} {
		if _, err := s.Append(c.ids...); !errors.Is(err, c.want) {
			t.Errorf("Append(%v): %v, want %v", c.ids, err, c.want)
		}
	}
	// A refused token leaves the session as it was.
	if _, err := s.Append(1, 2, 3); err != nil || s.Len() != 3 {
		t.Errorf("%d tokens, %v", s.Len(), err)
	}
	if _, err := s.Append(4, 5); !errors.Is(err, ErrContext) {
		t.Errorf("two tokens where one fits: %v", err)
	}
	if _, err := s.Append(4); err != nil {
		t.Error(err)
	}
	if _, err := s.Append(5); !errors.Is(err, ErrContext) {
		t.Errorf("a token in a full session: %v", err)
	}
}

// Sessions of one model at the same time give the logits that one alone gives, bit for bit.
func TestSessionsShareAModel(t *testing.T) {
	m := load(t, "../testdata/checkpoints/many-experts-bf16-sharded")
	text := []int32{5, 9, 40, 0, 3, 17}
	run := func() (all []float32, err error) {
		s, err := m.NewSession(len(text))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		for _, part := range [][]int32{text[:3], text[3:4], text[4:5], text[5:]} {
			logits, err := s.Append(part...)
			if err != nil {
				return nil, err
			}
			all = append(all, logits...)
		}
		return all, nil
	}
	want, err := run()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if got, err := run(); err != nil || !slices.Equal(got, want) {
					t.Errorf("beside others: %v, other logits than alone", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLoadIsCountedOnRequest(t *testing.T) {
	s := session(t, load(t, smallModel), 4)
	for want := range 2 {
		if _, err := s.Append(1, 2); err != nil {
			t.Fatal(err)
		}
		load := s.Load()
		if (load != nil) != (want > 0) {
			t.Fatalf("load %v after %d requests to count", load, want)
		}
		for layer, counts := range load {
			var sum int64
			for _, n := range counts {
				sum += n
			}
			if sum != 2 {
				t.Errorf("layer %d: a load of %d, want that of the two tokens since", layer, sum)
			}
		}
		s.CountLoad()
		s.CountLoad() // which keeps what is counted
	}
}

// The caller may change what Load gives.
func TestLoadIsACopy(t *testing.T) {
	s := session(t, load(t, smallModel), 2)
	s.CountLoad()
	if _, err := s.Append(1, 2); err != nil {
		t.Fatal(err)
	}
	s.Load()[0][0] = 1000
	var sum int64
	for _, n := range s.Load()[0] {
		sum += n
	}
	if sum != 2 {
		t.Errorf("two tokens with one expert each have a load of %d", sum)
	}
}

func TestLoadChecksTheTensors(t *testing.T) {
	c, err := checkpoint.ReadConfig(smallModel + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.OpenDir(smallModel)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	c.NumExperts++
	if _, err := Load(c, weights); !errors.Is(err, checkpoint.ErrShape) {
		t.Errorf("one expert more than the checkpoint has: %v", err)
	}
	c.NumExperts--
	c.NumLayers++
	if _, err := Load(c, weights); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("one layer more than the checkpoint has: %v", err)
	}
}
