package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// shape is the sizes of a model.
type shape struct {
	name string

	H int // hidden width
	F int // width of an expert
	E int // experts that are here
	K int // experts of a token
	G int // experts that the router knows; more than E: the rest are on other ranks, behind an expert map
	Q int // query heads
	P int // heads of keys and values
	D int // width of a head
	V int // vocabulary
}

// shapes are those of published models.
var shapes = []shape{
	{name: "mixtral", H: 4096, F: 14336, E: 8, K: 2, G: 8, Q: 32, P: 8, D: 128, V: 32000},
	{name: "qwen3", H: 2048, F: 768, E: 128, K: 8, G: 128, Q: 32, P: 4, D: 128, V: 151936},
	{name: "dsv3ep", H: 7168, F: 2048, E: 32, K: 8, G: 256, Q: 56, P: 14, D: 128, V: 129280},
}

// sizes are the fields of a shape by hand, by letter.
var sizes = []struct {
	letter string
	of     func(*shape) *int
}{
	{"H", func(s *shape) *int { return &s.H }}, {"F", func(s *shape) *int { return &s.F }},
	{"E", func(s *shape) *int { return &s.E }}, {"K", func(s *shape) *int { return &s.K }},
	{"G", func(s *shape) *int { return &s.G }}, {"Q", func(s *shape) *int { return &s.Q }},
	{"P", func(s *shape) *int { return &s.P }}, {"D", func(s *shape) *int { return &s.D }},
	{"V", func(s *shape) *int { return &s.V }},
}

// parseShapes reads a list of names and of shapes by hand; each of those begins with its H: "mixtral,H=8,F=4,E=2,K=1,qwen3".
func parseShapes(list string) ([]shape, error) {
	var out []shape
	byHand := false // the last shape of out is by hand and may get more sizes
	for _, word := range strings.Split(list, ",") {
		letter, number, assigned := strings.Cut(word, "=")
		if !assigned {
			i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == word })
			if i < 0 {
				return nil, fmt.Errorf("shape %q, want %s, or one by hand such as H=1024,F=3584,E=8,K=2",
					word, names(shapes, func(s shape) string { return s.name }))
			}
			out, byHand = append(out, shapes[i]), false
			continue
		}
		if letter == "H" {
			out, byHand = append(out, shape{}), true
		}
		if !byHand {
			return nil, fmt.Errorf("shape: %q, want H= first in a shape by hand", word)
		}
		if err := out[len(out)-1].set(letter, number); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if err := out[i].complete(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *shape) set(letter, number string) error {
	for _, size := range sizes {
		if size.letter != letter {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("shape: %s = %q, want a whole number from 1 to %d", letter, number, math.MaxInt32)
		}
		if *size.of(s) != 0 {
			return fmt.Errorf("shape: %s is given twice", letter)
		}
		*size.of(s) = n
		return nil
	}
	return fmt.Errorf("shape: unknown size %q, want one of H F E K G Q P D V", letter)
}

// complete names a shape by hand, sets what it leaves out and checks the whole.
func (s *shape) complete() error {
	if s.name == "" {
		var words []string
		for _, size := range sizes {
			if n := *size.of(s); n != 0 {
				words = append(words, size.letter+"="+strconv.Itoa(n))
			}
		}
		s.name = strings.Join(words, ",")
	}
	if s.H == 0 || s.F == 0 || s.E == 0 || s.K == 0 {
		return fmt.Errorf("shape %s: want H, F, E and K", s.name)
	}
	setIfZero(&s.G, s.E)
	setIfZero(&s.D, 128)
	setIfZero(&s.Q, max(s.H/s.D, 1))
	if s.P == 0 {
		s.P = s.Q
		if s.Q%4 == 0 {
			s.P = s.Q / 4
		}
	}
	setIfZero(&s.V, 32000)
	switch {
	case s.K > s.G:
		return fmt.Errorf("shape %s: K = %d experts a token of %d", s.name, s.K, s.G)
	case s.E > s.G:
		return fmt.Errorf("shape %s: E = %d experts here, G = %d in all", s.name, s.E, s.G)
	case s.D%2 != 0:
		return fmt.Errorf("shape %s: heads of width D = %d, want an even one", s.name, s.D)
	case s.Q%s.P != 0:
		return fmt.Errorf("shape %s: Q = %d query heads, want a multiple of P = %d", s.name, s.Q, s.P)
	}
	return nil
}

func setIfZero(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}
